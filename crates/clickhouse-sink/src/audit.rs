//! What the audit asks: which points of a partition a reader sees.

use clickhouse::query::RowCursor;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::table::Table;

/// The place of a point in its Kafka partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clickhouse::Row, serde::Deserialize)]
pub struct Position {
    pub offset: i64,
    pub index: i32,
}

/// Positions of a partition in order, read as they are asked for.
pub struct Positions {
    cursor: RowCursor<Position>,
    clickhouse: ClickHouse,
}

impl ClickHouse {
    /// The positions of the rows that a reader sees (under FINAL) of a partition, in order of
    /// offset and index. In `intervals` a late reading stands at two rows, so a position may repeat.
    pub fn positions(&self, table: Table, topic: &str, partition: i32) -> Result<Positions, ClickHouseError> {
        let query = self
            .client
            .query(&format!(
                "SELECT _offset AS offset, _index AS index FROM {table} FINAL \
                 WHERE _topic = ? AND _partition = ? ORDER BY offset, index"
            ))
            .bind(topic)
            .bind(partition)
            .with_setting("do_not_merge_across_partitions_select_final", ONE_MONTH_A_KEY);
        let cursor = query.fetch().map_err(|error| ClickHouseError::classify("audit", error))?;
        Ok(Positions { cursor, clickhouse: self.clone() })
    }

    /// How many rows of a partition a reader sees (under FINAL).
    pub async fn count(&self, table: Table, topic: &str, partition: i32) -> Result<u64, ClickHouseError> {
        let query = self
            .client
            .query(&format!("SELECT count() FROM {table} FINAL WHERE _topic = ? AND _partition = ?"))
            .bind(topic)
            .bind(partition)
            .with_setting("do_not_merge_across_partitions_select_final", ONE_MONTH_A_KEY);
        let counts: Vec<u64> = self.fetch_all("audit", query).await?;
        Ok(counts.iter().sum())
    }
}

/// The month that a table is partitioned by is in its key (a rejected record has but one time), so
/// that rows of one key never lie in two months, and FINAL needs no merge across them.
const ONE_MONTH_A_KEY: &str = "1";

impl Positions {
    /// The next positions, at most so many; empty at the end. The request timeout holds for each.
    pub async fn next_chunk(&mut self, max: usize) -> Result<Vec<Position>, ClickHouseError> {
        let cursor = &mut self.cursor;
        let read = async {
            let mut chunk = Vec::with_capacity(max.min(65_536));
            while chunk.len() < max {
                match cursor.next().await? {
                    Some(position) => chunk.push(position),
                    None => break,
                }
            }
            Ok(chunk)
        };
        self.clickhouse.answered("audit", read).await
    }
}
