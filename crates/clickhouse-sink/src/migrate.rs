//! The migrations of `deploy/clickhouse/`, applied in order and recorded.

use clickhouse::sql::Identifier;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;

struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// Every migration, oldest first. A file that has been released is never changed: add another.
/// Each statement can be run twice without harm, so that a migration cut short is simply run again.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_tables", sql: include_str!("../../../deploy/clickhouse/0001_tables.sql") },
    Migration { name: "0002_views", sql: include_str!("../../../deploy/clickhouse/0002_views.sql") },
];

const RECORD_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name String COMMENT 'File name of the migration, without .sql.',
        sql String COMMENT 'Its text as it was applied.',
        applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied.'
    )
    ENGINE = ReplacingMergeTree ORDER BY name
    COMMENT 'Migrations that have been applied to this database.'";

#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("migration {name}, statement {statement}")]
    Statement {
        name: &'static str,
        statement: usize,
        #[source]
        source: ClickHouseError,
    },
    #[error(
        "migration {name} was applied with another text than this program holds; migrations are added, never changed"
    )]
    Changed { name: &'static str },
    #[error(transparent)]
    ClickHouse(#[from] ClickHouseError),
}

impl ClickHouse {
    /// Creates the database when it is absent and brings its tables up to date. Answers with the
    /// names of the migrations that were applied; a second run applies none.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, MigrateError> {
        let create = self.server.query("CREATE DATABASE IF NOT EXISTS ?").bind(Identifier(&self.database));
        self.answered("create the database", create.execute()).await?;
        self.run("record migrations", RECORD_TABLE).await?;

        let mut applied = Vec::new();
        for migration in self.missing().await? {
            self.apply(migration).await?;
            tracing::info!(migration = migration.name, "applied");
            applied.push(migration.name);
        }
        Ok(applied)
    }

    /// The names of the migrations that this database lacks. It has to be there.
    pub async fn missing_migrations(&self) -> Result<Vec<&'static str>, MigrateError> {
        let query = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'";
        let tables: Vec<u64> = self.fetch_all("look for migrations", self.client.query(query)).await?;
        if tables == [0] {
            return Ok(MIGRATIONS.iter().map(|migration| migration.name).collect());
        }
        Ok(self.missing().await?.into_iter().map(|migration| migration.name).collect())
    }

    async fn missing(&self) -> Result<Vec<&'static Migration>, MigrateError> {
        let recorded = self.client.query("SELECT name, sql FROM schema_migrations FINAL");
        let recorded: Vec<(String, String)> = self.fetch_all("read migrations", recorded).await?;
        let mut missing = Vec::new();
        for migration in MIGRATIONS {
            match recorded.iter().find(|(name, _)| name == migration.name) {
                Some((_, sql)) if sql == migration.sql => {}
                Some(_) => return Err(MigrateError::Changed { name: migration.name }),
                None => missing.push(migration),
            }
        }
        Ok(missing)
    }

    async fn apply(&self, migration: &Migration) -> Result<(), MigrateError> {
        for (index, statement) in statements(migration.sql).into_iter().enumerate() {
            self.run("migrate", statement).await.map_err(|source| MigrateError::Statement {
                name: migration.name,
                statement: index + 1,
                source,
            })?;
        }
        let record = self
            .client
            .query("INSERT INTO schema_migrations (name, sql) SELECT ?, ?")
            .bind(migration.name)
            .bind(migration.sql);
        Ok(self.answered("record a migration", record.execute()).await?)
    }

    async fn run(&self, during: &'static str, sql: &str) -> Result<(), ClickHouseError> {
        self.answered(during, self.client.query_raw(sql).execute()).await
    }
}

/// The statements of a file. Semicolons within quotes and comments separate nothing.
fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let (mut found, mut start, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        at = match bytes[at] {
            quote @ (b'\'' | b'"' | b'`') => end_of_quoted(bytes, at, quote),
            b'-' if bytes[at..].starts_with(b"--") => end_after(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => end_after(bytes, at + 2, b"*/"),
            b';' => {
                found.push(&sql[start..at]);
                start = at + 1;
                start
            }
            _ => at + 1,
        };
    }
    found.push(&sql[start..]);
    found.retain(|statement| !is_blank(statement));
    found
}

fn end_of_quoted(bytes: &[u8], open: usize, quote: u8) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            // A doubled quote closes and opens again, which comes to the same.
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_after(bytes: &[u8], from: usize, end: &[u8]) -> usize {
    bytes[from..]
        .windows(end.len())
        .position(|window| window == end)
        .map_or(bytes.len(), |found| from + found + end.len())
}

/// Nothing but space and comments: what stands after the last semicolon of a file.
fn is_blank(statement: &str) -> bool {
    let bytes = statement.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = match bytes[at] {
            b'-' if bytes[at..].starts_with(b"--") => end_after(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => end_after(bytes, at + 2, b"*/"),
            byte if byte.is_ascii_whitespace() => at + 1,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_that_mean_it() {
        let sql = "-- first; not here\nCREATE a COMMENT 'it''s; \\'; ü';\n\n/* ; */ CREATE `b;` -- x;\n;\n-- end;\n";
        let found: Vec<&str> = statements(sql).into_iter().map(str::trim).collect();
        assert_eq!(
            found,
            ["-- first; not here\nCREATE a COMMENT 'it''s; \\'; ü'", "/* ; */ CREATE `b;` -- x;",]
        );
    }

    #[test]
    fn what_is_left_open_does_not_run_away() {
        assert_eq!(statements("SELECT 'open;"), ["SELECT 'open;"]);
        assert_eq!(statements("SELECT 1 /* open;"), ["SELECT 1 /* open;"]);
        assert!(statements(" ; ;\n-- nothing").is_empty());
    }
}
