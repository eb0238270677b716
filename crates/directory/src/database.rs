//! The database behind the directory: opening, migrations, and the sequence of changes.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::any::AnyPoolOptions;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, Executor as _, SqlSafeStr as _, Transaction};

use crate::id::check_client_id;

const CONNECTIONS_MAX: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A revocation must survive a power cut, so commits are synced in full; changes are rare enough.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                               PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// A lock is waited for as long as SQLite would wait, and a transaction whose process is gone gives way.
const POSTGRES_SETTINGS: &str =
    "SET lock_timeout = '5s'; SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '30s'";

const MIGRATIONS: [(i64, &str, &str); 4] = [
    (1, "directory", include_str!("../../../deploy/directory/0001_directory.sql")),
    (2, "sites, keys, audit", include_str!("../../../deploy/directory/0002_sites_keys_audit.sql")),
    (3, "portal", include_str!("../../../deploy/directory/0003_portal.sql")),
    (4, "partitions", include_str!("../../../deploy/directory/0004_partitions.sql")),
];

/// What keeps the audit trail append-only, by the name of the database. It may be applied again and again.
const GUARDS: [(&str, &str); 2] = [
    (SQLITE, include_str!("../../../deploy/directory/guard.sqlite.sql")),
    (POSTGRES, include_str!("../../../deploy/directory/guard.postgres.sql")),
];

const SQLITE: &str = "SQLite";
const POSTGRES: &str = "PostgreSQL";

/// The directory's database. Cloning it shares the connections.
#[derive(Clone, Debug)]
pub struct Directory {
    pub(crate) pool: AnyPool,
}

impl Directory {
    /// Connects. The file of a `sqlite:` URL is created when it is missing.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        Self::connect(&creating_url(url)).await
    }

    /// Connects to a database that has to be there.
    pub async fn open_existing(url: &str) -> anyhow::Result<Self> {
        Self::connect(url).await
    }

    async fn connect(url: &str) -> anyhow::Result<Self> {
        sqlx::any::install_default_drivers();
        let options = AnyPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(set_up(connection)));
        // The URL may hold a password, so it is not part of the error.
        let pool = options.connect(url).await.context("cannot open the directory's database")?;
        Ok(Self { pool })
    }

    /// How many of the migrations this database lacks.
    pub async fn missing_migrations(&self) -> anyhow::Result<usize> {
        let is_recorded: i64 = match self.pool.acquire().await?.backend_name() {
            POSTGRES => {
                sqlx::query_scalar(
                    "SELECT COUNT(*) FROM pg_catalog.pg_tables \
                     WHERE tablename = '_sqlx_migrations' AND schemaname = current_schema()",
                )
                .fetch_one(&self.pool)
                .await?
            }
            _ => {
                sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
                    .fetch_one(&self.pool)
                    .await?
            }
        };
        if is_recorded == 0 {
            return Ok(MIGRATIONS.len());
        }
        let applied: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM _sqlx_migrations WHERE success")
            .fetch_one(&self.pool)
            .await
            .context("cannot read which migrations were applied")?;
        Ok(MIGRATIONS.len().saturating_sub(usize::try_from(applied)?))
    }

    /// Applies the migrations that this database lacks. A second run does nothing.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            let (name, sql) = (Cow::Borrowed(name), sql.into_sql_str());
            Migration::new(version, name, MigrationType::Simple, sql, false)
        });
        let migrator = Migrator::with_migrations(migrations.into());
        migrator.run(&self.pool).await.context("cannot migrate the directory's database")?;
        let mut connection = self.pool.acquire().await?;
        for (backend, guard) in GUARDS {
            if connection.backend_name() == backend {
                connection.execute(guard).await.context("cannot guard the audit trail")?;
            }
        }
        Ok(())
    }

    /// Fails where the tables are not there or cannot be read.
    pub async fn check(&self) -> anyhow::Result<()> {
        let seq = self.last_seq().await;
        seq.context("the directory's tables cannot be read; `wattline migrate` creates them").map(drop)
    }

    /// Begins a transaction that changes something, behind all changes before it.
    pub(crate) async fn begin_change(&self) -> anyhow::Result<Transaction<'static, Any>> {
        let mut tx = self.pool.begin().await.context("cannot reach the directory")?;
        take_seqs(&mut tx, 0).await.context("cannot change the directory")?;
        Ok(tx)
    }

    /// Ends all connections, after the statements under way.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

async fn set_up(connection: &mut AnyConnection) -> sqlx::Result<()> {
    let settings = match connection.backend_name() {
        POSTGRES => POSTGRES_SETTINGS,
        _ => SQLITE_SETTINGS,
    };
    connection.execute(settings).await?;
    Ok(())
}

fn creating_url(url: &str) -> Cow<'_, str> {
    if !url.starts_with("sqlite:") || url.contains("mode=") || url.contains(":memory:") {
        return Cow::Borrowed(url);
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    Cow::Owned(format!("{url}{separator}mode=rwc"))
}

/// Takes the next `count` sequence numbers and returns the last one.
///
/// It is the first statement of every changing transaction: it takes the lock that puts the changes
/// in one order, and lets SQLite wait for it instead of failing half-way.
pub(crate) async fn take_seqs(tx: &mut Transaction<'_, Any>, count: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar("UPDATE change_counter SET seq = seq + $1 WHERE one = 1 RETURNING seq")
        .bind(count)
        .fetch_one(&mut **tx)
        .await
}

/// The number of the client, which is created when it is new.
pub(crate) async fn ensure_client(
    tx: &mut Transaction<'_, Any>,
    client_id: &str,
    now_ms: i64,
) -> anyhow::Result<i64> {
    check_client_id(client_id).context("the client's name")?;
    let known = sqlx::query_scalar("SELECT client_no FROM clients WHERE client_id = $1")
        .bind(client_id)
        .fetch_optional(&mut **tx)
        .await?;
    if let Some(client_no) = known {
        return Ok(client_no);
    }
    let seq = take_seqs(tx, 1).await?;
    // Numbers are dense, and never handed out twice: clients are not deleted, and the caller holds the lock.
    let client_no = sqlx::query_scalar(
        "INSERT INTO clients (client_no, client_id, created_at_ms, seq) \
         SELECT COALESCE(MAX(client_no), 0) + 1, $1, $2, $3 FROM clients RETURNING client_no",
    )
    .bind(client_id)
    .bind(now_ms)
    .bind(seq)
    .fetch_one(&mut **tx)
    .await?;
    Ok(client_no)
}

#[cfg(test)]
mod tests {
    use super::creating_url;

    #[test]
    fn a_missing_sqlite_file_is_created() {
        assert_eq!(creating_url("sqlite://a.db"), "sqlite://a.db?mode=rwc");
        assert_eq!(creating_url("sqlite://a.db?cache=private"), "sqlite://a.db?cache=private&mode=rwc");
        assert_eq!(creating_url("sqlite://a.db?mode=ro"), "sqlite://a.db?mode=ro");
        assert_eq!(creating_url("postgres://h/d"), "postgres://h/d");
    }
}
