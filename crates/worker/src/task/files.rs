//! The files of a task's partition, from their first rows to their places.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use tokio::time::Instant;
use wattline_failpoint as failpoint;
use wattline_kafka::TopicPartition;
use wattline_parquet_sink::Kind as FileKind;

use super::{Task, TaskError};
use crate::columns::{INTERVALS, READINGS, Rows};
use crate::progress::SinkProgress;
use crate::sinks::{Files, Offsets, RejectedTopic, Tables};

/// The files of a range under way.
pub(crate) struct OpenFiles<P> {
    pub(super) since: Instant,
    /// The day of the first record of the range.
    day: Date,
    pub(super) parts: Vec<(FileKind, P)>,
    /// The last offset whose rows are in them.
    last: i64,
}

impl<O: Offsets, T: Tables, F: Files, R: RejectedTopic> Task<O, T, F, R> {
    pub(super) fn append_files(
        &mut self,
        rows: &Rows,
        first_time_ms: i64,
        last: i64,
    ) -> Result<(), TaskError> {
        let Some(progress) = self.progress else { return Ok(()) };
        let _span = self.tracing.append();
        let TopicPartition { topic, partition } = &self.partition;
        let open = self.open.get_or_insert_with(|| OpenFiles {
            since: Instant::now(),
            day: day_of(first_time_ms),
            parts: Vec::new(),
            last,
        });
        open.last = last;
        let kinds = [
            (FileKind::Intervals, &INTERVALS, &rows.intervals),
            (FileKind::Readings, &READINGS, &rows.readings),
        ];
        for (kind, schema, rows) in kinds {
            let Some(rows) = rows else { continue };
            let at = match open.parts.iter().position(|(open, _)| *open == kind) {
                Some(at) => at,
                None => {
                    let first = progress.parquet.done;
                    let part = self.files.open(kind, topic, *partition, first, Arc::clone(schema))?;
                    open.parts.push((kind, part));
                    open.parts.len() - 1
                }
            };
            self.files.append(&mut open.parts[at].1, rows)?;
        }
        Ok(())
    }

    /// Whether the open files may end with what they have: an announced range has to have all of its records.
    pub(super) fn files_may_end(&self) -> bool {
        let announced = self.progress.and_then(|progress| progress.parquet.announced);
        announced.is_none_or(|end| self.open.as_ref().is_some_and(|open| open.last >= end))
    }

    /// Announces the range of the open files, puts them in their places, and says that it is done.
    pub(crate) async fn finish_files(&mut self) -> Result<(), TaskError> {
        if !self.files_may_end() {
            return Ok(());
        }
        let (Some(open), Some(progress)) = (self.open.take(), &mut self.progress) else { return Ok(()) };
        self.tracing.files(&self.partition);
        if progress.parquet.announced.is_none() {
            progress.parquet.announced = Some(open.last);
            self.commit().await?;
        }
        failpoint::pass("parquet-announced");
        for (_, part) in open.parts {
            self.files.finish(part, open.last, open.day).await?;
        }
        failpoint::pass("parquet-renamed");
        if let Some(progress) = &mut self.progress {
            progress.parquet = SinkProgress::at(open.last + 1);
        }
        self.shared.unstored.in_parquet_before(self.batch.records.first().map(|next| next.time_ms));
        self.commit().await?;
        self.tracing.files_ended();
        failpoint::pass("parquet-done");
        Ok(())
    }
}

fn day_of(time_ms: i64) -> Date {
    Offset::UTC.to_datetime(Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH)).date()
}
