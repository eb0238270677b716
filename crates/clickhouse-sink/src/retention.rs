//! How long the tables keep their rows.
//!
//! **All versions of a key go together.** What a row's age is counted from is in its key (a rejected record
//! has but one time), so that an older version never comes to light because the newer one is gone.
//!
//! **Whole parts go.** A part is dropped when its youngest row is too old, and nothing is written again
//! without its oldest rows. Parts are those of a month, so a row stays a month longer at most.

use serde::Deserialize;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::table::Table;

/// Days for which rows are kept at least, by their own time; 0 is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    pub intervals_days: u32,
    pub readings_days: u32,
    pub rejected_days: u32,
}

#[derive(clickhouse::Row, Deserialize)]
struct Known {
    name: String,
    engine: String,
}

impl Retention {
    fn days(self, table: Table) -> u32 {
        match table {
            Table::Intervals => self.intervals_days,
            Table::Readings => self.readings_days,
            Table::Rejected => self.rejected_days,
        }
    }
}

impl ClickHouse {
    /// Makes the tables keep their rows for so long. Answers with those that kept them for another time.
    pub async fn keep_for(&self, retention: Retention) -> Result<Vec<Table>, ClickHouseError> {
        let tables = self.client.query(
            "SELECT name, engine_full AS engine FROM system.tables WHERE database = currentDatabase()",
        );
        let known: Vec<Known> = self.fetch_all("read how long rows are kept", tables).await?;
        let mut changed = Vec::new();
        for table in Table::ALL {
            let engine =
                known.iter().find(|known| known.name == table.name()).map_or("", |known| &known.engine);
            let wanted = ttl(table, retention.days(table));
            if ttl_of(engine) != wanted.as_deref() {
                let changes = match &wanted {
                    Some(ttl) => {
                        vec!["MODIFY SETTING ttl_only_drop_parts = 1".to_owned(), format!("MODIFY TTL {ttl}")]
                    }
                    None => vec!["REMOVE TTL".to_owned()],
                };
                for change in changes {
                    let alter = self.client.query_raw(&format!("ALTER TABLE {table} {change}"));
                    self.answered("set how long rows are kept", alter.execute()).await?;
                }
                changed.push(table);
            }
        }
        Ok(changed)
    }
}

/// As the server writes it.
fn ttl(table: Table, days: u32) -> Option<String> {
    let time = match table {
        Table::Intervals => "end_time",
        Table::Readings => "timestamp",
        Table::Rejected => "rejected_at",
    };
    (days > 0).then(|| format!("toDateTime({time}) + toIntervalDay({days})"))
}

/// The TTL within the words that made a table.
fn ttl_of(engine: &str) -> Option<&str> {
    let (_, rest) = engine.split_once(" TTL ")?;
    Some(rest.split_once(" SETTINGS ").map_or(rest, |(ttl, _)| ttl))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_read_as_it_is_written() {
        let engine =
            "ReplacingMergeTree(_version) PARTITION BY toYYYYMM(end_time) ORDER BY (client_id, end_time)";
        let written = ttl(Table::Intervals, 400);
        assert_eq!(written.as_deref(), Some("toDateTime(end_time) + toIntervalDay(400)"));
        let with = format!(
            "{engine} TTL toDateTime(end_time) + toIntervalDay(400) SETTINGS index_granularity = 8192"
        );
        assert_eq!(ttl_of(&with), written.as_deref());
        assert_eq!((ttl_of(engine), ttl(Table::Readings, 0)), (None, None));
    }
}
