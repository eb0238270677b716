//! What a partition's task needs of the world, so that it also runs in a test without any of it.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use jiff::civil::Date;
use tokio::sync::Semaphore;
use wattline_clickhouse_sink::{
    Around, ClickHouse, ClickHouseError, DisplacedReading, Range, StoredReading, Table,
};
use wattline_kafka::{CommitError, Committer, Producer, Record, TopicPartition};
use wattline_parquet_sink::{Kind, ParquetSinkError, PartFile, Store};

use crate::supervisor::Gate;

/// The offset of the task's partition, with its metadata, where the next owner finds it.
pub(crate) trait Offsets: Send + Sync + 'static {
    fn commit(&self, offset: i64, metadata: String) -> impl Future<Output = Result<(), CommitError>> + Send;
}

/// The tables.
pub(crate) trait Tables: Send + Sync + 'static {
    fn insert(
        &self,
        table: Table,
        rows: &RecordBatch,
        token: &str,
    ) -> impl Future<Output = Result<(), ClickHouseError>> + Send;

    /// After any doubt: inserts the rows of a range that are not there.
    fn insert_missing(
        &self,
        table: Table,
        rows: &RecordBatch,
        range: Range<'_>,
    ) -> impl Future<Output = Result<(), ClickHouseError>> + Send;

    /// Whether any row of a partition is there.
    fn holds(
        &self,
        topic: &str,
        partition: i32,
    ) -> impl Future<Output = Result<bool, ClickHouseError>> + Send;

    fn neighbours(
        &self,
        topic: &str,
        partition: i32,
        before_offset: i64,
        devices: &[Around<'_>],
    ) -> impl Future<Output = Result<Vec<StoredReading>, ClickHouseError>> + Send;

    fn displaced(
        &self,
        topic: &str,
        partition: i32,
        first: i64,
    ) -> impl Future<Output = Result<Vec<DisplacedReading>, ClickHouseError>> + Send;
}

/// The files.
pub(crate) trait Files: Send + Sync + 'static {
    type Part: Send;

    fn sweep(&self, topic: &str, partition: i32) -> Result<(), ParquetSinkError>;

    /// Whether any file of a partition is there.
    fn holds(
        &self,
        topic: &str,
        partition: i32,
    ) -> impl Future<Output = Result<bool, ParquetSinkError>> + Send;
    fn open(
        &self,
        kind: Kind,
        topic: &str,
        partition: i32,
        first: i64,
        schema: SchemaRef,
    ) -> Result<Self::Part, ParquetSinkError>;
    fn append(&self, part: &mut Self::Part, rows: &RecordBatch) -> Result<(), ParquetSinkError>;
    fn bytes(&self, part: &Self::Part) -> usize;
    fn finish(
        &self,
        part: Self::Part,
        last: i64,
        day: Date,
    ) -> impl Future<Output = Result<(), ParquetSinkError>> + Send;
}

/// The topic of what was rejected.
pub(crate) trait RejectedTopic: Send + Sync + 'static {
    /// Appends the rejected records; false when Kafka did not confirm all of them.
    fn append(&self, values: Vec<Vec<u8>>) -> impl Future<Output = bool> + Send;
}

/// The committer of a partition's own offset.
#[derive(Clone, Debug)]
pub(crate) struct PartitionOffsets {
    pub committer: Committer,
    pub partition: TopicPartition,
    pub gate: Arc<Gate>,
}

impl Offsets for PartitionOffsets {
    async fn commit(&self, offset: i64, metadata: String) -> Result<(), CommitError> {
        let PartitionOffsets { committer, partition, gate } = self.clone();
        let committing = move || gate.pass(|| committer.commit(&partition, offset, &metadata));
        // The blocking task neither panics nor is it cancelled while the runtime lives.
        let committed = tokio::task::spawn_blocking(committing).await.ok().flatten();
        committed.unwrap_or(Err(CommitError::NotOurs))
    }
}

impl Tables for ClickHouse {
    async fn insert(&self, table: Table, rows: &RecordBatch, token: &str) -> Result<(), ClickHouseError> {
        ClickHouse::insert(self, table, rows, token).await
    }

    async fn insert_missing(
        &self,
        table: Table,
        rows: &RecordBatch,
        range: Range<'_>,
    ) -> Result<(), ClickHouseError> {
        let verified = ClickHouse::insert_missing(self, table, rows, range).await?;
        tracing::info!(
            table = table.name(),
            first = range.first,
            last = range.last,
            found = verified.found,
            inserted = verified.inserted,
            "verified a range after a doubt"
        );
        Ok(())
    }

    async fn holds(&self, topic: &str, partition: i32) -> Result<bool, ClickHouseError> {
        ClickHouse::holds(self, topic, partition).await
    }

    async fn neighbours(
        &self,
        topic: &str,
        partition: i32,
        before_offset: i64,
        devices: &[Around<'_>],
    ) -> Result<Vec<StoredReading>, ClickHouseError> {
        ClickHouse::neighbours(self, topic, partition, before_offset, devices).await
    }

    async fn displaced(
        &self,
        topic: &str,
        partition: i32,
        first: i64,
    ) -> Result<Vec<DisplacedReading>, ClickHouseError> {
        ClickHouse::displaced(self, topic, partition, first).await
    }
}

impl Files for Store {
    type Part = PartFile;

    fn sweep(&self, topic: &str, partition: i32) -> Result<(), ParquetSinkError> {
        Store::sweep(self, topic, partition).map(drop)
    }

    async fn holds(&self, topic: &str, partition: i32) -> Result<bool, ParquetSinkError> {
        let (store, topic) = (self.clone(), topic.to_owned());
        blocking(move || Store::holds(&store, &topic, partition)).await
    }

    fn open(
        &self,
        kind: Kind,
        topic: &str,
        partition: i32,
        first: i64,
        schema: SchemaRef,
    ) -> Result<PartFile, ParquetSinkError> {
        Store::open(self, kind, topic, partition, first, schema)
    }

    fn append(&self, part: &mut PartFile, rows: &RecordBatch) -> Result<(), ParquetSinkError> {
        part.append(rows)
    }

    fn bytes(&self, part: &PartFile) -> usize {
        part.bytes()
    }

    async fn finish(&self, part: PartFile, last: i64, day: Date) -> Result<(), ParquetSinkError> {
        /// The files of all partitions come of age together, and finishing one takes memory.
        static FINISHING: Semaphore = Semaphore::const_new(2);
        // It is never closed.
        let _place = FINISHING.acquire().await.ok();
        blocking(move || part.finish(last, day)).await.map(drop)
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(call).await {
        Ok(outcome) => outcome,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The producer, and the topic it appends to.
pub(crate) struct RejectedProducer {
    pub producer: Producer,
    pub topic: String,
}

impl RejectedTopic for Arc<RejectedProducer> {
    async fn append(&self, values: Vec<Vec<u8>>) -> bool {
        for value in values {
            let record = Record { partition: 0, value: &value };
            let appending = self.producer.append(&self.topic, &[record]);
            if !appending.await.unconfirmed.is_empty() {
                return false;
            }
        }
        true
    }
}
