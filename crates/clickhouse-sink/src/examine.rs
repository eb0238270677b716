//! What a server says of itself and lets us do, for somebody who looks whether all is as it should be.

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::table::Table;

/// A server as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    pub version: String,
    /// By its clock, in milliseconds since 1970.
    pub now_ms: i64,
    /// What inserts are that do not say it themselves, as ours do.
    pub async_insert: bool,
    pub has_database: bool,
}

impl ClickHouse {
    pub async fn server_state(&self) -> Result<ServerState, ClickHouseError> {
        let query = self
            .server
            .query(
                "SELECT version(), toUnixTimestamp64Milli(now64(3)), toString(getSetting('async_insert')), \
                 ? IN (SELECT name FROM system.databases)",
            )
            .bind(&self.database);
        let (version, now_ms, async_insert, has_database): (String, i64, String, bool) =
            self.answered("describe the server", self.bounded(query).fetch_one()).await?;
        let async_insert = matches!(async_insert.as_str(), "1" | "true");
        Ok(ServerState { version, now_ms, async_insert, has_database })
    }

    /// Reads no row of a table and inserts none, which takes the same rights as reading and inserting some.
    pub async fn rehearse_insert(&self, table: Table) -> Result<(), ClickHouseError> {
        let insert = self
            .client
            .query(&format!("INSERT INTO {table} SELECT * FROM {table} LIMIT 0"))
            .with_setting("async_insert", "0");
        self.answered("rehearse an insert", insert.execute()).await
    }
}
