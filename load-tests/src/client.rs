//! One keep-alive HTTP/1.1 connection that posts one request at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};

use crate::fleet::Kind;
use crate::target::Target;

/// 1,000 answers of 100 bytes are far below it.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const DETAIL_CHARS_MAX: usize = 120;

/// What came back for one request.
#[derive(Debug)]
pub(crate) enum Reply {
    /// 200: the array of answers, unread.
    Answers(Bytes),
    Problem {
        status: u16,
        detail: String,
        retry_after: Option<Duration>,
    },
    Silence(Silence),
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Silence {
    NotConnected,
    ConnectionLost,
    TimedOut,
}

impl Silence {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NotConnected => "could not connect",
            Self::ConnectionLost => "connection lost",
            Self::TimedOut => "timed out",
        }
    }
}

/// What all connections of a fleet share.
#[derive(Debug)]
pub(crate) struct Dialect {
    target: Target,
    host: HeaderValue,
    authorization: HeaderValue,
    pub(crate) request_timeout: Duration,
    /// How long a slow reader waits between an answer's head and its body.
    pub(crate) slow_answers: Duration,
}

impl Dialect {
    pub(crate) fn new(
        target: Target,
        token: &str,
        request_timeout: Duration,
        slow_answers: Duration,
    ) -> anyhow::Result<Self> {
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| anyhow::anyhow!("the token has characters that no header can carry"))?;
        authorization.set_sensitive(true);
        let host = HeaderValue::try_from(target.address().to_string())?;
        Ok(Self { target, host, authorization, request_timeout, slow_answers })
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    dialect: Arc<Dialect>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(crate) fn new(dialect: Arc<Dialect>) -> Self {
        Self { dialect, connection: None }
    }

    /// Gives the connection up; the next call makes a new one.
    pub(crate) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Posts a body and waits for the answer, for the request time-out at most. A connection that
    /// failed is replaced by the next call.
    pub(crate) async fn post(&mut self, kind: Kind, body: Bytes) -> Reply {
        let deadline = Instant::now() + self.dialect.request_timeout;
        let reply = match timeout_at(deadline, self.exchange(kind, body)).await {
            Ok(Ok(reply)) => return reply,
            Ok(Err(silence)) => Reply::Silence(silence),
            Err(_) => Reply::Silence(Silence::TimedOut),
        };
        self.connection = None;
        reply
    }

    async fn exchange(&mut self, kind: Kind, body: Bytes) -> Result<Reply, Silence> {
        let request = Request::post(kind.path())
            .header(HOST, &self.dialect.host)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, &self.dialect.authorization)
            .body(Full::new(body))
            .map_err(|_| Silence::NotConnected)?;
        let connection = self.connected().await.map_err(|_| Silence::NotConnected)?;
        let response = connection.send_request(request).await.map_err(|_| Silence::ConnectionLost)?;
        self.read(response).await
    }

    async fn connected(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let usable = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.connection = None;
            let stream = TcpStream::connect(self.dialect.target.address()).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // It ends when the sender is dropped or the peer closes.
            tokio::spawn(connection);
            self.connection = Some(sender);
        }
        self.connection.as_mut().ok_or_else(|| anyhow::anyhow!("no connection"))
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Reply, Silence> {
        let (head, body) = response.into_parts();
        if !self.dialect.slow_answers.is_zero() {
            sleep(self.dialect.slow_answers).await;
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| Silence::ConnectionLost)?
            .to_bytes();
        if head.status == StatusCode::OK {
            return Ok(Reply::Answers(body));
        }
        let retry_after = head
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        Ok(Reply::Problem { status: head.status.as_u16(), detail: detail_of(&body), retry_after })
    }
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

fn detail_of(body: &[u8]) -> String {
    match serde_json::from_slice::<Problem>(body) {
        Ok(problem) => problem.detail.chars().take(DETAIL_CHARS_MAX).collect(),
        Err(_) => String::new(),
    }
}
