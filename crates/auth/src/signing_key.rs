//! The keys that site tokens are signed and verified with.
//!
//! A secret key is never stored. It is derived from the pepper, the key's name and a random salt; the
//! directory keeps name, salt and public key. So whoever reads the directory, or a backup of it, can no
//! more sign a site token than they can use a client token.

use std::fmt;
use std::str::FromStr;

use ed25519_compact::{KeyPair, Seed};
use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::version4::V4;

use crate::client_token::{KeyId, MalformedKeyId};
use crate::pepper::Pepper;
use crate::{base62, hex};

const PURPOSE: &[u8] = b"site token signing key\0";
const SALT_BYTES: usize = 32;
/// The randomness that one signing key takes: 8 bytes for its name, the rest for its salt.
const RANDOM_BYTES: usize = 8 + SALT_BYTES;

/// The public name of a signing key: the `kid` in a site token's footer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SigningKeyId(KeyId);

impl SigningKeyId {
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for SigningKeyId {
    type Err = MalformedKeyId;

    fn from_str(text: &str) -> Result<Self, MalformedKeyId> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SigningKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is stored of a signing key. Without the pepper it is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningKeySeed {
    pub id: SigningKeyId,
    /// The version of the pepper that the key is derived from.
    pub pepper_version: u16,
    salt: [u8; SALT_BYTES],
}

impl SigningKeySeed {
    /// A new key under the current pepper, from the operating system's randomness.
    pub fn generate(pepper: &Pepper) -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let (mut name, mut salt) = ([0; 8], [0; SALT_BYTES]);
        name.copy_from_slice(&random[..8]);
        salt.copy_from_slice(&random[8..]);
        let mut id = [0; 10];
        base62::write_u64(u64::from_be_bytes(name), &mut id);
        Ok(Self { id: SigningKeyId(KeyId::from_digits(id)), pepper_version: pepper.version(), salt })
    }

    pub fn from_stored(id: SigningKeyId, pepper_version: u16, salt_hex: &str) -> Option<Self> {
        Some(Self { id, pepper_version, salt: hex::decode(salt_hex)? })
    }

    pub fn salt_hex(&self) -> String {
        hex::encode(&self.salt)
    }

    /// The key itself. None where the pepper lacks the version that the key was made under.
    pub fn derive(&self, pepper: &Pepper) -> Option<SigningKey> {
        let parts = [PURPOSE, self.id.as_str().as_bytes(), &self.salt];
        let seed = pepper.derive(self.pepper_version, parts)?;
        let pair = KeyPair::from_seed(Seed::new(*seed));
        let secret = AsymmetricSecretKey::from(pair.sk.as_ref()).expect("a key pair is consistent");
        Some(SigningKey { id: self.id, public: public_key(*pair.pk), secret })
    }
}

/// A key that signs site tokens. `Debug` shows its name only; its bytes are wiped when it goes.
#[derive(Clone)]
pub struct SigningKey {
    pub(crate) id: SigningKeyId,
    pub(crate) public: AsymmetricPublicKey<V4>,
    pub(crate) secret: AsymmetricSecretKey<V4>,
}

impl SigningKey {
    pub fn id(&self) -> SigningKeyId {
        self.id
    }

    pub fn public_hex(&self) -> String {
        hex::encode(self.public.as_bytes())
    }

    /// The key that verifies what this one signs, for as long as is said.
    pub fn verifying_key(&self, until_s: Option<i64>) -> VerifyingKey {
        VerifyingKey { id: self.id, public: self.public.clone(), until_s }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// A public key, and when it stops to count.
#[derive(Clone, Debug)]
pub struct VerifyingKey {
    pub id: SigningKeyId,
    pub(crate) public: AsymmetricPublicKey<V4>,
    /// In seconds since 1970; none for a key that has not been rotated away.
    pub until_s: Option<i64>,
}

impl VerifyingKey {
    pub fn from_stored(id: SigningKeyId, public_hex: &str, until_s: Option<i64>) -> Option<Self> {
        Some(Self { id, public: public_key(hex::decode(public_hex)?), until_s })
    }

    pub fn public_hex(&self) -> String {
        hex::encode(self.public.as_bytes())
    }
}

/// The keys that site tokens may be signed with: the current one, and those rotated away a short while ago.
#[derive(Clone, Debug, Default)]
pub struct VerifyingKeys(Vec<VerifyingKey>);

impl VerifyingKeys {
    /// Adds a key, or replaces what is known of it.
    pub fn insert(&mut self, key: VerifyingKey) {
        self.0.retain(|known| known.id != key.id);
        self.0.push(key);
    }

    /// Forgets the keys that count no more.
    pub fn expire(&mut self, now_s: i64) {
        self.0.retain(|key| key.counts_at(now_s));
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &VerifyingKey> {
        self.0.iter()
    }

    pub(crate) fn get(&self, id: &str, now_s: i64) -> Option<&VerifyingKey> {
        self.0.iter().find(|key| key.id.as_str() == id && key.counts_at(now_s))
    }
}

impl VerifyingKey {
    fn counts_at(&self, now_s: i64) -> bool {
        self.until_s.is_none_or(|until_s| now_s < until_s)
    }
}

impl FromIterator<VerifyingKey> for VerifyingKeys {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

fn public_key(bytes: [u8; 32]) -> AsymmetricPublicKey<V4> {
    AsymmetricPublicKey::from(&bytes).expect("a public key is 32 bytes")
}
