//! Inserts: once under a token, and after a doubt only what is missing.

use std::collections::HashSet;
use std::time::Instant;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_ipc::writer::{StreamEncoder, StreamWriter};
use arrow_select::filter::filter_record_batch;
use bytes::{Bytes, BytesMut};
use clickhouse::query::Query;

use crate::batch::{Keys, RowId, keys, row_ids};
use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::metrics;
use crate::table::{Key, Table};

/// Rows asked for by key in one query.
const KEYS_PER_QUERY_MAX: usize = 10_000;
/// ClickHouse parses 256 KiB of query by default; look-ups carry their keys in the query.
pub(crate) const QUERY_BYTES_MAX: &str = "67108864";
/// What is smaller is copied together with its neighbours rather than sent by itself.
const PIECE_BYTES_MIN: usize = 16 * 1024;
/// A batch that is smaller is copied as a whole: to tell its pieces apart costs more.
const BATCH_IN_PIECES_BYTES_MIN: usize = 1024 * 1024;

/// Offsets `first..=last` of one Kafka partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub first: i64,
    pub last: i64,
}

/// What a verification found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Rows of the batch that were there already.
    pub found: usize,
    /// Rows that were missing and are there now.
    pub inserted: usize,
}

/// Whether ClickHouse may skip a block that it has seen.
#[derive(Clone, Copy)]
enum Deduplicate<'a> {
    Token(&'a str),
    /// What was counted as missing must be written, whatever the window remembers.
    Off,
}

impl ClickHouse {
    /// Inserts a batch synchronously. The same token within the table's window inserts nothing
    /// the second time; make it of table, topic, partition and range.
    pub async fn insert(
        &self,
        table: Table,
        batch: &RecordBatch,
        token: &str,
    ) -> Result<(), ClickHouseError> {
        self.write(table, batch, Deduplicate::Token(token)).await
    }

    /// Brings the table to hold every row of the batch, when it is not known whether some or all
    /// are there: looks for them, inserts those that are missing, and looks again.
    ///
    /// A row counts as there when its position is, or when its key is there in the same or a higher
    /// version: merges leave only the highest version of a key, and so does a reader with FINAL.
    pub async fn insert_missing(
        &self,
        table: Table,
        batch: &RecordBatch,
        range: Range<'_>,
    ) -> Result<Verified, ClickHouseError> {
        let ids = row_ids(table, batch)?;
        let stored = self.stored_positions(table, range).await?;
        let missing = absent(&ids, &stored, 0..ids.len());
        metrics::verified(table, ids.len() - missing.len(), missing.len());
        let verified = Verified { found: ids.len() - missing.len(), inserted: missing.len() };
        if missing.is_empty() {
            return Ok(verified);
        }
        self.write(table, &pick(table, batch, &missing)?, Deduplicate::Off).await?;

        let stored = self.stored_positions(table, range).await?;
        let unseen = absent(&ids, &stored, missing.into_iter());
        let missing = self.count_missing_keys(table, batch, &unseen).await?;
        if missing == 0 { Ok(verified) } else { Err(ClickHouseError::StillMissing { table, missing }) }
    }

    /// The rows whose place in Kafka lies in the range, as they lie in the table, replaced ones
    /// included as long as no merge has taken them.
    pub async fn stored_positions(
        &self,
        table: Table,
        range: Range<'_>,
    ) -> Result<HashSet<RowId>, ClickHouseError> {
        let time = match table.row_time() {
            Some(column) => format!("toUnixTimestamp64Milli({column})"),
            None => "toInt64(0)".to_owned(),
        };
        let query = self
            .client
            .query(&format!(
                "SELECT _offset AS offset, _index AS index, {time} AS time_ms FROM {table} \
                 WHERE _topic = ? AND _partition = ? AND _offset BETWEEN ? AND ?"
            ))
            .bind(range.topic)
            .bind(range.partition)
            .bind(range.first)
            .bind(range.last);
        Ok(self.fetch_all::<RowId>("verify", query).await?.into_iter().collect())
    }

    /// Whether any row of a Kafka partition is there.
    pub async fn holds(&self, topic: &str, partition: i32) -> Result<bool, ClickHouseError> {
        for table in Table::ALL {
            let query = self
                .client
                .query(&format!(
                    "SELECT count() FROM (SELECT 1 FROM {table} WHERE _topic = ? AND _partition = ? LIMIT 1)"
                ))
                .bind(topic)
                .bind(partition);
            if self.fetch_all::<u64>("look for a partition", query).await?.iter().sum::<u64>() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many of these rows have no row of their key in the same or a higher version.
    async fn count_missing_keys(
        &self,
        table: Table,
        batch: &RecordBatch,
        rows: &[usize],
    ) -> Result<usize, ClickHouseError> {
        let Some(key) = table.key() else { return Ok(rows.len()) };
        let mut missing = rows.len();
        for rows in rows.chunks(KEYS_PER_QUERY_MAX) {
            let query = self.superseded_query(table, key, &keys(table, key, batch, rows)?);
            let found: Vec<u64> = self.fetch_all("verify", query).await?;
            missing -= found.iter().sum::<u64>() as usize;
        }
        Ok(missing)
    }

    /// Counts the given keys whose row is there in the same or a higher version.
    fn superseded_query(&self, table: Table, key: Key, asked: &Keys) -> Query {
        let Key { tag, time } = key;
        let devices: Vec<(&str, &str)> =
            asked.clients.iter().zip(&asked.devices).map(|(c, d)| (c.as_str(), d.as_str())).collect();
        let (earliest_ms, latest_ms) = bounds(&asked.times_ms);
        self.client
            .query(&format!(
                "SELECT count() FROM \
                 (SELECT w.1 AS client, w.2 AS device, w.3 AS tag, toInt64(w.4) AS time, w.5 AS version \
                  FROM (SELECT arrayJoin(arrayZip(?, ?, ?, ?, ?)) AS w)) AS asked \
                 INNER JOIN \
                 (SELECT toString(client_id) AS client, device_id AS device, toString({tag}) AS tag, \
                         toUnixTimestamp64Milli({time}) AS time, max(_version) AS newest \
                  FROM {table} \
                  WHERE (client_id, device_id) IN ? \
                    AND {time} BETWEEN fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
                                   AND fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
                  GROUP BY client, device, tag, time) AS stored \
                 USING (client, device, tag, time) WHERE newest >= version"
            ))
            .bind(&asked.clients)
            .bind(&asked.devices)
            .bind(&asked.tags)
            .bind(&asked.times_ms)
            .bind(&asked.versions)
            .bind(devices)
            .bind(earliest_ms)
            .bind(latest_ms)
            .with_setting("max_query_size", QUERY_BYTES_MAX)
    }

    async fn write(
        &self,
        table: Table,
        batch: &RecordBatch,
        deduplicate: Deduplicate<'_>,
    ) -> Result<(), ClickHouseError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let started = Instant::now();
        let body = arrow_stream(table, batch)?;
        let bytes = body.iter().map(Bytes::len).sum();
        let seconds_max = self.seconds_max();
        let mut settings = vec![
            ("async_insert", "0"),
            // A null where the table has none is a mistake, not a default.
            ("input_format_null_as_default", "0"),
            ("max_execution_time", seconds_max.as_str()),
        ];
        match deduplicate {
            Deduplicate::Token(token) => {
                settings.extend([("insert_deduplicate", "1"), ("insert_deduplication_token", token)]);
            }
            Deduplicate::Off => settings.push(("insert_deduplicate", "0")),
        }
        let statement = insert_statement(table, batch);
        let answer = self.poster.post(&self.database, &statement, &settings, body);
        self.answered("insert", answer).await?;
        metrics::inserted(table, batch.num_rows(), bytes, started.elapsed());
        Ok(())
    }
}

fn insert_statement(table: Table, batch: &RecordBatch) -> String {
    let columns: Vec<String> =
        batch.schema_ref().fields().iter().map(|field| format!("`{}`", field.name())).collect();
    format!("INSERT INTO {table} ({}) FORMAT ArrowStream", columns.join(", "))
}

/// A batch as it is sent, in pieces. The large ones are the memory of its columns, not copies of it.
pub fn arrow_stream(table: Table, batch: &RecordBatch) -> Result<Vec<Bytes>, ClickHouseError> {
    let wrong = |error| ClickHouseError::bad_batch(table, error);
    let batch_bytes = batch.get_array_memory_size();
    if batch_bytes < BATCH_IN_PIECES_BYTES_MIN {
        let mut body = Vec::with_capacity(batch_bytes + PIECE_BYTES_MIN);
        let mut writer = StreamWriter::try_new(&mut body, batch.schema_ref()).map_err(wrong)?;
        writer.write(batch).map_err(wrong)?;
        writer.finish().map_err(wrong)?;
        drop(writer);
        return Ok(vec![body.into()]);
    }
    let mut encoder = StreamEncoder::try_new(batch.schema_ref()).map_err(wrong)?;
    let mut buffers = encoder.encode(batch).map_err(wrong)?;
    buffers.extend(encoder.finish().map_err(wrong)?);
    let mut pieces = Vec::with_capacity(buffers.len());
    let lengths = buffers.iter().map(|buffer| buffer.len());
    let mut small = BytesMut::with_capacity(lengths.filter(|&bytes| bytes < PIECE_BYTES_MIN).sum());
    for buffer in buffers {
        if buffer.len() < PIECE_BYTES_MIN {
            small.extend_from_slice(&buffer);
            continue;
        }
        if !small.is_empty() {
            pieces.push(small.split().freeze());
        }
        pieces.push(buffer.into());
    }
    pieces.push(small.freeze());
    Ok(pieces)
}

/// Which of the rows are not among the stored.
fn absent(ids: &[RowId], stored: &HashSet<RowId>, rows: impl Iterator<Item = usize>) -> Vec<usize> {
    rows.filter(|&row| !stored.contains(&ids[row])).collect()
}

fn pick(table: Table, batch: &RecordBatch, rows: &[usize]) -> Result<RecordBatch, ClickHouseError> {
    let mut mask = vec![false; batch.num_rows()];
    for &row in rows {
        mask[row] = true;
    }
    filter_record_batch(batch, &BooleanArray::from(mask))
        .map_err(|error| ClickHouseError::bad_batch(table, error))
}

fn bounds(times_ms: &[i64]) -> (i64, i64) {
    times_ms.iter().fold((i64::MAX, i64::MIN), |(low, high), &time| (low.min(time), high.max(time)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
    use arrow_ipc::reader::StreamReader;

    use super::*;

    #[test]
    fn the_memory_of_a_large_column_is_sent_itself() {
        let numbers = Int64Array::from_iter_values(0..200_000);
        let memory = numbers.to_data().buffers()[0].as_ptr();
        let few = StringArray::from(vec![Some("a"); 200_000]);
        let columns = [("numbers", Arc::new(numbers) as ArrayRef), ("few", Arc::new(few))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();

        let pieces = arrow_stream(Table::Readings, &batch).unwrap();
        assert!(pieces.iter().any(|piece| piece.as_ptr() == memory));
        assert!(pieces.iter().all(|piece| !piece.is_empty()));
        let stream = pieces.concat();
        let read: Vec<_> = StreamReader::try_new(&stream[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [batch]);
    }
}
