//! The fleet's common rhythm: when the next request may leave.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// An open loop: the schedule goes on whether or not answers come, and a fleet that fell behind
/// sends at once until it has caught up.
#[derive(Debug)]
pub(crate) struct Pace {
    started: Instant,
    ns_per_point: Option<f64>,
    next_ns: AtomicU64,
}

impl Pace {
    pub(crate) fn new(started: Instant, points_per_s: Option<f64>) -> Self {
        Self { started, ns_per_point: points_per_s.map(|rate| 1e9 / rate), next_ns: AtomicU64::new(0) }
    }

    /// Takes the next place in the schedule; `points` are due at the moment returned.
    pub(crate) fn reserve(&self, points: usize) -> Instant {
        let Some(ns_per_point) = self.ns_per_point else { return self.started };
        let taken_ns = (points as f64 * ns_per_point) as u64;
        self.started + Duration::from_nanos(self.next_ns.fetch_add(taken_ns, Relaxed))
    }
}
