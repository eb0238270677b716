//! What a task asks of ClickHouse, and puts there.

use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tracing::warn;
use wattline_clickhouse_sink::{Around, Range, Table};
use wattline_failpoint as failpoint;
use wattline_kafka::TopicPartition;

use super::retry::{Backoff, after_failure};
use super::{Task, TaskError};
use crate::columns::Rows;
use crate::derive::LookedUp;
use crate::progress::SinkProgress;
use crate::sinks::{Files, Offsets, RejectedTopic, Tables};

impl<O: Offsets, T: Tables, F: Files, R: RejectedTopic> Task<O, T, F, R> {
    pub(super) async fn is_stored_already(&mut self) -> Result<bool, TaskError> {
        let TopicPartition { topic, partition } = &self.partition;
        if self.files.holds(topic, *partition).await? {
            return Ok(true);
        }
        let mut backoff = Backoff::new(&self.settings);
        loop {
            match self.tables.holds(topic, *partition).await {
                Ok(holds) => {
                    self.shared.retrying.store(false, Ordering::Relaxed);
                    return Ok(holds);
                }
                Err(cause) => after_failure(&self.shared, &self.partition, cause, &mut backoff).await?,
            }
        }
    }

    pub(super) async fn look_up(
        &mut self,
        wanted: &[Around<'_>],
        first: i64,
        is_redo: bool,
    ) -> Result<LookedUp, TaskError> {
        if wanted.is_empty() {
            return Ok(LookedUp::default());
        }
        let TopicPartition { topic, partition } = &self.partition;
        let _span = self.tracing.look_up(wanted.len());
        let mut backoff = Backoff::new(&self.settings);
        loop {
            let found = async {
                // In this order: a reading that a late zombie displaces in between is found twice, not never.
                let stored = self.tables.neighbours(topic, *partition, first, wanted).await?;
                let displaced = match is_redo {
                    true => self.tables.displaced(topic, *partition, first).await?,
                    false => Vec::new(),
                };
                Ok(LookedUp { stored, displaced })
            };
            match found.await {
                Ok(found) => {
                    self.shared.retrying.store(false, Ordering::Relaxed);
                    return Ok(found);
                }
                Err(cause) => after_failure(&self.shared, &self.partition, cause, &mut backoff).await?,
            }
        }
    }

    pub(super) async fn write_tables(&mut self, rows: &Rows, last: i64) -> Result<(), TaskError> {
        let Some(progress) = &mut self.progress else { return Ok(()) };
        let first = progress.clickhouse.done;
        // An announced range may be there in part: whoever announced it did not say that it was done.
        debug_assert!(
            progress.clickhouse.announced.is_none_or(|end| end == last),
            "a range is cut as announced"
        );
        let announced = progress.clickhouse.announced.is_some();
        if !announced {
            progress.clickhouse.announced = Some(last);
            self.commit().await?;
        }
        failpoint::pass("clickhouse-announced");
        self.publish_rejected(rows).await;
        // The readings come last: where they are, everything that was derived from them is too.
        let tables = [
            (Table::Rejected, &rows.rejected),
            (Table::Intervals, &rows.intervals),
            (Table::Readings, &rows.readings),
        ];
        for (table, rows) in tables {
            if let Some(rows) = rows {
                self.insert(table, rows, first, last, announced).await?;
            }
            failpoint::pass(match table {
                Table::Rejected => "clickhouse-rejected-written",
                Table::Intervals => "clickhouse-intervals-written",
                Table::Readings => "clickhouse-readings-written",
            });
        }
        if let Some(progress) = &mut self.progress {
            progress.clickhouse = SinkProgress::at(last + 1);
        }
        self.shared.stored_to.store(last + 1, Ordering::Relaxed);
        self.untold_since.get_or_insert_with(Instant::now);
        failpoint::pass("clickhouse-done");
        Ok(())
    }

    async fn insert(
        &mut self,
        table: Table,
        rows: &arrow_array::RecordBatch,
        first: i64,
        last: i64,
        mut in_doubt: bool,
    ) -> Result<(), TaskError> {
        let TopicPartition { topic, partition } = &self.partition;
        let token = format!("{topic}/{partition}/{first}-{last}");
        let range = Range { topic, partition: *partition, first, last };
        let _span = self.tracing.insert(table, rows.num_rows());
        let mut backoff = Backoff::new(&self.settings);
        loop {
            let outcome = if in_doubt {
                self.tables.insert_missing(table, rows, range).await
            } else {
                self.tables.insert(table, rows, &token).await
            };
            match outcome {
                Ok(()) => {
                    self.shared.retrying.store(false, Ordering::Relaxed);
                    return Ok(());
                }
                Err(cause) => {
                    in_doubt = true;
                    after_failure(&self.shared, &self.partition, cause, &mut backoff).await?;
                }
            }
        }
    }

    /// Tells the topic of the rejected, which may get one twice after a restart. The table of the rejected is
    /// what counts, so a Kafka that does not confirm holds up nothing.
    async fn publish_rejected(&mut self, rows: &Rows) {
        let Some(rejected) = &rows.rejected else { return };
        let records = rejected
            .column_by_name("record")
            .and_then(|column| column.as_any().downcast_ref::<arrow_array::BinaryArray>());
        let values =
            records.iter().flat_map(|records| records.iter().flatten().map(<[u8]>::to_vec)).collect();
        if !self.rejected.append(values).await {
            warn!(partition = %self.partition, "Kafka did not confirm all rejected records; ClickHouse has them");
        }
    }
}
