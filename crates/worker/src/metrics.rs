use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use wattline_counters::LastReadings;
use wattline_kafka::TopicPartition;

use crate::derive::Counts;

/// Gives each metric of the worker its help text and its unit.
pub fn describe_metrics() {
    describe_counter!("wattline_worker_points_total", "Data points taken from Kafka, by topic.");
    describe_counter!(
        "wattline_worker_readings_repeated_total",
        "Counter readings that were in the chain already."
    );
    describe_counter!(
        "wattline_worker_readings_late_total",
        "Counter readings older than one that came before."
    );
    describe_counter!("wattline_worker_rejected_total", "Records and points that were put aside, by topic.");
    describe_counter!("wattline_worker_batches_total", "Batches written, by topic.");
    describe_histogram!(
        "wattline_worker_batch_seconds",
        Unit::Seconds,
        "From the cut of a batch to its rows being stored."
    );
    describe_histogram!(
        "wattline_worker_freshness_seconds",
        Unit::Seconds,
        "From the gateway taking a request to its rows being readable in ClickHouse, by topic."
    );
    describe_counter!(
        "wattline_worker_retries_total",
        "Tries of a sink that failed and were repeated, by sink."
    );
    describe_counter!(
        "wattline_worker_restarts_total",
        "Times the worker left its group and began anew after a fault."
    );
    describe_gauge!("wattline_worker_partitions", "Partitions this worker owns.");
    describe_gauge!(
        "wattline_worker_remembered_devices",
        "Devices whose last reading is remembered, by topic and partition."
    );
    describe_gauge!(
        "wattline_worker_remembered_bytes",
        Unit::Bytes,
        "What the remembered devices take, by topic and partition."
    );
    describe_gauge!(
        "wattline_worker_consumer_lag_records",
        "Records in Kafka that are not stored in ClickHouse yet, by topic and partition."
    );
    describe_gauge!(
        "wattline_worker_oldest_unstored_seconds",
        Unit::Seconds,
        "Age of the oldest record that was taken and is not in the sink yet, by topic, partition and sink."
    );
}

pub(crate) fn batch_stored(
    partition: &TopicPartition,
    counts: &Counts,
    remembered: &LastReadings,
    took: Duration,
) {
    let topic = partition.topic.to_string();
    counter!("wattline_worker_points_total", "topic" => topic.clone()).increment(counts.points);
    counter!("wattline_worker_readings_repeated_total").increment(counts.repeated);
    counter!("wattline_worker_readings_late_total").increment(counts.late);
    counter!("wattline_worker_rejected_total", "topic" => topic.clone()).increment(counts.rejected);
    counter!("wattline_worker_batches_total", "topic" => topic.clone()).increment(1);
    histogram!("wattline_worker_batch_seconds", "topic" => topic.clone()).record(took.as_secs_f64());
    let of = partition.partition.to_string();
    gauge!("wattline_worker_remembered_devices", "topic" => topic.clone(), "partition" => of.clone())
        .set(remembered.len() as f64);
    gauge!("wattline_worker_remembered_bytes", "topic" => topic, "partition" => of)
        .set(remembered.memory_bytes() as f64);
}

/// What was received at these times is readable now.
pub(crate) fn fresh(partition: &TopicPartition, now_ms: i64, received_at_ms: &[i64]) {
    /// Records of the same five milliseconds are told of together, by their end: to tell of one costs nearly as much as
    /// to decode a point. Every bucket from there on ends with them, so that each record is counted where it belongs.
    const TOGETHER_MS: u64 = 5;
    let freshness = histogram!("wattline_worker_freshness_seconds", "topic" => partition.topic.to_string());
    let age = |received_at_ms: i64| ((now_ms - received_at_ms).max(0) as u64).div_ceil(TOGETHER_MS);
    for together in received_at_ms.chunk_by(|&a, &b| age(a) == age(b)) {
        freshness.record_many((age(together[0]) * TOGETHER_MS) as f64 / 1_000.0, together.len());
    }
}

pub(crate) fn lag(partition: &TopicPartition, records: i64) {
    gauge!(
        "wattline_worker_consumer_lag_records",
        "topic" => partition.topic.to_string(),
        "partition" => partition.partition.to_string()
    )
    .set(records.max(0) as f64);
}

pub(crate) fn oldest_unstored(partition: &TopicPartition, ages_s: [(&'static str, f64); 2]) {
    for (sink, age_s) in ages_s {
        gauge!(
            "wattline_worker_oldest_unstored_seconds",
            "topic" => partition.topic.to_string(),
            "partition" => partition.partition.to_string(),
            "sink" => sink
        )
        .set(age_s);
    }
}

pub(crate) fn retried(sink: &'static str) {
    counter!("wattline_worker_retries_total", "sink" => sink).increment(1);
}

pub(crate) fn restarted() {
    counter!("wattline_worker_restarts_total").increment(1);
}

pub(crate) fn owned(partitions: usize) {
    gauge!("wattline_worker_partitions").set(partitions as f64);
}
