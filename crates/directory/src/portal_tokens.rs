//! A client's tokens, as its session in the developer portal sees and changes them.
//!
//! Every statement asks for the session's client, so that nobody reaches a token of somebody else. The
//! operator is trusted; whoever has a session is not, so what they may add is bounded.

use anyhow::Context as _;
use sqlx::{Any, Transaction};
use wattline_auth::{ClientToken, KeyId, Pepper};

use crate::clock::now_ms;
use crate::database::Directory;
use crate::import_line::check_text;
use crate::portal::PortalSession;
use crate::tokens::{TOKEN_COLUMNS, TokenRow, end_token, insert_token, token_row};

/// Tokens that a client may have at once, where it makes them itself.
pub const PORTAL_ACTIVE_TOKENS_MAX: u32 = 50;
/// Tokens of a client that may be made within a day.
pub const PORTAL_TOKENS_A_DAY_MAX: u32 = 100;
/// Tokens in a client's list.
pub const PORTAL_LISTED_TOKENS_MAX: u32 = 500;

const DAY_MS: i64 = 86_400_000;

#[derive(Debug, thiserror::Error)]
pub enum PortalTokenError {
    #[error("the token's name {0}")]
    Name(&'static str),
    #[error("the client has {PORTAL_ACTIVE_TOKENS_MAX} tokens already")]
    TooManyActive,
    #[error("the client has made {PORTAL_TOKENS_A_DAY_MAX} tokens within a day already")]
    TooManyToday,
    #[error(transparent)]
    Directory(#[from] anyhow::Error),
}

impl Directory {
    /// The tokens of the session's client: those that open something before the others, the newest first.
    pub async fn portal_tokens(&self, session: &PortalSession) -> anyhow::Result<Vec<TokenRow>> {
        let sql = format!(
            "SELECT {TOKEN_COLUMNS} WHERE tokens.client_no = $1 ORDER BY \
             CASE WHEN revoked_at_ms IS NULL OR revoked_at_ms > $2 THEN 0 ELSE 1 END, tokens.created_at_ms DESC, \
             tokens.seq DESC LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(session.client_no)
            .bind(now_ms())
            .bind(i64::from(PORTAL_LISTED_TOKENS_MAX))
            .fetch_all(&self.pool)
            .await
            .context("cannot read the client's tokens")?;
        rows.iter().map(token_row).collect()
    }

    /// A token of the session's client.
    pub async fn portal_token(
        &self,
        session: &PortalSession,
        key_id: KeyId,
    ) -> anyhow::Result<Option<TokenRow>> {
        let sql = format!("SELECT {TOKEN_COLUMNS} WHERE tokens.client_no = $1 AND key_id = $2");
        let row = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(session.client_no)
            .bind(key_id.as_str().to_owned())
            .fetch_optional(&self.pool)
            .await
            .context("cannot read the client's token")?;
        row.as_ref().map(token_row).transpose()
    }

    /// Mints a token for the session's client. The result is the only copy.
    pub async fn create_portal_token(
        &self,
        session: &PortalSession,
        name: &str,
        live: bool,
        pepper: &Pepper,
    ) -> Result<ClientToken, PortalTokenError> {
        check_text(name).map_err(PortalTokenError::Name)?;
        let token = ClientToken::mint(live).context("the operating system gave no randomness")?;
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let active = "(revoked_at_ms IS NULL OR revoked_at_ms > $2)";
        if count(&mut tx, session, active, now_ms).await? >= i64::from(PORTAL_ACTIVE_TOKENS_MAX) {
            return Err(PortalTokenError::TooManyActive);
        }
        let made_today = "created_at_ms > $2";
        let today = count(&mut tx, session, made_today, now_ms - DAY_MS).await?;
        if today >= i64::from(PORTAL_TOKENS_A_DAY_MAX) {
            return Err(PortalTokenError::TooManyToday);
        }
        let reason = Some(by(session));
        insert_token(&mut tx, &session.client, name, &token, pepper, now_ms, reason).await?;
        tx.commit().await.context("cannot commit the token")?;
        Ok(token)
    }

    /// Revokes a token of the session's client. False where it has none of this key id that is active.
    pub async fn revoke_portal_token(&self, session: &PortalSession, key_id: KeyId) -> anyhow::Result<bool> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let owner: Option<i64> =
            sqlx::query_scalar("SELECT client_no FROM tokens WHERE key_id = $1 AND client_no = $2")
                .bind(key_id.as_str().to_owned())
                .bind(session.client_no)
                .fetch_optional(&mut *tx)
                .await
                .context("cannot read the client's token")?;
        if owner.is_none() || !end_token(&mut tx, key_id, now_ms, now_ms, Some(by(session))).await? {
            return Ok(false);
        }
        tx.commit().await.context("cannot commit the revocation")?;
        Ok(true)
    }
}

/// What the audit trail says of a change that was made in the portal; the operator's own have another reason
/// or none.
fn by(session: &PortalSession) -> String {
    format!("in the portal, by session {}", session.id)
}

async fn count(
    tx: &mut Transaction<'_, Any>,
    session: &PortalSession,
    condition: &'static str,
    at_ms: i64,
) -> anyhow::Result<i64> {
    let sql = format!("SELECT COUNT(*) FROM tokens WHERE client_no = $1 AND {condition}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(session.client_no)
        .bind(at_ms)
        .fetch_one(&mut **tx)
        .await
        .context("cannot count the client's tokens")
}
