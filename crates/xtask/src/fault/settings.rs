//! The settings of an installation that is to be broken.

/// Short times: what takes minutes in production happens here every second.
pub const WORKER: &[(&str, &str)] = &[
    ("WATTLINE_WORKER_FLUSH_MS", "300"),
    ("WATTLINE_PARQUET_FILE_AGE_MAX_MS", "1500"),
    ("WATTLINE_WORKER_SESSION_TIMEOUT_MS", "3000"),
    ("WATTLINE_WORKER_RETRY_MAX_MS", "1000"),
    ("WATTLINE_CLICKHOUSE_REQUEST_TIMEOUT_MS", "10000"),
];
/// Several heartbeats in a session.
pub const MORE_CONFIGURATION: &str = "[kafka.properties]\n\"heartbeat.interval.ms\" = \"500\"\n";
