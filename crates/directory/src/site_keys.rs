//! The keys of site tokens in memory.

use wattline_auth::site_token::SITE_TOKEN_LIFE_S;
use wattline_auth::{Pepper, SigningKey, VerifyingKeys};

use crate::signing_keys::SigningKeyRow;

#[derive(Debug, Default)]
pub(crate) struct SiteKeys {
    pub verifying: VerifyingKeys,
    signers: Vec<Signer>,
}

#[derive(Debug)]
struct Signer {
    key: SigningKey,
    from_s: i64,
    /// The time at which what it signed counts no more; none for the current key.
    until_s: Option<i64>,
}

impl SiteKeys {
    pub fn new(rows: &[SigningKeyRow], pepper: &Pepper) -> Self {
        let verifying = rows.iter().filter_map(SigningKeyRow::verifying_key).collect();
        let signers = rows.iter().filter_map(|row| signer(row, pepper)).collect();
        Self { verifying, signers }
    }

    /// The newest key whose time has come, and whose tokens will count for as long as they live.
    pub fn signer(&self, now_s: i64) -> Option<&SigningKey> {
        self.signers
            .iter()
            .filter(|signer| signer.from_s <= now_s)
            .filter(|signer| signer.until_s.is_none_or(|until_s| until_s >= now_s + SITE_TOKEN_LIFE_S))
            .max_by_key(|signer| signer.from_s)
            .map(|signer| &signer.key)
    }
}

/// None, and a word about it, where this gateway's pepper does not give the key.
fn signer(row: &SigningKeyRow, pepper: &Pepper) -> Option<Signer> {
    let key = row.seed.derive(pepper).filter(|key| key.public_hex() == row.public_hex);
    let Some(key) = key else {
        if row.retires_at.is_none() {
            tracing::warn!(
                key_id = %row.seed.id,
                version = row.seed.pepper_version,
                "the pepper is not the one that this signing key was made under; it verifies but cannot sign"
            );
        }
        return None;
    };
    Some(Signer {
        key,
        from_s: row.signs_from.as_second(),
        until_s: row.retires_at.map(jiff::Timestamp::as_second),
    })
}
