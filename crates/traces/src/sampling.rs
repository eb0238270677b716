//! Which requests are traced, decided when they begin.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

/// A share of all requests, drawn by lot.
#[derive(Debug)]
pub(crate) struct Lot {
    ids: RandomIdGenerator,
    /// Draws below it win.
    below: u128,
}

impl Lot {
    pub(crate) fn new(ratio: f64) -> Self {
        let below = (ratio.clamp(0.0, 1.0) * (u64::MAX as f64 + 1.0)) as u128;
        Lot { ids: RandomIdGenerator::default(), below }
    }

    pub(crate) fn draw(&self) -> bool {
        u128::from(u64::from_be_bytes(self.ids.new_span_id().to_bytes())) < self.below
    }
}

/// So many a second, so that nobody can make every request a traced one.
#[derive(Debug)]
pub(crate) struct Allowance {
    per_s: u32,
    taken: Mutex<(Instant, u32)>,
}

impl Allowance {
    pub(crate) fn new(per_s: u32) -> Self {
        Allowance { per_s, taken: Mutex::new((Instant::now(), 0)) }
    }

    pub(crate) fn take(&self, now: Instant) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, count) = &mut *taken;
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        let is_there = *count < self.per_s;
        *count += u32::from(is_there);
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lot_is_as_likely_as_it_says() {
        const DRAWS: usize = 100_000;
        let won = |ratio: f64| {
            let lot = Lot::new(ratio);
            (0..DRAWS).filter(|_| lot.draw()).count()
        };
        assert_eq!(won(0.0), 0);
        assert_eq!(won(1.0), DRAWS);
        // Five standard deviations.
        let tenth = won(0.1);
        assert!((9_526..=10_474).contains(&tenth), "{tenth}");
    }

    #[test]
    fn so_many_a_second_and_no_more() {
        let allowance = Allowance::new(2);
        let began = Instant::now();
        let at = |ms| allowance.take(began + Duration::from_millis(ms));
        assert_eq!(
            [0, 1, 2, 900, 1_100, 1_200, 1_300].map(at),
            [true, true, false, false, true, true, false]
        );
        assert!(!Allowance::new(0).take(began));
    }
}
