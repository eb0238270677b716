//! A connection, from its first request to its end.
//!
//! hyper has two buffers of 8 KiB for each connection, whether anything happens on it or not, and on most of ten
//! thousand nothing does. So hyper is let go, with its buffers, when the client has its answer, and what is left is the
//! socket until there is something to read. A client whose next request comes soon keeps hyper, until it falls silent.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::debug;

use crate::answer::Body;
use crate::line::{Line, UnderWay};
use crate::socket::{Refuse, Socket};

/// What is soon. A silence is noticed after at most twice as long.
const SOON: Duration = Duration::from_secs(1);

/// What has become of a request's body when its answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Read,
    Unread,
}

impl Rest {
    pub(crate) fn of(incoming: &Incoming) -> Self {
        if incoming.is_end_stream() { Rest::Read } else { Rest::Unread }
    }
}

/// Serves requests until either side ends the connection. A client may be silent for `silence_max` between two of them.
pub(crate) async fn serve<S, F, A>(
    stream: S,
    refuse: Refuse,
    builder: &Builder,
    silence_max: Duration,
    answer: F,
    mut draining: watch::Receiver<()>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = (Response<Body>, Rest)>,
{
    let line = Arc::new(Line::default());
    let mut socket = Socket::new(stream, Arc::clone(&line), refuse);
    let mut is_busy = false;
    // In a box, which is not there while nothing happens.
    while let Some(quiet) =
        Box::pin(serve_until_quiet(socket, is_busy, &line, builder, &answer, &mut draining)).await
    {
        socket = quiet;
        let since = Instant::now();
        tokio::select! {
            more = socket.wait() => if !more {
                return socket.shut().await;
            },
            Ok(()) = draining.changed() => return socket.shut().await,
            () = tokio::time::sleep(silence_max) => return,
        }
        is_busy = since.elapsed() < SOON;
    }
}

/// None once the connection has ended. A busy one is quiet when nothing happens for a while, others after an answer.
async fn serve_until_quiet<S, F, A>(
    socket: Socket<S>,
    is_busy: bool,
    line: &Arc<Line>,
    builder: &Builder,
    answer: &F,
    draining: &mut watch::Receiver<()>,
) -> Option<Socket<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = (Response<Body>, Rest)>,
{
    let service = service_fn(|request| {
        let under_way = UnderWay::on(line);
        async move {
            let (response, rest) = answer(request).await;
            under_way.line().set_unread(rest == Rest::Unread);
            Ok::<_, Infallible>(response.map(|body| under_way.until_end_of(body)))
        }
    });
    let mut connection = builder.serve_connection(socket, service);
    let outcome = loop {
        let served = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if !is_busy && line.is_quiet() => Poll::Ready(None),
            served => served.map(Some),
        });
        let is_quiet = tokio::select! {
            outcome = served => match outcome {
                Some(outcome) => break outcome,
                None => true,
            },
            Ok(()) = draining.changed() => {
                Pin::new(&mut connection).graceful_shutdown();
                break connection.await;
            }
            () = tokio::time::sleep(SOON), if is_busy => line.stays_quiet(),
        };
        if is_quiet {
            let parts = connection.into_parts();
            return Some(parts.io.hold(parts.read_buf));
        }
    };
    if let Err(cause) = outcome {
        debug!(%cause, "connection");
    }
    None
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::{Either, Full};
    use hyper_util::rt::TokioTimer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const BODY: &str = "an answer";
    const IDLE_MAX: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(5);

    fn builder() -> Builder {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX);
        builder
    }

    fn refuse() -> Refuse {
        Box::new(|_, _| Bytes::new())
    }

    async fn answer(takes: Duration) -> (Response<Body>, Rest) {
        sleep(takes).await;
        (Response::new(Either::Left(Full::new(Bytes::from_static(BODY.as_bytes())))), Rest::Read)
    }

    async fn read_answer(client: &mut DuplexStream) {
        let mut read = Vec::new();
        while !read.ends_with(BODY.as_bytes()) {
            assert_ne!(client.read_buf(&mut read).await.expect("reads"), 0, "{}", read.escape_ascii());
        }
    }

    /// How long hyper has a connection, and whether it is let go rather than ended.
    async fn with_hyper(server: DuplexStream, is_busy: bool, takes: Duration) -> (Duration, bool) {
        let (_drain, mut draining) = watch::channel(());
        let line = Arc::new(Line::default());
        let socket = Socket::new(server, Arc::clone(&line), refuse());
        let began = Instant::now();
        let answer = |_| answer(takes);
        let left = serve_until_quiet(socket, is_busy, &line, &builder(), &answer, &mut draining).await;
        (began.elapsed(), left.is_some())
    }

    fn start(server: DuplexStream) -> watch::Sender<()> {
        let (drain, draining) = watch::channel(());
        tokio::spawn(async move {
            serve(server, refuse(), &builder(), IDLE_MAX, |_| answer(Duration::ZERO), draining).await;
        });
        drain
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_is_let_go_after_an_answer_or_a_while_after_it() {
        for sent in [REQUEST.to_owned(), REQUEST.to_owned() + &REQUEST[..9]] {
            for (is_busy, from, to) in [(false, Duration::ZERO, Duration::ZERO), (true, SOON, 3 * SOON)] {
                let (mut client, server) = duplex(4096);
                client.write_all(sent.as_bytes()).await.expect("writes");
                let (after, is_let_go) = with_hyper(server, is_busy, Duration::ZERO).await;
                assert!(is_let_go && after >= from && after <= to, "{sent:?}, {is_busy}: {after:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_stays_while_a_request_comes() {
        for (sent, is_busy) in [("", false), ("", true), (&REQUEST[..9], false), (&REQUEST[..9], true)] {
            let (mut client, server) = duplex(4096);
            client.write_all(sent.as_bytes()).await.expect("writes");
            let (after, is_let_go) = with_hyper(server, is_busy, Duration::ZERO).await;
            assert!(!is_let_go && after >= IDLE_MAX, "{sent:?}, {is_busy}: {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_stays_while_an_answer_is_made() {
        for is_busy in [false, true] {
            let (mut client, server) = duplex(4096);
            client.write_all(REQUEST.as_bytes()).await.expect("writes");
            let (after, is_let_go) = with_hyper(server, is_busy, LONG).await;
            assert!(is_let_go && after >= LONG, "{is_busy}: {after:?}");
            read_answer(&mut client).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn hyper_stays_while_an_answer_goes() {
        for is_busy in [false, true] {
            // An answer does not fit.
            let (mut client, server) = duplex(REQUEST.len());
            client.write_all(REQUEST.as_bytes()).await.expect("writes");
            let slow = async {
                sleep(LONG).await;
                read_answer(&mut client).await;
            };
            let ((after, is_let_go), ()) = tokio::join!(with_hyper(server, is_busy, Duration::ZERO), slow);
            assert!(is_let_go && after >= LONG, "{is_busy}: {after:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_quiet_goes_on() {
        let (mut client, server) = duplex(4096);
        let _drain = start(server);
        let (first, second) = REQUEST.split_at(9);
        // The next request begins together with one that is answered, or while nothing happens.
        for sent in [REQUEST.to_owned() + first, second.to_owned(), REQUEST.to_owned()] {
            client.write_all(sent.as_bytes()).await.expect("writes");
            read_answer(&mut client).await;
            sleep(LONG).await;
        }
        client.write_all(first.as_bytes()).await.expect("writes");
        sleep(LONG).await;
        client.write_all(second.as_bytes()).await.expect("writes");
        read_answer(&mut client).await;

        let began = Instant::now();
        assert_eq!(client.read(&mut [0; 1]).await.expect("reads"), 0);
        assert!(began.elapsed() >= IDLE_MAX && began.elapsed() <= IDLE_MAX + 2 * SOON, "{began:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_ends_its_connection() {
        let (mut client, server) = duplex(4096);
        let _drain = start(server);
        client.write_all((REQUEST.to_owned() + &REQUEST[..9]).as_bytes()).await.expect("writes");
        read_answer(&mut client).await;
        let began = Instant::now();
        assert_eq!(client.read(&mut [0; 1]).await.expect("reads"), 0);
        assert!(began.elapsed() <= IDLE_MAX + 2 * SOON, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_ends_when_the_gateway_drains() {
        let (mut client, server) = duplex(4096);
        let drain = start(server);
        client.write_all(REQUEST.as_bytes()).await.expect("writes");
        read_answer(&mut client).await;
        sleep(LONG).await;
        let began = Instant::now();
        drain.send_replace(());
        assert_eq!(client.read(&mut [0; 1]).await.expect("reads"), 0);
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
