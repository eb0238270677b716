use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A limit on points a second for each client, with a burst: a token bucket each.
#[derive(Debug)]
pub(crate) struct Rates {
    points_per_s: f64,
    burst: f64,
    /// By the client's number in the directory, so it is bounded by the number of clients.
    buckets: Mutex<HashMap<u32, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    points: f64,
    at: Instant,
}

impl Rates {
    /// None where there is no limit. A burst is at least one full request, or none could pass.
    pub(crate) fn new(points_per_s: u32, burst_points: u32) -> Option<Self> {
        let burst = burst_points.max(wattline_wire::POINTS_MAX as u32);
        (points_per_s > 0).then(|| Rates {
            points_per_s: f64::from(points_per_s),
            burst: f64::from(burst),
            buckets: Mutex::new(HashMap::new()),
        })
    }

    /// Takes the points from the client's bucket, or says after how many seconds they will be there.
    pub(crate) fn take(&self, client_index: u32, points: usize, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(client_index).or_insert(Bucket { points: self.burst, at: now });
        let elapsed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.points = (bucket.points + elapsed * self.points_per_s).min(self.burst);
        bucket.at = now;
        let missing = points as f64 - bucket.points;
        if missing > 0.0 {
            return Err((missing / self.points_per_s).ceil() as u64);
        }
        bucket.points -= points as f64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_gets_its_burst_and_then_its_rate() {
        let rates = Rates::new(100, 0).expect("a limit");
        let start = Instant::now();
        assert_eq!(rates.take(1, 1_000, start), Ok(()));
        assert_eq!(rates.take(1, 250, start), Err(3));
        assert_eq!(rates.take(2, 1_000, start), Ok(()), "another client has a bucket of its own");
        assert_eq!(rates.take(1, 250, start + Duration::from_secs(3)), Ok(()));
        assert!(Rates::new(0, 10).is_none());
    }
}
