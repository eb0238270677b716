//! The points in Kafka against the rows in ClickHouse and in Parquet: is every point there exactly once, and
//! is every derived interval the one that the readings give?
//!
//! Owns the comparison and its report. It must not know how rows are written, nor HTTP; it reads, changes
//! nothing, disturbs no worker, and works from Kafka alone: what a worker remembers or looks up plays no part.
//!
//! **Beside a live worker.** What each sink has to have is fixed before anything is read: all below its
//! `done` in the committed metadata, or, where everything is demanded, all below the end of the partition.
//! Then the sinks are read, then Kafka up to its end by then. So whatever a sink shows is in Kafka, and a
//! point that a sink lacks is either missing or, at or above its `done`, pending. A row is held against what
//! the log amounts to at the row's own position, if that is further than what is demanded.
//!
//! **Beyond Kafka's memory.** Only what Kafka still has is compared. Where the oldest records are gone, a
//! reading may repeat, lose against, or follow one that Kafka no longer has; then ClickHouse is asked for
//! that one, and what rests on it is not judged. Only where a third, larger reading of that time follows can
//! the audit be wrong, and call one that repeats the oldest a loser that is missing among the rejected.
//!
//! **Memory.** One partition at a time is held: some 200 bytes for each counter reading that Kafka has, 120
//! for each reported interval, twice that while a list grows, and about 100 bytes for each device.

mod devices;
mod intervals;
mod key;
mod log;
mod partition;
mod points;
mod problems;
mod report;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use wattline_clickhouse_sink::ClickHouse;
use wattline_kafka::{Connection, Reader, TopicPartition, partition_count};
use wattline_model::Kind;
use wattline_parquet_sink::Store;

pub use report::{PartitionReport, Report, Totals};

use crate::partition::{Audit, blocking};

/// What to audit.
#[derive(Clone, Debug)]
pub struct Settings {
    pub kafka: Connection,
    /// The workers' group, whose committed offsets say how far each sink is.
    pub group: String,
    pub topic_intervals: String,
    pub topic_counters: String,
    /// Demand everything up to the end of each partition, rather than what the workers say they stored.
    pub complete: bool,
}

/// Audits every partition of both topics, one after the other.
pub async fn audit(settings: &Settings, clickhouse: &ClickHouse, files: &Store) -> anyhow::Result<Report> {
    let reader = Arc::new(Reader::new(&settings.kafka)?);
    let topics =
        [(Kind::Battery, &settings.topic_intervals), (Kind::BatteryCounter, &settings.topic_counters)];
    let (kafka, group) = (settings.kafka.clone(), settings.group.clone());
    let names = topics.map(|(_, topic)| topic.clone());
    let committed = blocking(move || {
        let mut partitions = Vec::new();
        for topic in names {
            let count = partition_count(&kafka, &topic)?;
            partitions.extend(
                (0..count).map(|partition| TopicPartition { topic: topic.as_str().into(), partition }),
            );
        }
        let committed = Reader::committed(&kafka, &group, &partitions)?;
        anyhow::Ok(partitions.into_iter().zip(committed))
    })
    .await?;
    let mut partitions = Vec::new();
    for (TopicPartition { topic, partition }, committed) in committed {
        let kind = if *topic == **topics[0].1 { topics[0].0 } else { topics[1].0 };
        let audit =
            Audit { settings, clickhouse, files, reader: &reader, kind, topic: &topic, partition, committed };
        partitions.push(audit.run().await?);
    }
    Ok(Report::new(partitions))
}
