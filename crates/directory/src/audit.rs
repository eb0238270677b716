//! The audit trail: who was given or lost access. Rows are only ever appended.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::{Any, Row as _, Transaction};
use wattline_auth::KeyId;

use crate::Directory;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    Mint,
    Revoke,
}

impl AuditAction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mint => "MINT",
            Self::Revoke => "REVOKE",
        }
    }
}

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub action: String,
    pub client: String,
    pub key_id: Option<String>,
    pub site_id: Option<String>,
    pub request_id: Option<String>,
}

/// Appends what happened to a token, under the sequence number of that change.
pub(crate) async fn append(
    tx: &mut Transaction<'_, Any>,
    seq: i64,
    now_ms: i64,
    action: AuditAction,
    client_id: &str,
    key_id: KeyId,
) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO audit (seq, at_ms, action, client_id, key_id) VALUES ($1, $2, $3, $4, $5)")
        .bind(seq)
        .bind(now_ms)
        .bind(action.name())
        .bind(client_id.to_owned())
        .bind(key_id.as_str().to_owned())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Directory {
    /// The latest rows of the audit trail, newest first.
    pub async fn audit_trail(&self, rows_max: u32) -> anyhow::Result<Vec<AuditRow>> {
        let rows = sqlx::query(
            "SELECT at_ms, action, client_id, key_id, site_id, request_id \
             FROM audit ORDER BY seq DESC LIMIT $1",
        )
        .bind(i64::from(rows_max))
        .fetch_all(&self.pool)
        .await
        .context("cannot read the audit trail")?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    at: Timestamp::from_millisecond(row.try_get(0)?)?,
                    action: row.try_get(1)?,
                    client: row.try_get(2)?,
                    key_id: row.try_get(3)?,
                    site_id: row.try_get(4)?,
                    request_id: row.try_get(5)?,
                })
            })
            .collect()
    }
}
