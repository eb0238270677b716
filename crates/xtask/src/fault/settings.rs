//! The settings of an installation that is to be broken.

use std::time::Duration;

/// The session of a worker that is gone ends after so long, and its partitions go to others.
pub const SESSION: Duration = Duration::from_secs(3);

/// Short times: what takes minutes in production happens here every second.
pub fn worker() -> [(&'static str, String); 5] {
    [
        ("WATTLINE_WORKER_FLUSH_MS", "300".to_owned()),
        ("WATTLINE_PARQUET_FILE_AGE_MAX_MS", "1500".to_owned()),
        ("WATTLINE_WORKER_SESSION_TIMEOUT_MS", SESSION.as_millis().to_string()),
        ("WATTLINE_WORKER_RETRY_MAX_MS", "1000".to_owned()),
        ("WATTLINE_CLICKHOUSE_REQUEST_TIMEOUT_MS", "10000".to_owned()),
    ]
}

/// Several heartbeats in a session.
pub const MORE_CONFIGURATION: &str = "[kafka.properties]\n\"heartbeat.interval.ms\" = \"500\"\n";
