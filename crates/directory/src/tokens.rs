//! Client tokens at rest: the hash only.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::Row as _;
use wattline_auth::{ClientToken, KeyId, Pepper};

use crate::audit::{self, AuditAction};
use crate::clock::now_ms;
use crate::database::{Directory, ensure_client, take_seqs};
use crate::import_line::check_text;

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
    pub revoked_at: Option<Timestamp>,
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
        let key_id = token.key_id();
        let now_ms = now_ms();
        let mut tx = self.pool.begin().await.context("cannot reach the directory")?;
        take_seqs(&mut tx, 0).await?;
        let client_no = ensure_client(&mut tx, client, now_ms).await?;
        let seq = take_seqs(&mut tx, 1).await?;
        sqlx::query(
            "INSERT INTO tokens \
             (key_id, client_no, label, live, pepper_version, hash_hex, created_at_ms, seq) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(key_id.as_str().to_owned())
        .bind(client_no)
        .bind(label.to_owned())
        .bind(i64::from(live))
        .bind(i64::from(pepper.version()))
        .bind(pepper.hash(&token).to_hex())
        .bind(now_ms)
        .bind(seq)
        .execute(&mut *tx)
        .await
        .context("cannot store the token's hash")?;
        audit::append(&mut tx, seq, now_ms, AuditAction::Mint, client, key_id).await?;
        tx.commit().await.context("cannot commit the token")?;
        Ok(token)
    }

    /// All tokens, revoked ones too, by client and age.
    pub async fn list_tokens(&self) -> anyhow::Result<Vec<TokenRow>> {
        let rows = sqlx::query(
            "SELECT key_id, client_id, label, live, tokens.created_at_ms, last_used_at_ms, revoked_at_ms \
             FROM tokens JOIN clients ON clients.client_no = tokens.client_no \
             ORDER BY client_id, tokens.seq",
        )
        .fetch_all(&self.pool)
        .await
        .context("cannot read the tokens")?;
        let optional = |at_ms: Option<i64>| at_ms.map(Timestamp::from_millisecond).transpose();
        rows.iter()
            .map(|row| {
                Ok(TokenRow {
                    key_id: row.try_get::<&str, _>(0)?.parse()?,
                    client: row.try_get(1)?,
                    label: row.try_get(2)?,
                    live: row.try_get::<i64, _>(3)? != 0,
                    created_at: Timestamp::from_millisecond(row.try_get(4)?)?,
                    last_used_at: optional(row.try_get(5)?)?,
                    revoked_at: optional(row.try_get(6)?)?,
                })
            })
            .collect()
    }

    /// Revokes a token. False where there is none of this key id, or it is revoked already.
    pub async fn revoke_token(&self, key_id: KeyId) -> anyhow::Result<bool> {
        let now_ms = now_ms();
        let mut tx = self.pool.begin().await.context("cannot reach the directory")?;
        let seq = take_seqs(&mut tx, 1).await?;
        let client_no: Option<i64> = sqlx::query_scalar(
            "UPDATE tokens SET revoked_at_ms = $1, seq = $2 \
             WHERE key_id = $3 AND revoked_at_ms IS NULL RETURNING client_no",
        )
        .bind(now_ms)
        .bind(seq)
        .bind(key_id.as_str().to_owned())
        .fetch_optional(&mut *tx)
        .await
        .context("cannot revoke the token")?;
        let Some(client_no) = client_no else {
            tx.rollback().await?;
            return Ok(false);
        };
        let client: String = sqlx::query_scalar("SELECT client_id FROM clients WHERE client_no = $1")
            .bind(client_no)
            .fetch_one(&mut *tx)
            .await?;
        audit::append(&mut tx, seq, now_ms, AuditAction::Revoke, &client, key_id).await?;
        tx.commit().await.context("cannot commit the revocation")?;
        Ok(true)
    }

    /// Notes when tokens were last used, in seconds since 1970. A time never goes back.
    ///
    /// It is no change that gateways follow, so it takes no sequence number.
    pub async fn touch_tokens(&self, uses: &[(KeyId, i64)]) -> anyhow::Result<()> {
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
