//! The audit trail: who was given access, lost it, or was denied it. Rows are only ever appended, which the
//! database sees to, and never hold a token.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::audit_log::AuditEvent;
use crate::database::{Directory, take_seqs};

/// Rows in one statement.
const STATEMENT_ROWS: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditAction {
    /// A client token was made.
    Mint,
    Revoke,
    /// A site token was made.
    MintSite,
    /// A request was refused for its token.
    Denial,
    /// A signing key was made.
    RotateKey,
    /// A link was made by which a client signs in to the portal.
    Invite,
    SignIn,
    SignOut,
}

impl AuditAction {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mint => "MINT",
            Self::Revoke => "REVOKE",
            Self::MintSite => "MINT_SITE",
            Self::Denial => "DENIAL",
            Self::RotateKey => "ROTATE_KEY",
            Self::Invite => "INVITE",
            Self::SignIn => "SIGN_IN",
            Self::SignOut => "SIGN_OUT",
        }
    }
}

/// One row of the trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub at: Timestamp,
    pub action: String,
    /// Empty where it is not known, or nobody's.
    pub client: String,
    pub key_id: Option<String>,
    pub site_id: Option<String>,
    pub request_id: Option<String>,
    pub reason: Option<String>,
    /// How many events the row stands for.
    pub events: u64,
}

/// Appends what happened to a token or a key, under the sequence number of that change.
pub(crate) async fn append(
    tx: &mut Transaction<'_, Any>,
    seq: i64,
    now_ms: i64,
    action: AuditAction,
    client_id: &str,
    key_id: &str,
    reason: Option<String>,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO audit (seq, at_ms, action, client_id, key_id, reason) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(seq)
    .bind(now_ms)
    .bind(action.name())
    .bind(client_id.to_owned())
    .bind(key_id.to_owned())
    .bind(reason)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Directory {
    /// Appends what a gateway saw, all or nothing.
    pub(crate) async fn append_audit(&self, events: &[AuditEvent]) -> anyhow::Result<()> {
        const COLUMNS: usize = 8;
        let mut tx = self.begin_change().await?;
        for rows in events.chunks(STATEMENT_ROWS) {
            let last = take_seqs(&mut tx, rows.len() as i64).await?;
            let values: Vec<_> = (0..rows.len())
                .map(|row| {
                    let places: Vec<_> =
                        (0..COLUMNS).map(|column| format!("${}", 2 + row * COLUMNS + column)).collect();
                    format!("($1 + {}, {})", row + 1, places.join(", "))
                })
                .collect();
            let sql = format!(
                "INSERT INTO audit \
                 (seq, at_ms, action, client_id, key_id, site_id, request_id, reason, events) VALUES {}",
                values.join(", ")
            );
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(last - rows.len() as i64);
            for event in rows {
                query = query
                    .bind(event.at_ms)
                    .bind(event.action().name())
                    .bind(event.client.as_deref().unwrap_or_default().to_owned())
                    .bind(event.key_id.clone())
                    .bind(event.site_id.clone())
                    .bind(event.request_id.clone())
                    .bind(event.reason)
                    .bind(i64::try_from(event.events)?);
            }
            query.execute(&mut *tx).await.context("cannot append to the audit trail")?;
        }
        tx.commit().await.context("cannot commit the audit trail")
    }

    /// The latest rows of the audit trail, newest first.
    pub async fn audit_trail(&self, rows_max: u32) -> anyhow::Result<Vec<AuditRow>> {
        let rows = sqlx::query(
            "SELECT at_ms, action, client_id, key_id, site_id, request_id, reason, events \
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
                    reason: row.try_get(6)?,
                    events: u64::try_from(row.try_get::<i64, _>(7)?)?,
                })
            })
            .collect()
    }
}
