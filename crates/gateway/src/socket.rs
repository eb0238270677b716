//! The socket below hyper, for the two things that hyper leaves open.
//!
//! A request that hyper cannot parse never reaches the service: hyper answers it with a bare status, which is
//! replaced here by an answer like every other one. And a connection that is closed with unread bytes of a body
//! is reset, which can take the answer away from a client that is still sending: the rest is read first, for a
//! bounded time and a bounded number of bytes.
//!
//! It also outlives hyper, which a connection on which nothing happens is taken from.

use std::future::{Future as _, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, str};

use bytes::{Buf as _, Bytes};
use hyper::StatusCode;
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;

use crate::line::Line;

/// How long the rest of a body is read after its answer, and how much of it.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is read of a connection before hyper has it again: more than most requests for a single point.
const HELD_BYTES_MAX: usize = 1024;

/// Makes the answer that stands in for a bare status of hyper's; the date is hyper's too.
pub(crate) type Refuse = Box<dyn Fn(StatusCode, &str) -> Bytes + Send>;

pub(crate) struct Socket<S> {
    stream: TokioIo<S>,
    /// What was read and is not understood yet.
    held: Bytes,
    refuse: Refuse,
    /// What is left to write of an answer of ours, in place of one of hyper's.
    refusal: Option<Bytes>,
    is_shut: bool,
    linger: Option<Pin<Box<Sleep>>>,
    lingered_bytes: usize,
    line: Arc<Line>,
}

/// Ends a connection on which nothing is understood, in the same way as after an unread body.
pub(crate) async fn end(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let line = Arc::new(Line::default());
    line.set_unread(true);
    Socket::new(stream, line, Box::new(|_, _| Bytes::new())).shut().await;
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(stream: S, line: Arc<Line>, refuse: Refuse) -> Self {
        Socket {
            stream: TokioIo::new(stream),
            held: Bytes::new(),
            refuse,
            refusal: None,
            is_shut: false,
            linger: None,
            lingered_bytes: 0,
            line,
        }
    }

    /// Takes back what hyper has read and not understood yet.
    pub(crate) fn hold(mut self, unparsed: Bytes) -> Self {
        self.held = unparsed;
        self
    }

    /// Waits until the client sends something, of which the beginning is held. False if nothing more comes.
    pub(crate) async fn wait(&mut self) -> bool {
        poll_fn(|cx| {
            if self.held.is_empty() {
                let mut space = [MaybeUninit::uninit(); HELD_BYTES_MAX];
                let mut beginning = ReadBuf::uninit(&mut space);
                let read = ready!(self.stream().poll_read(cx, beginning.unfilled()));
                self.held = Bytes::copy_from_slice(beginning.filled());
                return Poll::Ready(read.is_ok() && !self.held.is_empty());
            }
            Poll::Ready(true)
        })
        .await
    }

    /// Ends the connection, in the way that hyper does.
    pub(crate) async fn shut(mut self) {
        // However it ends, it has ended.
        let _ = poll_fn(|cx| Pin::new(&mut self).poll_shutdown(cx)).await;
    }

    fn stream(&mut self) -> Pin<&mut TokioIo<S>> {
        Pin::new(&mut self.stream)
    }

    /// Begins to replace what is to be written, where it is a bare status of hyper's.
    fn replaces(&mut self, written: &[u8]) -> bool {
        if self.refusal.is_none()
            && let Some((status, date)) = bare_status(written)
        {
            self.refusal = Some((self.refuse)(status, date));
            self.line.set_unread(true);
        }
        self.refusal.is_some()
    }

    fn poll_write_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.refusal.as_mut().filter(|rest| !rest.is_empty()) {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            rest.advance(written);
        }
        // Nothing follows on this connection.
        Poll::Ready(Ok(()))
    }
}

/// The status and the date of an answer that hyper gives by itself. All of ours have a body or a request id.
fn bare_status(head: &[u8]) -> Option<(StatusCode, &str)> {
    let status = head.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let head = str::from_utf8(head).ok()?;
    if head.contains("x-request-id: ") || !head.contains("content-length: 0\r\n") {
        return None;
    }
    let date = head.lines().find_map(|line| line.strip_prefix("date: ")).unwrap_or_default();
    Some((StatusCode::from_bytes(&[b'4', status[0], status[1]]).ok()?, date))
}

impl<S: AsyncRead + AsyncWrite + Unpin> Read for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.held.is_empty() {
            let bytes = self.held.len().min(buf.remaining());
            buf.put_slice(&self.held.split_to(bytes));
        } else {
            ready!(self.stream().poll_read(cx, buf))?;
        }
        self.line.came();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Write for Socket<S> {
    /// Not vectored: to put an answer's head and body together is cheaper than to have the kernel take two pieces.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.replaces(buf) {
            ready!(self.poll_write_refusal(cx))?;
            return Poll::Ready(Ok(buf.len()));
        }
        let written = self.stream().poll_write(cx, buf);
        self.line.went(matches!(written, Poll::Ready(Ok(bytes)) if bytes == buf.len()));
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.stream().poll_flush(cx);
        if flushed.is_pending() {
            self.line.went(false);
        }
        flushed
    }

    /// Says that no more comes, and reads on until the client has said the same or the time is over.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.line.went(false);
        if !self.is_shut {
            ready!(self.stream().poll_shutdown(cx))?;
            self.is_shut = true;
        }
        if !self.line.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER_MAX)));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut space = [MaybeUninit::uninit(); 16 * 1024];
        loop {
            let mut rest = ReadBuf::uninit(&mut space);
            // However it ends, it has ended.
            let read = ready!(self.stream().poll_read(cx, rest.unfilled()));
            let bytes = rest.filled().len();
            self.lingered_bytes += bytes;
            if read.is_err() || bytes == 0 || self.lingered_bytes > LINGER_BYTES_MAX {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_of_hypers_own_are_replaced() {
        let bare =
            b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                     date: Tue, 24 Nov 2026 04:06:39 GMT\r\n\r\n";
        let date = "Tue, 24 Nov 2026 04:06:39 GMT";
        assert_eq!(bare_status(bare), Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, date)));
        for ours in [
            "HTTP/1.1 400 Bad Request\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 4",
            "",
        ] {
            assert_eq!(bare_status(ours.as_bytes()), None, "{ours}");
        }
    }
}
