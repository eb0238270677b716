use std::time::Duration;

/// Checked settings of the worker.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The consumer group.
    pub group: String,
    pub topic_intervals: String,
    pub topic_counters: String,
    pub topic_rejected: String,
    /// A batch is written to ClickHouse when it is this old, …
    pub flush_after: Duration,
    /// … or has this many bytes of records.
    pub flush_bytes_max: usize,
    /// Bytes of records that all partitions together may be writing.
    pub writing_bytes_max: usize,
    /// A Parquet file is finished when it is this old, …
    pub file_after: Duration,
    /// … or this large.
    pub file_bytes_max: usize,
    /// Bytes of records that wait in front of a partition's task; when it is full, the partition is paused.
    pub queue_bytes_max: usize,
    /// Devices whose last reading is remembered, for each partition.
    pub cache_devices_max: usize,
    /// What a partition may take to write what it has when it is revoked or the worker stops.
    pub stop_timeout: Duration,
    /// The waits between two tries of a sink: from the first to the last, doubling.
    pub retry_first: Duration,
    pub retry_max: Duration,
}
