//! Bodies that pass through: bounded in bytes and in time, and never gathered.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// Why the rest of a request's body was not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyStop {
    #[error("the body is over the limit")]
    TooLarge,
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body ended too early")]
    CutOff,
}

/// Tells, once the body was given up, why.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<OnceLock<BodyStop>>);

impl Stop {
    pub(crate) fn get(&self) -> Option<BodyStop> {
        self.0.get().copied()
    }
}

/// A request's body on its way to a service. It has to be there by a deadline.
pub(crate) struct RequestBody {
    body: Incoming,
    left_bytes: usize,
    deadline: Pin<Box<Sleep>>,
    stop: Stop,
}

impl RequestBody {
    pub(crate) fn new(body: Incoming, bytes_max: usize, timeout: Duration) -> (Self, Stop) {
        let stop = Stop::default();
        let deadline = Box::pin(tokio::time::sleep(timeout));
        (RequestBody { body, left_bytes: bytes_max, deadline, stop: stop.clone() }, stop)
    }

    fn give_up(&self, why: BodyStop) -> Poll<Option<Result<Frame<Bytes>, BodyStop>>> {
        let _ = self.stop.0.set(why);
        Poll::Ready(Some(Err(why)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyStop;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyStop>>> {
        if self.body.size_hint().lower() > self.left_bytes as u64 {
            return self.give_up(BodyStop::TooLarge);
        }
        let frame = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.deadline.as_mut().poll(cx));
                return self.give_up(BodyStop::TooSlow);
            }
        };
        match frame {
            None => Poll::Ready(None),
            Some(Err(_)) => self.give_up(BodyStop::CutOff),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                let Some(left_bytes) = self.left_bytes.checked_sub(bytes) else {
                    return self.give_up(BodyStop::TooLarge);
                };
                self.left_bytes = left_bytes;
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body on its way to the caller. A service that falls silent ends it, and the connection with it.
pub(crate) struct ResponseBody {
    body: Incoming,
    silence_max: Duration,
    silence: Pin<Box<Sleep>>,
}

impl ResponseBody {
    pub(crate) fn new(body: Incoming, silence_max: Duration) -> Self {
        ResponseBody { body, silence_max, silence: Box::pin(tokio::time::sleep(silence_max)) }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.silence.as_mut().poll(cx));
            return Poll::Ready(Some(Err("the upstream fell silent".into())));
        };
        let silence_ends = Instant::now() + self.silence_max;
        self.silence.as_mut().reset(silence_ends);
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
