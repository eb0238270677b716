//! What hyper does not tell of a connection: whether anything happens on it.
//!
//! The socket below hyper and the answers above it write it down, and `connection` reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

#[derive(Default)]
pub(crate) struct Line {
    /// Something came or went since this was last asked.
    has_moved: AtomicBool,
    /// The last that happened is an answer that went out whole.
    is_answered: AtomicBool,
    /// The client may be sending what nobody reads any more.
    is_unread: AtomicBool,
    answers_under_way: AtomicUsize,
    /// A request began since this was last asked.
    has_begun: AtomicBool,
}

impl Line {
    pub(crate) fn came(&self) {
        self.went(false);
    }

    pub(crate) fn went(&self, is_whole: bool) {
        self.has_moved.store(true, Ordering::Relaxed);
        self.is_answered.store(is_whole, Ordering::Relaxed);
    }

    pub(crate) fn set_unread(&self, is_unread: bool) {
        self.is_unread.store(is_unread, Ordering::Relaxed);
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed)
    }

    /// Whether the client has its answer, and nothing is under way that this side knows of.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_answered.load(Ordering::Relaxed)
            && !self.is_unread()
            && self.answers_under_way.load(Ordering::Relaxed) == 0
    }

    /// Whether no answer is under way, and no request began since this was last asked.
    pub(crate) fn awaits_request(&self) -> bool {
        !self.has_begun.swap(false, Ordering::Relaxed) && self.answers_under_way.load(Ordering::Relaxed) == 0
    }

    /// Whether it is quiet and was so when this was last asked.
    pub(crate) fn stays_quiet(&self) -> bool {
        !self.has_moved.swap(false, Ordering::Relaxed) && self.is_quiet()
    }
}

/// An answer that is under way for as long as this lives.
pub(crate) struct UnderWay(Arc<Line>);

impl UnderWay {
    pub(crate) fn on(line: &Arc<Line>) -> Self {
        line.answers_under_way.fetch_add(1, Ordering::Relaxed);
        line.has_begun.store(true, Ordering::Relaxed);
        UnderWay(Arc::clone(line))
    }

    pub(crate) fn line(&self) -> &Line {
        &self.0
    }

    /// hyper lets go of a body when its end is written, or will never be.
    pub(crate) fn until_end_of<B>(self, body: B) -> AnswerBody<B> {
        AnswerBody { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.answers_under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer that is under way.
pub(crate) struct AnswerBody<B> {
    body: B,
    _under_way: UnderWay,
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
