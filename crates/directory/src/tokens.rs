//! Client tokens at rest: the hash only.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};
use wattline_auth::{ClientToken, KeyId, Pepper};

use crate::audit::{self, AuditAction};
use crate::clock::now_ms;
use crate::database::{Directory, ensure_client, take_seqs};
use crate::import_line::check_text;

/// The longest that a rotated token may go on.
const OVERLAP_MAX: Duration = Duration::from_secs(90 * 86_400);

/// What [`token_row`] reads, and from where.
pub(crate) const TOKEN_COLUMNS: &str = "key_id, client_id, label, live, tokens.created_at_ms, \
     last_used_at_ms, revoked_at_ms FROM tokens JOIN clients ON clients.client_no = tokens.client_no";

/// What is kept of a token, but for its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub key_id: KeyId,
    pub client: String,
    pub label: String,
    pub live: bool,
    pub created_at: Timestamp,
    /// Coarse: the gateways report uses in batches.
    pub last_used_at: Option<Timestamp>,
    /// It lies ahead while a rotated token is still good.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRow {
    /// Whether the token opens anything now.
    pub fn is_active(&self) -> bool {
        self.revoked_at.is_none_or(|at| at.as_millisecond() > now_ms())
    }
}

impl Directory {
    /// Mints a token for the client, which is created when it is new.
    ///
    /// The result is the only copy: what is stored is its hash under the current pepper.
    pub async fn create_token(
        &self,
        client: &str,
        label: &str,
        live: bool,
        pepper: &Pepper,
    ) -> anyhow::Result<ClientToken> {
        check_text(label).map_err(|rule| anyhow::anyhow!("the token's label {rule}"))?;
        let token = ClientToken::mint(live).context("the operating system gave no randomness")?;
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        ensure_client(&mut tx, client, now_ms).await?;
        insert_token(&mut tx, client, label, &token, pepper, now_ms, None).await?;
        tx.commit().await.context("cannot commit the token")?;
        Ok(token)
    }

    /// Mints a token like another one, which ends after the overlap. None where no token of this key id is
    /// active, or it is ending already.
    pub async fn rotate_token(
        &self,
        key_id: KeyId,
        overlap: Duration,
        pepper: &Pepper,
    ) -> anyhow::Result<Option<ClientToken>> {
        ensure!(overlap <= OVERLAP_MAX, "the overlap is longer than {} days", OVERLAP_MAX.as_secs() / 86_400);
        let now_ms = now_ms();
        let ends_at_ms = now_ms + i64::try_from(overlap.as_millis())?;
        let mut tx = self.begin_change().await?;
        let row = sqlx::query(
            "SELECT client_id, label, live FROM tokens JOIN clients ON clients.client_no = tokens.client_no \
             WHERE key_id = $1 AND revoked_at_ms IS NULL",
        )
        .bind(key_id.as_str().to_owned())
        .fetch_optional(&mut *tx)
        .await
        .context("cannot read the token")?;
        let Some(row) = row else { return Ok(None) };
        let (client, label): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let live = row.try_get::<i64, _>(2)? != 0;
        let token = ClientToken::mint(live).context("the operating system gave no randomness")?;
        insert_token(&mut tx, &client, &label, &token, pepper, now_ms, None).await?;
        let reason = format!("rotated; it ends at {}", Timestamp::from_millisecond(ends_at_ms)?);
        end_token(&mut tx, key_id, now_ms, ends_at_ms, Some(reason)).await?;
        tx.commit().await.context("cannot commit the tokens")?;
        Ok(Some(token))
    }

    /// All tokens, revoked ones too, by client and age.
    pub async fn list_tokens(&self) -> anyhow::Result<Vec<TokenRow>> {
        let rows =
            sqlx::query(AssertSqlSafe(format!("SELECT {TOKEN_COLUMNS} ORDER BY client_id, tokens.seq")))
                .fetch_all(&self.pool)
                .await
                .context("cannot read the tokens")?;
        rows.iter().map(token_row).collect()
    }

    /// Revokes a token at once, one that is ending too. False where there is none of this key id, or it is
    /// revoked already.
    pub async fn revoke_token(&self, key_id: KeyId) -> anyhow::Result<bool> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let is_revoked = end_token(&mut tx, key_id, now_ms, now_ms, None).await?;
        if is_revoked {
            tx.commit().await.context("cannot commit the revocation")?;
        }
        Ok(is_revoked)
    }

    /// Notes when tokens were last used, in seconds since 1970. A time never goes back.
    ///
    /// It is no change that gateways follow, so it takes no sequence number.
    pub async fn touch_tokens(&self, uses: &[(KeyId, i64)]) -> anyhow::Result<()> {
        // In one order, so that two gateways that write together do not wait for each other in a circle.
        let mut uses = uses.to_vec();
        uses.sort_unstable();
        let mut tx = self.pool.begin().await.context("cannot reach the directory")?;
        for (key_id, used_at_s) in uses {
            sqlx::query(
                "UPDATE tokens SET last_used_at_ms = $1 \
                 WHERE key_id = $2 AND COALESCE(last_used_at_ms, 0) < $1",
            )
            .bind(used_at_s.saturating_mul(1000))
            .bind(key_id.as_str().to_owned())
            .execute(&mut *tx)
            .await
            .context("cannot note a token's use")?;
        }
        tx.commit().await.context("cannot commit the tokens' uses")
    }
}

pub(crate) fn token_row(row: &AnyRow) -> anyhow::Result<TokenRow> {
    let optional = |at_ms: Option<i64>| at_ms.map(Timestamp::from_millisecond).transpose();
    Ok(TokenRow {
        key_id: row.try_get::<&str, _>(0)?.parse()?,
        client: row.try_get(1)?,
        label: row.try_get(2)?,
        live: row.try_get::<i64, _>(3)? != 0,
        created_at: Timestamp::from_millisecond(row.try_get(4)?)?,
        last_used_at: optional(row.try_get(5)?)?,
        revoked_at: optional(row.try_get(6)?)?,
    })
}

pub(crate) async fn insert_token(
    tx: &mut Transaction<'_, Any>,
    client: &str,
    label: &str,
    token: &ClientToken,
    pepper: &Pepper,
    now_ms: i64,
    reason: Option<String>,
) -> anyhow::Result<()> {
    let key_id = token.key_id();
    let seq = take_seqs(tx, 1).await?;
    sqlx::query(
        "INSERT INTO tokens (key_id, client_no, label, live, pepper_version, hash_hex, created_at_ms, seq) \
         SELECT $1, client_no, $2, $3, $4, $5, $6, $7 FROM clients WHERE client_id = $8",
    )
    .bind(key_id.as_str().to_owned())
    .bind(label.to_owned())
    .bind(i64::from(token.is_live()))
    .bind(i64::from(pepper.version()))
    .bind(pepper.hash(token).to_hex())
    .bind(now_ms)
    .bind(seq)
    .bind(client.to_owned())
    .execute(&mut **tx)
    .await
    .context("cannot store the token's hash")?;
    audit::append(tx, seq, now_ms, AuditAction::Mint, client, key_id.as_str(), reason).await?;
    Ok(())
}

/// Sets the end of a token that is active. False where there is none of this key id.
pub(crate) async fn end_token(
    tx: &mut Transaction<'_, Any>,
    key_id: KeyId,
    now_ms: i64,
    ends_at_ms: i64,
    reason: Option<String>,
) -> anyhow::Result<bool> {
    let seq = take_seqs(tx, 1).await?;
    let client_no: Option<i64> = sqlx::query_scalar(
        "UPDATE tokens SET revoked_at_ms = $1, seq = $2 \
         WHERE key_id = $3 AND (revoked_at_ms IS NULL OR revoked_at_ms > $4) RETURNING client_no",
    )
    .bind(ends_at_ms)
    .bind(seq)
    .bind(key_id.as_str().to_owned())
    .bind(now_ms)
    .fetch_optional(&mut **tx)
    .await
    .context("cannot revoke the token")?;
    let Some(client_no) = client_no else { return Ok(false) };
    let client: String = sqlx::query_scalar("SELECT client_id FROM clients WHERE client_no = $1")
        .bind(client_no)
        .fetch_one(&mut **tx)
        .await?;
    audit::append(tx, seq, now_ms, AuditAction::Revoke, &client, key_id.as_str(), reason).await?;
    Ok(true)
}
