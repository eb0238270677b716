//! How old the oldest record is that a partition's task has taken and a sink does not have yet.

use std::sync::atomic::{AtomicI64, Ordering};

/// The time of that record for each sink, in milliseconds since 1970; nought where the sink has all.
#[derive(Debug, Default)]
pub(crate) struct Unstored {
    clickhouse_ms: AtomicI64,
    parquet_ms: AtomicI64,
}

impl Unstored {
    /// A record was taken, behind all that were taken before.
    pub(crate) fn taken(&self, time_ms: i64) {
        for oldest in [&self.clickhouse_ms, &self.parquet_ms] {
            if oldest.load(Ordering::Relaxed) == 0 {
                oldest.store(time_ms, Ordering::Relaxed);
            }
        }
    }

    /// ClickHouse has all that was taken.
    pub(crate) fn in_clickhouse(&self) {
        self.clickhouse_ms.store(0, Ordering::Relaxed);
    }

    /// Parquet has what was taken before a record of this time, or all.
    pub(crate) fn in_parquet_before(&self, next_ms: Option<i64>) {
        self.parquet_ms.store(next_ms.unwrap_or(0), Ordering::Relaxed);
    }

    /// By sink, in seconds.
    pub(crate) fn ages_s(&self, now_ms: i64) -> [(&'static str, f64); 2] {
        let age_s = |oldest: &AtomicI64| match oldest.load(Ordering::Relaxed) {
            0 => 0.0,
            time_ms => (now_ms - time_ms).max(0) as f64 / 1_000.0,
        };
        [("clickhouse", age_s(&self.clickhouse_ms)), ("parquet", age_s(&self.parquet_ms))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_each_sink_is_kept_until_the_sink_has_it() {
        let unstored = Unstored::default();
        let ages_s = |now_ms| unstored.ages_s(now_ms).map(|(_, age_s)| age_s);
        assert_eq!(ages_s(9_000), [0.0, 0.0]);
        unstored.taken(1_000);
        unstored.taken(3_000);
        assert_eq!(ages_s(9_000), [8.0, 8.0]);
        unstored.in_clickhouse();
        unstored.taken(5_000);
        assert_eq!(ages_s(9_000), [4.0, 8.0]);
        unstored.in_parquet_before(Some(5_000));
        assert_eq!(ages_s(9_000), [4.0, 4.0]);
        unstored.in_parquet_before(None);
        // A clock that steps back makes nothing younger than now.
        assert_eq!(ages_s(4_000), [0.0, 0.0]);
    }
}
