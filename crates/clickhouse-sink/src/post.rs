//! The request that carries the rows of an insert.
//!
//! The `clickhouse` crate hands each piece of a body from one task to another and waits until it is taken, which for the
//! fifty pieces of a batch costs more than the bytes. Here the connection has all pieces at once.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use clickhouse::error::{Error, Result};
use http::header::USER_AGENT;
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use url::Url;

use crate::client::Settings;
use crate::tls;

/// An exception is a few lines.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Posts statements that have rows behind them; clones share the connections.
#[derive(Clone)]
pub(crate) struct Poster {
    http: Client<HttpsConnector<HttpConnector>, Pieces>,
    url: String,
    /// None where the server asks nobody who they are.
    user: Option<(String, String)>,
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password stays out of logs.
        f.debug_struct("Poster").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Poster {
    pub fn new(connector: HttpsConnector<HttpConnector>, settings: &Settings) -> Self {
        let Settings { url, user, password, .. } = settings;
        let user = (!user.is_empty()).then(|| (user.clone(), password.clone()));
        Poster { http: tls::http(connector), url: url.clone(), user }
    }

    /// Posts the rows of a statement. Dropped before its end it cuts the connection, and nobody knows what became of
    /// the rows.
    pub async fn post(
        &self,
        database: &str,
        statement: &str,
        settings: &[(&str, &str)],
        rows: Vec<Bytes>,
    ) -> Result<()> {
        let mut url = Url::parse(&self.url).map_err(|error| Error::InvalidParams(error.into()))?;
        url.query_pairs_mut()
            .clear()
            .append_pair("database", database)
            .append_pair("query", statement)
            .extend_pairs(settings);
        let mut request =
            Request::post(url.as_str()).header(USER_AGENT, concat!("wattline/", env!("CARGO_PKG_VERSION")));
        if let Some((user, password)) = &self.user {
            request = request.header("X-ClickHouse-User", user).header("X-ClickHouse-Key", password);
        }
        let request =
            request.body(Pieces(rows.into())).map_err(|error| Error::InvalidParams(error.into()))?;
        let (head, body) =
            self.http.request(request).await.map_err(|error| Error::Network(error.into()))?.into_parts();
        let code = head.headers.get("X-ClickHouse-Exception-Code").and_then(|code| code.to_str().ok());
        let said = match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(said) => String::from_utf8_lossy(&said.to_bytes()).trim().to_owned(),
            // With the status alone it is known what to do.
            Err(_) if head.status != StatusCode::OK => String::new(),
            Err(error) => return Err(Error::Network(error)),
        };
        // An insert that succeeded has nothing to say: an exception may come after the status.
        match (head.status, code) {
            (StatusCode::OK, None) if said.is_empty() => Ok(()),
            (_, Some(code)) if said.is_empty() => Err(Error::BadResponse(format!("Code: {code}"))),
            (status, _) if said.is_empty() => Err(Error::BadResponse(status.to_string())),
            _ => Err(Error::BadResponse(said)),
        }
    }
}

/// A body that is there as a whole, in pieces.
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;
    use crate::error::ClickHouseError;

    /// What becomes of an insert that is answered so, and the request as the server had it.
    fn answered(answer: &'static str) -> (Result<()>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/?of=no+use", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"last") {
                let mut some = [0; 4096];
                let bytes = socket.read(&mut some).unwrap();
                assert!(bytes > 0, "the request is cut off");
                request.extend_from_slice(&some[..bytes]);
            }
            socket.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        let settings = Settings {
            url,
            tls_ca_file: None,
            database: "d".to_owned(),
            user: "u".to_owned(),
            password: "p".to_owned(),
            request_timeout: Duration::from_secs(30),
        };
        let poster = Poster::new(tls::connector(false, None).unwrap(), &settings);
        let rows = ["first, ", "second, ", "last"].map(|piece| Bytes::from_static(piece.as_bytes()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let posted = runtime.block_on(poster.post("d", "INSERT INTO t", &[("token", "a/b")], rows.into()));
        (posted, server.join().unwrap())
    }

    #[test]
    fn a_request_has_its_statement_in_the_address_and_all_pieces_behind_it() {
        let (posted, request) = answered("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        posted.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some("POST /?database=d&query=INSERT+INTO+t&token=a%2Fb HTTP/1.1"));
        let headers: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
        for header in ["x-clickhouse-user: u", "x-clickhouse-key: p", "content-length: 19"] {
            assert!(headers.iter().any(|line| line == header), "{header} is not in {headers:?}");
        }
        assert_eq!(body, "first, second, last");
    }

    #[test]
    fn only_an_answer_without_a_word_is_success() {
        for (answer, kind) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\nCode: 241. DB::Exception: Memory limit exceeded",
                "busy",
            ),
            (
                "HTTP/1.1 500 No\r\nContent-Length: 38\r\n\r\nCode: 60. DB::Exception: No such table",
                "refused",
            ),
            ("HTTP/1.1 200 OK\r\nX-ClickHouse-Exception-Code: 252\r\nContent-Length: 0\r\n\r\n", "busy"),
            ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "refused"),
            ("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n", "unreachable"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "unreachable"),
            // The connection ends before the answer does, or before it begins.
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", "unreachable"),
            ("", "unreachable"),
        ] {
            let error = answered(answer).0.expect_err(answer);
            assert_eq!(ClickHouseError::classify("insert", error).kind(), kind, "{answer}");
        }
    }
}
