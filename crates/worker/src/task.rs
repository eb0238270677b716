//! The task of one partition.
//!
//! Its steps, for each batch: decode, look up, derive, announce, write, commit. Everything before the
//! announcement can be thrown away; everything after it is repeated exactly by whoever comes next.

mod files;
mod retry;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{Instrument as _, debug, info, warn};
use wattline_clickhouse_sink::ClickHouseError;
use wattline_kafka::{CommitError, Delivery, TopicPartition};
use wattline_parquet_sink::ParquetSinkError;
use wattline_wire::record::POINT_BYTES;

use self::files::OpenFiles;
use self::retry::Backoff;
use crate::columns::Rows;
use crate::derive::{Counts, Deriver};
use crate::gathered::Gathered;
use crate::inputs::Inputs;
use crate::progress::{ForeignMetadata, Progress};
use crate::settings::Settings;
use crate::sinks::{Files, Offsets, RejectedTopic, Tables};
use crate::told::Told;
use crate::trace::Tracing;
use crate::unstored::Unstored;
use crate::{clock, metrics};

/// Runs of records that are taken without a look at the clock or at who wants the task to stop.
const TAKE_MAX: usize = 8;
/// While a batch is open its records may gather for so long: a task that wakes for each of them costs more
/// than the record.
const GATHER: Duration = Duration::from_millis(100);
/// Points that are decoded before they become rows: as many as a core's own cache has room for.
const PART_POINTS: usize = 512;

/// What happens to a partition.
enum Event {
    /// Records were taken from the queue.
    Records,
    /// The batch is old enough to be written.
    FlushDue,
    /// The files are old enough to be finished.
    FilesDue,
    /// What is done waits for the next commit for long enough.
    CommitDue,
    /// The partition goes away, in order: write what is there.
    Stop,
}

/// Why a task ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// Somebody else owns the partition.
    #[error("the partition is no longer this worker's")]
    NotOurs,
    #[error(transparent)]
    Foreign(#[from] ForeignMetadata),
    /// Nothing is written before an offset is committed, so the offset is gone, or the topic is another one.
    #[error(
        "the group has committed no offset for this partition, and points of it are stored already: the topic was \
         made anew, or the group's offsets were deleted. The records of a topic made anew stand where others stood \
         and would be taken for them. Where it was made anew, give it a new name (kafka.topic_intervals or \
         kafka.topic_counters) and type: wattline migrate. Where only the offsets are gone, stop all workers and \
         type, with OFFSET one above the last offset in the names of the partition's Parquet files: \
         kafka-consumer-groups.sh --bootstrap-server HOST:PORT --group GROUP --topic TOPIC:PARTITION \
         --reset-offsets --to-offset OFFSET --execute"
    )]
    StoredWithoutOffset,
    #[error(transparent)]
    Tables(ClickHouseError),
    #[error(transparent)]
    Files(#[from] ParquetSinkError),
    #[error("the rows do not fit their columns")]
    Rows(#[from] arrow_schema::ArrowError),
}

impl TaskError {
    /// Whether beginning anew from the committed offset may help. Files that failed are written anew.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, TaskError::NotOurs | TaskError::Files(_))
    }
}

/// What a task and its supervisor see of each other.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Bytes of records in front of the task.
    pub queued_bytes: AtomicUsize,
    /// Whether its queue had no room when records were offered last.
    pub was_full: AtomicBool,
    /// Everything below is in ClickHouse.
    pub stored_to: AtomicI64,
    pub unstored: Unstored,
    /// Whether a sink is being retried.
    pub retrying: AtomicBool,
}

/// The bytes that a record takes in a queue.
pub(crate) fn queue_bytes(delivery: &Delivery) -> usize {
    delivery.value.len() + size_of::<Delivery>()
}

pub(crate) struct Task<O, T, F: Files, R> {
    pub partition: TopicPartition,
    pub settings: Arc<Settings>,
    pub offsets: O,
    pub tables: Arc<T>,
    pub files: Arc<F>,
    pub rejected: R,
    pub deriver: Deriver,
    pub shared: Arc<Shared>,
    pub tracing: Tracing,
    /// KiB of records that all tasks together may be writing.
    pub writing: Arc<Semaphore>,
    /// None until the first record of a partition that begins.
    pub progress: Option<Progress>,
    /// Since when Kafka has not been told of what is done. The next announcement tells it too, and there is one soon as a
    /// rule: a commit costs as much as some hundred points.
    pub untold_since: Option<Instant>,
    pub batch: Batch,
    pub open: Option<OpenFiles<F::Part>>,
}

/// Records that are to be written together.
#[derive(Default)]
pub(crate) struct Batch {
    records: Vec<Delivery>,
    bytes: usize,
    since: Option<Instant>,
    /// The first offset that must not be in it.
    cut: Option<i64>,
    /// The offset of the last record that was taken, in this batch or before.
    taken: Option<i64>,
}

/// A batch whose rows are known.
pub(crate) struct Derived {
    pub rows: Rows,
    pub counts: Counts,
    pub told: Told,
    /// When it was cut.
    pub began: Instant,
    /// The time of its first record.
    pub first_time_ms: i64,
}

impl<O: Offsets, T: Tables, F: Files, R: RejectedTopic> Task<O, T, F, R> {
    /// Runs until it is told to stop, or cannot go on.
    pub(crate) async fn run(
        mut self,
        mut records: mpsc::UnboundedReceiver<Vec<Delivery>>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), TaskError> {
        self.files.sweep(&self.partition.topic, self.partition.partition)?;
        if self.progress.is_none() && self.is_stored_already().await? {
            return Err(TaskError::StoredWithoutOffset);
        }
        let mut taken = Vec::with_capacity(TAKE_MAX);
        let mut gathered_at = Instant::now();
        loop {
            match self.next(&mut records, &mut taken, gathered_at, &mut stop).await {
                Event::Records => {
                    gathered_at = Instant::now();
                    if taken.len() < TAKE_MAX {
                        gathered_at += GATHER;
                    }
                    for delivery in taken.drain(..).flatten() {
                        self.take(delivery).await?;
                    }
                }
                Event::FlushDue => self.flush(None).await?,
                Event::FilesDue => self.finish_files().await?,
                Event::CommitDue => self.commit().await?,
                Event::Stop => {
                    if self.batch_may_end() {
                        self.flush(None).await?;
                    }
                    self.finish_files().await?;
                    if self.untold_since.is_some() {
                        self.commit().await?;
                    }
                    return Ok(());
                }
            }
        }
    }

    async fn next(
        &mut self,
        records: &mut mpsc::UnboundedReceiver<Vec<Delivery>>,
        taken: &mut Vec<Vec<Delivery>>,
        gathered_at: Instant,
        stop: &mut watch::Receiver<bool>,
    ) -> Event {
        let more_at = self.batch.since.map(|_| gathered_at);
        let flush_at =
            self.batch.since.filter(|_| self.batch_may_end()).map(|since| since + self.settings.flush_after);
        let files_at = self
            .open
            .as_ref()
            .filter(|_| self.files_may_end())
            .map(|open| open.since + self.settings.file_after);
        let commit_at = self.untold_since.map(|since| since + 2 * self.settings.flush_after);
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Event::Stop,
            () = until(flush_at) => Event::FlushDue,
            () = until(files_at) => Event::FilesDue,
            () = until(commit_at) => Event::CommitDue,
            count = more(records, taken, more_at) => match count {
                0 => Event::Stop,
                _ => Event::Records,
            },
        }
    }

    pub(crate) async fn take(&mut self, delivery: Delivery) -> Result<(), TaskError> {
        self.shared.queued_bytes.fetch_sub(queue_bytes(&delivery), Ordering::Relaxed);
        let offset = delivery.offset;
        if self.batch.taken.is_some_and(|taken| offset <= taken) {
            return Ok(());
        }
        if let Some(cut) = self.batch.cut.filter(|&cut| offset >= cut) {
            self.flush(Some(cut - 1)).await?;
        }
        let progress = self.progress.get_or_insert_with(|| Progress::at(offset));
        if self.batch.records.is_empty() {
            self.batch.since = Some(Instant::now());
            self.batch.cut = progress.next_cut(offset);
        }
        self.batch.bytes += queue_bytes(&delivery);
        self.batch.taken = Some(offset);
        self.shared.unstored.taken(delivery.time_ms);
        self.batch.records.push(delivery);
        let is_whole = self.batch.cut.is_some_and(|cut| offset + 1 >= cut);
        let is_large = self.batch.bytes >= self.settings.flush_bytes_max;
        if is_whole || (is_large && self.batch_may_end()) {
            self.flush(None).await?;
        }
        Ok(())
    }

    /// Whether the batch may end with what it has: a range that was announced for ClickHouse is written
    /// again exactly as it was cut, or its redo would be another batch than the one that may be there.
    fn batch_may_end(&self) -> bool {
        let announced = self.progress.and_then(|progress| progress.clickhouse.announced);
        let is_before =
            self.batch.cut.is_some_and(|cut| Some(cut) == self.progress.map(|p| p.clickhouse.done));
        is_before || announced.is_none_or(|end| self.batch.taken.is_some_and(|taken| taken >= end))
    }

    /// Writes the batch. `last` is where an announced range ends whose last records are gone from Kafka.
    pub(crate) async fn flush(&mut self, last: Option<i64>) -> Result<(), TaskError> {
        let records = std::mem::take(&mut self.batch.records);
        let writing = Arc::clone(&self.writing);
        let _place =
            place(&writing, std::mem::take(&mut self.batch.bytes), self.settings.writing_bytes_max).await;
        self.batch.since = None;
        self.batch.cut = None;
        let Some(last_record) = records.last() else { return Ok(()) };
        let last = last.unwrap_or(last_record.offset);
        self.tracing.batch(&self.partition, &records);
        let stored = self.store_records(records, last).await;
        self.tracing.batch_ended(&stored);
        stored
    }

    async fn store_records(&mut self, records: Vec<Delivery>, last: i64) -> Result<(), TaskError> {
        let Some(first) = records.first() else { return Ok(()) };
        let (began, first_time_ms, first) = (Instant::now(), first.time_ms, first.offset);
        let (gathered, told) = self.gathered(&records);
        let log = self.tracing.log(first, last, &told);
        let derived = self.derived(gathered, first, last).instrument(log.clone()).await;
        // Nothing but the rows waits for ClickHouse: several batches do, and what is given back early is in a near cache
        // yet when the next batch takes it.
        drop(records);
        let storing = async {
            let (rows, counts) = derived?;
            self.store(Derived { rows, counts, told, began, first_time_ms }, last).await
        };
        let stored = storing.instrument(log.clone()).await;
        if let Err(cause) = &stored {
            log.in_scope(|| info!(partition = %self.partition, %cause, "the batch was not written"));
        }
        stored
    }

    /// The points of a batch, part by part.
    fn gathered<'a>(&self, records: &'a [Delivery]) -> (Gathered<'a>, Told) {
        let bytes: usize = records.iter().map(|record| record.value.len()).sum();
        let (mut gathered, mut told) = (self.deriver.gather(bytes / POINT_BYTES), Told::default());
        let mut part = Inputs::with_capacity(PART_POINTS);
        for (number, record) in (1..).zip(records) {
            part.push(record.offset, record.time_ms, &record.value);
            if part.count() >= PART_POINTS || number == records.len() {
                gathered.add(&part);
                told.add(part.requests());
                part.clear();
            }
        }
        (gathered, told)
    }

    /// The rows of a batch from one offset to another.
    pub(crate) async fn derived(
        &mut self,
        mut batch: Gathered<'_>,
        first: i64,
        last: i64,
    ) -> Result<(Rows, Counts), TaskError> {
        // Rows of this batch may be in ClickHouse already, from the owner before.
        let is_redo = self.progress.is_some_and(|progress| {
            last < progress.clickhouse.done || progress.clickhouse.announced.is_some()
        });
        let wanted = self.deriver.wanted(&mut batch);
        let looked_up = self.look_up(&wanted, first, is_redo).await?;
        Ok(self.deriver.rows(batch, looked_up)?)
    }

    /// Gives a batch that ends with the offset `last` to both sinks.
    pub(crate) async fn store(&mut self, batch: Derived, last: i64) -> Result<(), TaskError> {
        let Derived { rows, counts, told, began, first_time_ms } = batch;
        self.append_files(&rows, first_time_ms, last)?;
        if self.progress.is_some_and(|progress| last >= progress.clickhouse.done) {
            self.write_tables(&rows, last).await?;
            metrics::fresh(&self.partition, clock::now_ms(), &told.received_at_ms);
            metrics::batch_stored(&self.partition, &counts, self.deriver.remembered(), began.elapsed());
            let Counts { points, rejected, .. } = counts;
            debug!(partition = %self.partition, points, rejected, "stored");
            if rejected > 0 {
                info!(partition = %self.partition, rejected, "points of the batch are among the rejected");
            }
        }
        self.shared.unstored.in_clickhouse();
        let is_announced = self.progress.is_some_and(|progress| progress.parquet.announced.is_some());
        let bytes: usize =
            self.open.iter().flat_map(|open| &open.parts).map(|(_, part)| self.files.bytes(part)).sum();
        if is_announced || bytes >= self.settings.file_bytes_max {
            self.finish_files().await?;
        }
        Ok(())
    }

    /// Tells Kafka how far the sinks are.
    async fn commit(&mut self) -> Result<(), TaskError> {
        let Some(progress) = self.progress else { return Ok(()) };
        let _span = self.tracing.commit(&self.partition, progress.offset());
        let mut backoff = Backoff::new(&self.settings);
        loop {
            match self.offsets.commit(progress.offset(), progress.to_string()).await {
                Ok(()) => {
                    self.untold_since = None;
                    return Ok(());
                }
                Err(CommitError::NotOurs) => {
                    info!(partition = %self.partition, "the partition went to another worker");
                    return Err(TaskError::NotOurs);
                }
                Err(CommitError::Doubtful(cause)) => {
                    metrics::retried("kafka");
                    let wait = backoff.next();
                    warn!(partition = %self.partition, %cause, ?wait, "committing an offset: trying again");
                    sleep(wait).await;
                }
            }
        }
    }
}

/// Waits for its turn to write so many bytes of records. A batch's rows and bodies are several times as large as
/// its records, so it is here that the worker's memory is bounded.
async fn place(writing: &Semaphore, bytes: usize, bytes_max: usize) -> Option<SemaphorePermit<'_>> {
    let kib = bytes.min(bytes_max).div_ceil(1024);
    // The semaphore is never closed.
    writing.acquire_many(u32::try_from(kib).unwrap_or(u32::MAX)).await.ok()
}

/// Takes what is there at that time, and waits where there is nothing. Returns 0 when no more will come.
async fn more(
    records: &mut mpsc::UnboundedReceiver<Vec<Delivery>>,
    taken: &mut Vec<Vec<Delivery>>,
    at: Option<Instant>,
) -> usize {
    if let Some(at) = at {
        sleep_until(at).await;
    }
    records.recv_many(taken, TAKE_MAX).await
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
