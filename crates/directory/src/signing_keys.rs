//! The keys of site tokens at rest.

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};
use wattline_auth::{Pepper, SigningKeyId, SigningKeySeed, VerifyingKey, site_token};

use crate::audit::{self, AuditAction};
use crate::clock::now_ms;
use crate::database::{Directory, take_seqs};

/// How long a new key waits before it signs, so that every gateway can verify its first token.
const LEAD_MS: i64 = 10_000;
const KEPT_MS: i64 = site_token::VERIFYING_KEY_KEPT_S * 1_000;

/// What is kept of a signing key. The key itself is derived, with the pepper.
#[derive(Clone, Debug)]
pub struct SigningKeyRow {
    pub seed: SigningKeySeed,
    pub public_hex: String,
    pub created_at: Timestamp,
    pub signs_from: Timestamp,
    /// When tokens of this key stop to count; none for the current key.
    pub retires_at: Option<Timestamp>,
}

impl SigningKeyRow {
    pub(crate) fn verifying_key(&self) -> Option<VerifyingKey> {
        let until_s = self.retires_at.map(Timestamp::as_second);
        VerifyingKey::from_stored(self.seed.id, &self.public_hex, until_s)
    }
}

impl Directory {
    /// Makes the first signing key where there is none. A gateway does so before it follows.
    pub async fn ensure_signing_key(&self, pepper: &Pepper) -> anyhow::Result<()> {
        let mut tx = self.begin_change().await?;
        let current: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM signing_keys WHERE retires_at_ms IS NULL")
                .fetch_one(&mut *tx)
                .await
                .context("cannot read the signing keys")?;
        if current == 0 {
            // Nobody can be late for a first key.
            insert(&mut tx, pepper, now_ms(), 0).await?;
            tx.commit().await.context("cannot commit the signing key")?;
        }
        Ok(())
    }

    /// Makes a new key the current one. It signs from some seconds on; tokens of the keys before it count
    /// for two hours more, which is longer than any lives.
    pub async fn rotate_signing_key(&self, pepper: &Pepper) -> anyhow::Result<SigningKeyId> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        let current: Vec<String> =
            sqlx::query_scalar("SELECT key_id FROM signing_keys WHERE retires_at_ms IS NULL")
                .fetch_all(&mut *tx)
                .await
                .context("cannot read the signing keys")?;
        let signs_from_ms = if current.is_empty() { 0 } else { now_ms + LEAD_MS };
        for key_id in current {
            let seq = take_seqs(&mut tx, 1).await?;
            sqlx::query("UPDATE signing_keys SET retires_at_ms = $1, seq = $2 WHERE key_id = $3")
                .bind(now_ms + LEAD_MS + KEPT_MS)
                .bind(seq)
                .bind(key_id)
                .execute(&mut *tx)
                .await
                .context("cannot retire a signing key")?;
        }
        let id = insert(&mut tx, pepper, now_ms, signs_from_ms).await?;
        tx.commit().await.context("cannot commit the signing key")?;
        Ok(id)
    }

    /// All signing keys, the newest first.
    pub async fn list_signing_keys(&self) -> anyhow::Result<Vec<SigningKeyRow>> {
        let rows = sqlx::query(
            "SELECT key_id, pepper_version, salt_hex, public_hex, created_at_ms, signs_from_ms, retires_at_ms \
             FROM signing_keys ORDER BY created_at_ms DESC, key_id",
        )
        .fetch_all(&self.pool)
        .await
        .context("cannot read the signing keys")?;
        rows.iter().map(key_row).collect()
    }

    /// The number of the latest change of a signing key; 0 where there is none.
    pub(crate) async fn signing_keys_seq(&self) -> anyhow::Result<i64> {
        let seq = sqlx::query_scalar("SELECT COALESCE(MAX(seq), 0) FROM signing_keys");
        Ok(seq.fetch_one(&self.pool).await?)
    }
}

async fn insert(
    tx: &mut Transaction<'_, Any>,
    pepper: &Pepper,
    now_ms: i64,
    signs_from_ms: i64,
) -> anyhow::Result<SigningKeyId> {
    let seed = SigningKeySeed::generate(pepper).context("the operating system gave no randomness")?;
    let key = seed.derive(pepper).context("the pepper lacks its own version")?;
    let seq = take_seqs(tx, 1).await?;
    sqlx::query(
        "INSERT INTO signing_keys \
         (key_id, pepper_version, salt_hex, public_hex, created_at_ms, signs_from_ms, seq) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(seed.id.as_str().to_owned())
    .bind(i64::from(seed.pepper_version))
    .bind(seed.salt_hex())
    .bind(key.public_hex())
    .bind(now_ms)
    .bind(signs_from_ms)
    .bind(seq)
    .execute(&mut **tx)
    .await
    .context("cannot store the signing key")?;
    audit::append(tx, seq, now_ms, AuditAction::RotateKey, "", seed.id.as_str(), None).await?;
    Ok(seed.id)
}

fn key_row(row: &AnyRow) -> anyhow::Result<SigningKeyRow> {
    let id: SigningKeyId = row.try_get::<&str, _>(0)?.parse()?;
    let version = u16::try_from(row.try_get::<i64, _>(1)?)?;
    let seed = SigningKeySeed::from_stored(id, version, row.try_get(2)?)
        .with_context(|| format!("the salt of signing key {id} is malformed"))?;
    let public_hex: String = row.try_get(3)?;
    let retires_at_ms: Option<i64> = row.try_get(6)?;
    let key = SigningKeyRow {
        seed,
        public_hex,
        created_at: Timestamp::from_millisecond(row.try_get(4)?)?,
        signs_from: Timestamp::from_millisecond(row.try_get(5)?)?,
        retires_at: retires_at_ms.map(Timestamp::from_millisecond).transpose()?,
    };
    ensure!(key.verifying_key().is_some(), "the public key of signing key {id} is malformed");
    Ok(key)
}
