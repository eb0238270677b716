//! A connection, from its first request to its end.
//!
//! hyper has two buffers of 8 KiB for each connection, whether anything happens on it or not, and on most of ten
//! thousand nothing does. So hyper is let go, with its buffers, when the client has its answer, and what is left is the
//! socket until there is something to read. A client whose next request comes soon keeps hyper, until it falls silent.
//!
//! A request needs no timer of its own, which would be set and taken away again for each: a connection looks at what
//! it waits for once in a while, and whoever waits in an answer is asked again then, and can look at the clock.

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

/// What is soon, and how often a connection looks at what it waits for.
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

/// Serves requests until either side ends the connection. A client may be silent for `head_max` between two of them,
/// and take as long for the head of one, and a little longer.
pub(crate) async fn serve<S, F, A>(
    stream: S,
    refuse: Refuse,
    builder: &Builder,
    head_max: Duration,
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
        Box::pin(serve_until_quiet(socket, is_busy, &line, builder, head_max, &answer, &mut draining)).await
    {
        socket = quiet;
        let since = Instant::now();
        tokio::select! {
            more = socket.wait() => if !more {
                return socket.shut().await;
            },
            Ok(()) = draining.changed() => return socket.shut().await,
            () = tokio::time::sleep(head_max) => return,
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
    head_max: Duration,
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
    // A request that began before, and has its answer, is none that came since.
    line.awaits_request();
    let tick = SOON.min(head_max);
    let mut awaited = Duration::ZERO;
    let mut is_draining = false;
    let outcome = loop {
        let served = poll_fn(|cx| match Pin::new(&mut connection).poll(cx) {
            Poll::Pending if !is_busy && !is_draining && line.is_quiet() => Poll::Ready(None),
            served => served.map(Some),
        });
        let is_quiet = tokio::select! {
            outcome = served => match outcome {
                Some(outcome) => break outcome,
                None => true,
            },
            Ok(()) = draining.changed(), if !is_draining => {
                Pin::new(&mut connection).graceful_shutdown();
                is_draining = true;
                false
            }
            () = tokio::time::sleep(tick) => {
                awaited = if line.awaits_request() { awaited + tick } else { Duration::ZERO };
                // An answer may have ended within the first tick that counts.
                if awaited > head_max {
                    debug!("no request came in time");
                    return None;
                }
                is_busy && !is_draining && line.stays_quiet()
            }
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const REQUEST: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    const BODY: &str = "an answer";
    const IDLE_MAX: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(5);

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

    /// A connection on which nothing more comes.
    async fn check_ends(client: &mut DuplexStream) {
        let mut more = [0; 1];
        let ended = tokio::time::timeout(IDLE_MAX + 2 * SOON, client.read(&mut more)).await;
        assert_eq!(ended.expect("an end in time").expect("reads"), 0);
    }

    /// How long hyper has a connection, and whether it is let go rather than ended.
    async fn with_hyper(server: DuplexStream, is_busy: bool, takes: Duration) -> (Duration, bool) {
        let (_drain, mut draining) = watch::channel(());
        let line = Arc::new(Line::default());
        let socket = Socket::new(server, Arc::clone(&line), refuse());
        let began = Instant::now();
        let answer = |_| answer(takes);
        let builder = Builder::new();
        let left =
            serve_until_quiet(socket, is_busy, &line, &builder, IDLE_MAX, &answer, &mut draining).await;
        (began.elapsed(), left.is_some())
    }

    fn start(server: DuplexStream) -> watch::Sender<()> {
        let (drain, draining) = watch::channel(());
        tokio::spawn(async move {
            serve(server, refuse(), &Builder::new(), IDLE_MAX, |_| answer(Duration::ZERO), draining).await;
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
    async fn what_waits_in_an_answer_without_a_timer_is_asked_again() {
        for is_busy in [false, true] {
            let (mut client, server) = duplex(4096);
            client.write_all(REQUEST.as_bytes()).await.expect("writes");
            let (_drain, mut draining) = watch::channel(());
            let line = Arc::new(Line::default());
            let socket = Socket::new(server, Arc::clone(&line), refuse());
            let began = Instant::now();
            let answer = |_| async move {
                poll_fn(|_| if began.elapsed() < LONG { Poll::Pending } else { Poll::Ready(()) }).await;
                answer(Duration::ZERO).await
            };
            let builder = Builder::new();
            let serving =
                serve_until_quiet(socket, is_busy, &line, &builder, IDLE_MAX, &answer, &mut draining);
            let answered = async {
                read_answer(&mut client).await;
                began.elapsed()
            };
            let (_, after) = tokio::join!(serving, answered);
            assert!(after >= LONG && after <= LONG + SOON, "{is_busy}: {after:?}");
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
        check_ends(&mut client).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_end_does_not_keep_a_gateway_that_drains() {
        let (mut client, server) = duplex(4096);
        let drain = start(server);
        client.write_all(&REQUEST.as_bytes()[..9]).await.expect("writes");
        sleep(SOON / 2).await;
        drain.send_replace(());
        check_ends(&mut client).await;
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
