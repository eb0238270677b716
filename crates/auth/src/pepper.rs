//! The server-side pepper and the keyed hashes that stand for tokens at rest.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::client_token::ClientToken;
use crate::hex;

/// The shortest secret that a pepper takes.
pub const SECRET_BYTES_MIN: usize = 16;
/// The length of a hash as hexadecimal text.
pub const HEX_CHARS: usize = 64;

/// HMAC-SHA-256 of a token. A fast hash is right for a secret of 256 random bits.
#[derive(Clone, Copy)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    pub fn to_hex(self) -> String {
        hex::encode(&self.0)
    }

    pub fn from_hex(text: &str) -> Option<Self> {
        hex::decode(text).map(Self)
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PepperError {
    #[error("the pepper is empty")]
    Empty,
    #[error("a pepper secret is shorter than {SECRET_BYTES_MIN} bytes")]
    TooShort,
    #[error("a pepper version is not a number from 1 to 65535")]
    Version,
    #[error("pepper version {0} is given twice")]
    Twice(u16),
}

/// The secret that token hashes are keyed with, in one or more versions.
///
/// The text form is `SECRET`, which is version 1, or `VERSION:SECRET` entries separated by white
/// space or commas. New hashes use the highest version; older ones stay verifiable while listed.
#[derive(Clone)]
pub struct Pepper {
    /// By falling version, so that the current one comes first. Never empty.
    versions: Vec<(u16, Hmac<Sha256>)>,
}

impl FromStr for Pepper {
    type Err = PepperError;

    fn from_str(text: &str) -> Result<Self, PepperError> {
        let mut versions = Vec::new();
        let entries = text.split(|c: char| c.is_whitespace() || c == ',');
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let (version, secret) = match entry.split_once(':') {
                Some((version, secret)) => (version.parse().unwrap_or(0), secret),
                None => (1, entry),
            };
            if version == 0 {
                return Err(PepperError::Version);
            }
            if secret.len() < SECRET_BYTES_MIN {
                return Err(PepperError::TooShort);
            }
            let keyed = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes any key length");
            versions.push((version, keyed));
        }
        versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        if let Some(pair) = versions.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(PepperError::Twice(pair[0].0));
        }
        if versions.is_empty() { Err(PepperError::Empty) } else { Ok(Self { versions }) }
    }
}

impl Pepper {
    /// The version that new hashes are made with.
    pub fn version(&self) -> u16 {
        self.versions[0].0
    }

    /// Whether hashes of this version can be verified at all.
    pub fn has_version(&self, version: u16) -> bool {
        self.versions.iter().any(|(known, _)| *known == version)
    }

    /// The hash to store for a new token, under the current version.
    pub fn hash(&self, token: &ClientToken) -> TokenHash {
        Self::hash_keyed(&self.versions[0].1, token)
    }

    /// Whether the token is the one that the stored hash stands for.
    ///
    /// `stored` is `None` for an unknown key id. That costs the same as a wrong secret: the token is
    /// hashed and compared all the same, so that time tells nobody which key ids exist.
    pub fn verify(&self, token: &ClientToken, stored: Option<(u16, TokenHash)>) -> bool {
        let keyed = stored.and_then(|(version, hash)| {
            let known = self.versions.iter().find(|(known, _)| *known == version)?;
            Some((&known.1, hash))
        });
        let is_known = keyed.is_some();
        let (keyed, expected) = keyed.unwrap_or((&self.versions[0].1, TokenHash([0; 32])));
        let actual = Self::hash_keyed(keyed, token);
        bool::from(actual.0.ct_eq(&expected.0)) & is_known
    }

    /// A secret of this version's own for another purpose, which the parts name. None where the version is
    /// not listed. Tokens begin with their prefix, so no purpose may begin with `wl_`.
    pub(crate) fn derive(&self, version: u16, parts: [&[u8]; 3]) -> Option<Zeroizing<[u8; 32]>> {
        let (_, keyed) = self.versions.iter().find(|(known, _)| *known == version)?;
        let mut mac = keyed.clone();
        parts.iter().for_each(|part| mac.update(part));
        Some(Zeroizing::new(mac.finalize().into_bytes().into()))
    }

    /// The key schedule is cloned, not computed, so a verification costs three SHA-256 blocks.
    fn hash_keyed(keyed: &Hmac<Sha256>, token: &ClientToken) -> TokenHash {
        let mut mac = keyed.clone();
        mac.update(token.expose().as_bytes());
        TokenHash(mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions = self.versions.iter().map(|(version, _)| version);
        f.write_str("Pepper")?;
        f.debug_list().entries(versions).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "old-secret-of-enough-bytes";
    const NEW: &str = "2:new-secret-of-enough-bytes";

    fn pepper(text: &str) -> Pepper {
        text.parse().expect("a valid pepper")
    }

    fn token(seed: u8) -> ClientToken {
        ClientToken::from_random(true, &[seed; crate::RANDOM_BYTES])
    }

    #[test]
    fn only_the_right_token_under_the_right_pepper_verifies() {
        let pepper_old = pepper(OLD);
        let stored = (1, pepper_old.hash(&token(1)));
        assert!(pepper_old.verify(&token(1), Some(stored)));
        assert!(!pepper_old.verify(&token(2), Some(stored)));
        assert!(!pepper_old.verify(&token(1), None));
        assert!(!pepper_old.verify(&token(1), Some((2, stored.1))));
        assert!(!pepper("another-secret-of-enough-bytes").verify(&token(1), Some(stored)));
        // The hash that stands in for an unknown key must not open anything itself.
        assert!(!pepper_old.verify(&token(1), Some((1, TokenHash([0; 32])))));
    }

    #[test]
    fn an_older_version_verifies_while_it_is_listed() {
        let both = pepper(&format!("1:{OLD}, {NEW}"));
        assert_eq!(both.version(), 2);
        assert!(both.has_version(1) && !both.has_version(3));
        let stored = (1, pepper(OLD).hash(&token(1)));
        assert!(both.verify(&token(1), Some(stored)));
        assert!(!pepper(NEW).verify(&token(1), Some(stored)));
        assert_eq!(both.hash(&token(1)).0, pepper(NEW).hash(&token(1)).0);
    }

    #[test]
    fn the_hash_is_standard_hmac_sha_256() {
        // Computed with Python's hmac module.
        let token = ClientToken::from_random(true, &[7; crate::RANDOM_BYTES]);
        let hex = pepper(OLD).hash(&token).to_hex();
        assert_eq!(hex, "bee1b2a8cc62a256f8f677770de5600148d608c55ffa56831139d5b56ac891e7");
        assert_eq!(TokenHash::from_hex(&hex).expect("hex").to_hex(), hex);
        assert!(TokenHash::from_hex(&hex[1..]).is_none());
        assert!(TokenHash::from_hex(&"é".repeat(32)).is_none());
    }

    #[test]
    fn bad_peppers_are_refused_and_good_ones_are_not_shown() {
        let refused = |text: &str| text.parse::<Pepper>().expect_err("refused");
        assert_eq!(refused(" \n"), PepperError::Empty);
        assert_eq!(refused("short"), PepperError::TooShort);
        assert_eq!(refused("2:short"), PepperError::TooShort);
        assert_eq!(refused("x:secret-of-enough-bytes"), PepperError::Version);
        assert_eq!(refused(&format!("2:{OLD} {NEW}")), PepperError::Twice(2));
        assert_eq!(format!("{:?}", pepper(&format!("1:{OLD},{NEW}"))), "Pepper[2, 1]");
    }
}
