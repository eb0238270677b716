//! Latencies of all gateways, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Below this many microseconds every value has its own bucket.
const LINEAR: u64 = 64;
/// Above it each power of two has this many, so a figure is right to 3%.
const PER_OCTAVE: usize = 32;
const OCTAVE_MAX: u32 = 36;
const BUCKETS: usize = LINEAR as usize + (OCTAVE_MAX as usize - 5) * PER_OCTAVE;

#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: Box<[AtomicU64]>,
    max_us: AtomicU64,
}

/// The counts of a moment; the difference of two is the counts of the time between.
#[derive(Debug, Clone)]
pub(crate) struct Counts(Vec<u64>);

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(), max_us: AtomicU64::new(0) }
    }

    pub(crate) fn record(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket_of(us)].fetch_add(1, Relaxed);
        self.max_us.fetch_max(us, Relaxed);
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts(self.buckets.iter().map(|count| count.load(Relaxed)).collect())
    }

    pub(crate) fn max_ms(&self) -> f64 {
        self.max_us.load(Relaxed) as f64 / 1_000.0
    }
}

impl Counts {
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self(self.0.iter().zip(&earlier.0).map(|(now, then)| now - then).collect())
    }

    /// The upper bound of the bucket in which the share `quantile` of the values ends.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let rank = ((total as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.0.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_us(bucket) as f64 / 1_000.0;
            }
        }
        0.0
    }
}

fn bucket_of(us: u64) -> usize {
    if us < LINEAR {
        return us as usize;
    }
    let octave = us.ilog2();
    if octave > OCTAVE_MAX {
        return BUCKETS - 1;
    }
    let within = (us >> (octave - 5)) as usize - PER_OCTAVE;
    LINEAR as usize + (octave as usize - 6) * PER_OCTAVE + within
}

fn upper_us(bucket: usize) -> u64 {
    match bucket.checked_sub(LINEAR as usize) {
        None => bucket as u64,
        Some(above) => {
            let (octave, within) = (above / PER_OCTAVE, above % PER_OCTAVE);
            ((PER_OCTAVE + within + 1) as u64) << (octave + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_bucket() {
        let histogram = Histogram::new();
        for ms in 1..=1_000 {
            histogram.record(Duration::from_millis(ms));
        }
        let counts = histogram.counts();
        for (quantile, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1_000.0)] {
            let found = counts.quantile_ms(quantile);
            assert!((ms..=ms * 1.04).contains(&found), "{quantile}: {found}");
        }
        assert_eq!(histogram.max_ms(), 1_000.0);
        histogram.record(Duration::MAX);
        assert_eq!(histogram.counts().since(&counts).0.iter().sum::<u64>(), 1);
    }
}
