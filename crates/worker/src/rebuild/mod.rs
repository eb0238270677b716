//! A partition computed anew from its beginning, into tables and a folder that nobody reads yet.
//!
//! It is the partition's task that does it: the same derivation, the same batches, the same files. Only its
//! surroundings differ: the records come from a reader outside the group or from the Parquet files of before,
//! nothing is committed, and what is rejected is not published a second time.

mod rows;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use wattline_clickhouse_sink::ClickHouse;
use wattline_kafka::{CommitError, Connection, Delivery, Reader, TopicPartition};
use wattline_model::Kind;
use wattline_parquet_sink::{Kind as FileKind, ParquetError, Store};

use self::rows::{StoredRow, inputs, rows_of};
use crate::derive::Deriver;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sinks::{Offsets, RejectedTopic};
use crate::task::{Batch, Derived, Shared, Task, TaskError, queue_bytes};
use crate::told::Told;
use crate::trace::Tracing;

/// Records that are read ahead; the reader waits when there are so many.
const RECORDS_AHEAD_MAX: usize = 64;
/// Batches of a Parquet file that are read ahead.
const READS_AHEAD_MAX: usize = 2;
/// Points of a batch from Parquet: about as many as `flush_bytes_max` has of records.
const POINTS_PER_BATCH: usize = 22_000;

/// Where everything is computed to.
pub struct Rebuild {
    settings: Arc<Settings>,
    tables: Arc<ClickHouse>,
    files: Arc<Store>,
    seed: u64,
}

impl Rebuild {
    pub fn new(settings: Settings, tables: ClickHouse, files: Store) -> anyhow::Result<Self> {
        Ok(Rebuild {
            settings: Arc::new(settings),
            tables: Arc::new(tables),
            files: Arc::new(files),
            seed: getrandom::u64().context("no randomness")?,
        })
    }

    /// Computes a partition from the records that Kafka has, from its first offset up to but not including `end`.
    pub async fn from_kafka(
        &self,
        kafka: &Connection,
        partition: &TopicPartition,
        end: i64,
    ) -> anyhow::Result<()> {
        if end == 0 {
            return Ok(());
        }
        let mut task = self.task(partition);
        let (records, mut received) = mpsc::channel(RECORDS_AHEAD_MAX);
        let (kafka, of) = (kafka.clone(), partition.clone());
        let reading = spawn_blocking(move || {
            Reader::new(&kafka)?.read(&of.topic, of.partition, 0, end, |offset, time_ms, value| {
                let value = Bytes::copy_from_slice(value);
                let delivery = Delivery { offset, time_ms, value, traceparent: None };
                match records.blocking_send(delivery) {
                    Ok(()) => ControlFlow::Continue(()),
                    // The task could not go on, and says why.
                    Err(_) => ControlFlow::Break(()),
                }
            })
        });
        let storing = async {
            let mut next = 0;
            while let Some(delivery) = received.recv().await {
                next = delivery.offset + 1;
                task.shared.queued_bytes.fetch_add(queue_bytes(&delivery), Ordering::Relaxed);
                task.take(delivery).await?;
            }
            task.flush(None).await?;
            task.finish_files().await?;
            Ok::<i64, TaskError>(next)
        };
        let stored = storing.await;
        drop(received);
        reading.await.context("the reader ended without a word")??;
        let next = stored.with_context(|| format!("computing {partition} from Kafka"))?;
        ensure!(
            next == end,
            "the workers stored {partition} up to offset {end}, and Kafka has it up to {next} only"
        );
        Ok(())
    }

    /// Computes a partition from the points in the Parquet files of a store, in the order in which they stood in
    /// Kafka, up to but not including the offset `end`. What is among the rejected is not there: readings
    /// that lost a conflict at once, and records that could not be read.
    pub async fn from_parquet(
        &self,
        old: &Store,
        partition: &TopicPartition,
        end: i64,
    ) -> anyhow::Result<()> {
        let mut task = self.task(partition);
        let (batches, mut received) = mpsc::channel(READS_AHEAD_MAX);
        let kind = self.kind(partition);
        let (old, of) = (old.clone(), partition.clone());
        let reading = spawn_blocking(move || read_files(&old, kind, &of, end, &batches));
        let storing = async {
            let mut waiting = Vec::<StoredRow>::new();
            while let Some(rows) = received.recv().await {
                waiting.extend(rows);
                // The last record may go on in what is read next.
                let whole = match waiting.last() {
                    Some(last) if waiting.len() >= POINTS_PER_BATCH => {
                        waiting.partition_point(|row| row.position.offset < last.position.offset)
                    }
                    _ => continue,
                };
                let rest = waiting.split_off(whole);
                store(&mut task, &waiting).await?;
                waiting = rest;
            }
            store(&mut task, &waiting).await?;
            task.finish_files().await
        };
        let stored: Result<(), TaskError> = storing.await;
        let stored = stored.with_context(|| format!("computing {partition} from Parquet"));
        drop(received);
        let read = reading.await.context("the reader ended without a word")?;
        // Where the task could not go on the reader could not either.
        stored.and(read)
    }

    fn kind(&self, partition: &TopicPartition) -> Kind {
        if *partition.topic == *self.settings.topic_counters { Kind::BatteryCounter } else { Kind::Battery }
    }

    fn task(&self, partition: &TopicPartition) -> Task<Nowhere, ClickHouse, Store, Nowhere> {
        let TopicPartition { topic, partition: number } = partition;
        let cache = self.settings.cache_devices_max;
        Task {
            deriver: Deriver::new(self.kind(partition), Arc::clone(topic), *number, cache, self.seed),
            partition: partition.clone(),
            settings: Arc::clone(&self.settings),
            offsets: Nowhere,
            tables: Arc::clone(&self.tables),
            files: Arc::clone(&self.files),
            rejected: Nowhere,
            shared: Arc::new(Shared::default()),
            tracing: Tracing::default(),
            writing: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            progress: Some(Progress::at(0)),
            untold_since: None,
            batch: Batch::default(),
            open: None,
        }
    }
}

/// Nobody is to go on where this stopped: what dies half-way is begun anew.
struct Nowhere;

impl Offsets for Nowhere {
    async fn commit(&self, _: i64, _: String) -> Result<(), CommitError> {
        Ok(())
    }
}

impl RejectedTopic for Nowhere {
    async fn append(&self, _: Vec<Vec<u8>>) -> bool {
        true
    }
}

async fn store(
    task: &mut Task<Nowhere, ClickHouse, Store, Nowhere>,
    rows: &[StoredRow],
) -> Result<(), TaskError> {
    let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(()) };
    let (began, first_time_ms) = (Instant::now(), first.received_at_ms);
    let (first, last) = (first.position.offset, last.position.offset);
    let (inputs, mut told) = (inputs(rows), Told::default());
    told.add(inputs.requests());
    let mut gathered = task.deriver.gather(rows.len());
    gathered.add(&inputs);
    let (rows, counts) = task.derived(gathered, first, last).await?;
    task.store(Derived { rows, counts, told, began, first_time_ms }, last).await
}

/// Hands over the points of a partition in the order of their places, each once. Ranges that overlap hold the
/// same rows where they do.
fn read_files(
    old: &Store,
    kind: Kind,
    of: &TopicPartition,
    end: i64,
    batches: &mpsc::Sender<Vec<StoredRow>>,
) -> anyhow::Result<()> {
    let files = match kind {
        Kind::Battery => FileKind::Intervals,
        Kind::BatteryCounter => FileKind::Readings,
    };
    let mut last = None;
    for file in old.ranges(&of.topic, of.partition, files)? {
        wattline_parquet_sink::rows(old, &file.name, |columns| {
            let mut rows = rows_of(kind, columns)?;
            rows.retain(|row| {
                let is_next = row.position.offset < end && last.is_none_or(|last| last < row.position);
                if is_next {
                    last = Some(row.position);
                }
                is_next
            });
            let stopped = |_| ParquetError::General("nobody takes the rows any more".to_owned());
            batches.blocking_send(rows).map_err(stopped)
        })?;
    }
    Ok(())
}
