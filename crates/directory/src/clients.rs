//! Clients at rest.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::Row as _;

use crate::clock::now_ms;
use crate::database::{Directory, ensure_client};

/// What an operator wants to see of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRow {
    pub id: String,
    pub created_at: Timestamp,
    /// Tokens that open something now.
    pub active_tokens: u64,
    pub sites: u64,
    pub devices: u64,
}

impl Directory {
    /// Creates a client. False where it is there already.
    pub async fn create_client(&self, client: &str) -> anyhow::Result<bool> {
        let mut tx = self.begin_change().await?;
        let known: Option<i64> = sqlx::query_scalar("SELECT client_no FROM clients WHERE client_id = $1")
            .bind(client.to_owned())
            .fetch_optional(&mut *tx)
            .await
            .context("cannot read the clients")?;
        if known.is_some() {
            return Ok(false);
        }
        ensure_client(&mut tx, client, now_ms()).await?;
        tx.commit().await.context("cannot commit the client")?;
        Ok(true)
    }

    /// The number of a client, by which its sites and devices are asked for.
    pub async fn client_index(&self, client: &str) -> anyhow::Result<Option<u32>> {
        let known: Option<i64> = sqlx::query_scalar("SELECT client_no FROM clients WHERE client_id = $1")
            .bind(client.to_owned())
            .fetch_optional(&self.pool)
            .await
            .context("cannot read the clients")?;
        Ok(known.map(u32::try_from).transpose()?)
    }

    /// All clients by name. It counts, so it takes a moment where there are millions of devices.
    pub async fn list_clients(&self) -> anyhow::Result<Vec<ClientRow>> {
        let rows = sqlx::query(
            "SELECT client_id, created_at_ms, \
             (SELECT COUNT(*) FROM tokens WHERE tokens.client_no = clients.client_no \
              AND (revoked_at_ms IS NULL OR revoked_at_ms > $1)), \
             (SELECT COUNT(*) FROM sites WHERE sites.client_no = clients.client_no \
              AND sites.deleted_at_ms IS NULL), \
             (SELECT COUNT(*) FROM devices WHERE devices.client_no = clients.client_no \
              AND devices.deleted_at_ms IS NULL) \
             FROM clients ORDER BY client_id",
        )
        .bind(now_ms())
        .fetch_all(&self.pool)
        .await
        .context("cannot read the clients")?;
        rows.iter()
            .map(|row| {
                let count = |place| anyhow::Ok(u64::try_from(row.try_get::<i64, _>(place)?)?);
                Ok(ClientRow {
                    id: row.try_get(0)?,
                    created_at: Timestamp::from_millisecond(row.try_get(1)?)?,
                    active_tokens: count(2)?,
                    sites: count(3)?,
                    devices: count(4)?,
                })
            })
            .collect()
    }
}
