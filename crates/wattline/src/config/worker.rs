//! `[worker]`: its group, its batches, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{bail, ensure};
use serde::{Deserialize, Serialize};
use wattline_kafka::{ConsumerSettings, ProducerSettings, Start};
use wattline_worker::Settings;

use super::checks::{address, size};
use super::gateway::producer;
use super::{Kafka, Parquet, Traces};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    pub ops_listen: String,
    pub group: String,
    pub start: String,
    pub session_timeout_ms: u64,
    pub prefetch_bytes_max: u64,
    pub queue_bytes_max: u64,
    pub flush_ms: u64,
    pub flush_bytes_max: u64,
    pub writing_bytes_max: u64,
    pub cache_devices_max: u64,
    pub stop_timeout_ms: u64,
    pub retry_first_ms: u64,
    pub retry_max_ms: u64,
}

impl Default for Worker {
    fn default() -> Self {
        Worker {
            ops_listen: "127.0.0.1:9602".into(),
            group: "wattline-worker".into(),
            start: "beginning".into(),
            session_timeout_ms: 45_000,
            prefetch_bytes_max: 32 << 20,
            queue_bytes_max: 2 << 20,
            flush_ms: 1_000,
            flush_bytes_max: 2 << 20,
            writing_bytes_max: 8 << 20,
            cache_devices_max: 1_000_000,
            stop_timeout_ms: 15_000,
            retry_first_ms: 100,
            retry_max_ms: 10_000,
        }
    }
}

impl Worker {
    pub fn ops_listen(&self) -> anyhow::Result<SocketAddr> {
        address("worker.ops_listen", &self.ops_listen)
    }

    pub fn consumer(&self, kafka: &Kafka, traces: &Traces) -> anyhow::Result<ConsumerSettings> {
        Ok(ConsumerSettings {
            group: self.group.clone(),
            topics: vec![kafka.topic_intervals.clone(), kafka.topic_counters.clone()],
            start: match self.start.as_str() {
                "beginning" => Start::Beginning,
                "committed" => Start::Committed,
                _ => bail!("worker.start must be beginning or committed"),
            },
            session_timeout_ms: self.session_timeout_ms,
            prefetch_bytes_max: size("worker.prefetch_bytes_max", self.prefetch_bytes_max)?,
            traceparents: traces.is_on(),
        })
    }

    /// For the topic of the rejected.
    pub fn producer(&self) -> anyhow::Result<ProducerSettings> {
        producer("zstd", 10_000, 16 << 20, 5)
    }

    pub fn settings(&self, kafka: &Kafka, parquet: &Parquet) -> anyhow::Result<Settings> {
        ensure!(self.flush_ms > 0, "worker.flush_ms must be more than 0");
        ensure!(
            0 < self.retry_first_ms && self.retry_first_ms <= self.retry_max_ms,
            "worker.retry_first_ms must be from 1 to worker.retry_max_ms"
        );
        ensure!(
            parquet.file_age_max_ms >= self.flush_ms,
            "parquet.file_age_max_ms must be at least worker.flush_ms"
        );
        Ok(Settings {
            group: self.group.clone(),
            topic_intervals: kafka.topic_intervals.clone(),
            topic_counters: kafka.topic_counters.clone(),
            topic_rejected: kafka.topic_rejected.clone(),
            flush_after: Duration::from_millis(self.flush_ms),
            flush_bytes_max: size("worker.flush_bytes_max", self.flush_bytes_max)?,
            writing_bytes_max: size("worker.writing_bytes_max", self.writing_bytes_max)?,
            file_after: Duration::from_millis(parquet.file_age_max_ms),
            file_bytes_max: size("parquet.file_bytes_max", parquet.file_bytes_max)?,
            queue_bytes_max: size("worker.queue_bytes_max", self.queue_bytes_max)?,
            cache_devices_max: size("worker.cache_devices_max", self.cache_devices_max)?,
            stop_timeout: Duration::from_millis(self.stop_timeout_ms),
            retry_first: Duration::from_millis(self.retry_first_ms),
            retry_max: Duration::from_millis(self.retry_max_ms),
        })
    }
}
