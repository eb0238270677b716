//! Other tables in the place of those that are read: filled in a database of their own, then exchanged.
//!
//! ```text
//! <database>                   what readers see
//! <database>_rebuild           the new tables, until they take the place
//! <database>_before_rebuild    the old tables, afterwards
//! ```
//!
//! **Tables move, the database stays.** Views, grants and whatever else names `<database>.<table>` go on as they
//! are, which they would not if databases were renamed. One statement moves the old tables out and then the new
//! ones in. No exchange of several tables is atomic, so between the two a table is missing, for
//! milliseconds: a query then fails and can be asked again, where an exchange table by table would have
//! answered it from the new intervals and the old readings. For the same reason a server that dies within the
//! statement leaves an error and not a mixture; [`Replacement::exchange`] is called again to finish.

use clickhouse::query::Query;
use clickhouse::sql::Identifier;
use serde::Deserialize;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::migrate::MigrateError;
use crate::table::Table;

/// A table of this name beside the old tables says that the new ones are to take their place, come what may.
const UNDER_WAY: &str = "exchange_under_way";

#[derive(Clone, Debug)]
pub struct Replacement {
    tables: ClickHouse,
    new: ClickHouse,
    before: ClickHouse,
}

/// What an earlier replacement left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// The old tables, which wait for somebody to drop them.
    Before,
    /// An exchange that was begun and has to be finished.
    UnderWay,
}

#[derive(clickhouse::Row, Deserialize)]
struct Known {
    database: String,
    name: String,
}

impl Replacement {
    pub fn of(tables: &ClickHouse) -> Self {
        Replacement {
            tables: tables.clone(),
            new: tables.beside("_rebuild"),
            before: tables.beside("_before_rebuild"),
        }
    }

    /// The database where the old tables are kept afterwards.
    pub fn before(&self) -> &str {
        &self.before.database
    }

    pub async fn left(&self) -> Result<Left, ClickHouseError> {
        let known = self.known().await?;
        let before = || known.iter().filter(|known| known.database == self.before.database);
        Ok(match (before().any(|known| known.name == UNDER_WAY), before().next()) {
            (true, _) => Left::UnderWay,
            (false, Some(_)) => Left::Before,
            (false, None) => Left::Nothing,
        })
    }

    /// The new tables, empty: what an earlier attempt left of them goes.
    pub async fn begin(&self) -> Result<ClickHouse, MigrateError> {
        self.drop(&self.new).await?;
        self.new.migrate().await?;
        Ok(self.new.clone())
    }

    /// Takes over what was rejected as it is, over what the new table has of the same places.
    pub async fn copy_rejected(&self) -> Result<(), ClickHouseError> {
        let copy = self.tables.server.query(
            "INSERT INTO ?.rejected \
             (reason, rejected_at, record, _topic, _partition, _offset, _index, _version, replayed_at) \
             SELECT reason, rejected_at, record, _topic, _partition, _offset, _index, _version, replayed_at \
             FROM ?.rejected FINAL",
        );
        self.run("copy the rejected", copy.bind(self.new.name()).bind(self.tables.name())).await
    }

    /// Marks what was replayed in the new table as it is marked in the old one.
    pub async fn copy_replay_marks(&self) -> Result<(), ClickHouseError> {
        if !self.known().await?.iter().any(|known| known.is(&self.tables, Table::Rejected.name())) {
            return Ok(());
        }
        let copy = self.tables.server.query(
            "INSERT INTO ?.rejected \
             (reason, rejected_at, record, _topic, _partition, _offset, _index, _version, replayed_at) \
             SELECT reason, rejected_at, record, _topic, _partition, _offset, _index, _version, marked_at \
             FROM (SELECT * FROM ?.rejected FINAL) AS computed \
             INNER JOIN \
             (SELECT _topic, _partition, _offset, _index, replayed_at AS marked_at FROM ?.rejected FINAL \
              WHERE toUnixTimestamp64Milli(replayed_at) > 0) AS marked \
             USING (_topic, _partition, _offset, _index)",
        );
        let copy = copy.bind(self.new.name()).bind(self.new.name()).bind(self.tables.name());
        self.run("copy the marks of the replayed", copy).await
    }

    /// From here on the new tables take the place of the old ones, unless [`Replacement::call_off`] is next.
    pub async fn announce(&self) -> Result<(), ClickHouseError> {
        let create = self.tables.server.query("CREATE DATABASE IF NOT EXISTS ?").bind(self.before.name());
        self.run("create the database of the old tables", create).await?;
        let mark = self.before.client.query(
            "CREATE TABLE IF NOT EXISTS ? (nothing UInt8 COMMENT 'No rows.') ENGINE = MergeTree ORDER BY nothing \
             COMMENT 'While this is here, rebuilt tables are taking the place of those of this database.'",
        );
        self.run("announce the exchange", mark.bind(Identifier(UNDER_WAY))).await
    }

    /// Takes an announcement back, before anything was exchanged.
    pub async fn call_off(&self) -> Result<(), ClickHouseError> {
        self.drop(&self.before).await
    }

    /// Exchanges the tables. Cut short at any point, it is finished by another call.
    pub async fn exchange(&self) -> Result<(), ClickHouseError> {
        let known = self.known().await?;
        let is_there = |of: &ClickHouse, table: Table| known.iter().any(|known| known.is(of, table.name()));
        // While the new table waits, the one in its place is the old one.
        let moves_in: Vec<Table> =
            Table::ALL.into_iter().filter(|&table| is_there(&self.new, table)).collect();
        let moves_out = moves_in.iter().copied().filter(|&table| is_there(&self.tables, table));
        let moves: Vec<(Table, &ClickHouse, &ClickHouse)> = moves_out
            .map(|table| (table, &self.tables, &self.before))
            .chain(moves_in.iter().map(|&table| (table, &self.new, &self.tables)))
            .collect();
        if !moves.is_empty() {
            let renames = vec!["?.? TO ?.?"; moves.len()].join(", ");
            let mut rename = self.tables.server.query(&format!("RENAME TABLE {renames}"));
            for &(table, from, to) in &moves {
                for of in [from, to] {
                    rename = rename.bind(of.name()).bind(Identifier(table.name()));
                }
            }
            self.run("exchange the tables", rename).await?;
        }
        Ok(())
    }

    /// Says that the exchange is done, and clears away what nobody needs any more.
    pub async fn finish(&self) -> Result<(), ClickHouseError> {
        self.drop(&self.new).await?;
        let unmark = self.before.client.query("DROP TABLE IF EXISTS ?").bind(Identifier(UNDER_WAY));
        self.run("finish the exchange", unmark).await
    }

    async fn known(&self) -> Result<Vec<Known>, ClickHouseError> {
        let names = [&self.tables, &self.new, &self.before].map(|of| of.database.as_str());
        let tables = self.tables.server.query("SELECT database, name FROM system.tables WHERE database IN ?");
        self.tables.fetch_all("look which tables are there", tables.bind(names.as_slice())).await
    }

    async fn drop(&self, database: &ClickHouse) -> Result<(), ClickHouseError> {
        // The server's guard against dropping large tables is meant for those that are read.
        let drop = self.tables.server.query("DROP DATABASE IF EXISTS ?").bind(database.name());
        let drop =
            drop.with_setting("max_table_size_to_drop", "0").with_setting("max_partition_size_to_drop", "0");
        self.run("drop a database", drop).await
    }

    async fn run(&self, during: &'static str, query: Query) -> Result<(), ClickHouseError> {
        self.tables.answered(during, query.execute()).await
    }
}

impl Known {
    fn is(&self, of: &ClickHouse, table: &str) -> bool {
        self.database == of.database && self.name == table
    }
}
