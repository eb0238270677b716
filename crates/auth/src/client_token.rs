//! A client token: `wl_live_` or `wl_test_`, 10 characters of key id, `_`, 43 of secret, 6 of CRC-32.

use std::fmt;
use std::str::FromStr;

use crate::base62;

const PREFIX_LIVE: &[u8; 8] = b"wl_live_";
const PREFIX_TEST: &[u8; 8] = b"wl_test_";
const KEY_ID_BYTES: usize = 10;
const KEY_ID_START: usize = 8;
const KEY_ID_END: usize = KEY_ID_START + KEY_ID_BYTES;
const SECRET_START: usize = KEY_ID_END + 1;
const SECRET_END: usize = SECRET_START + 43;
/// The length of every client token.
pub const CLIENT_TOKEN_BYTES: usize = SECRET_END + 6;
/// The randomness that one token takes: 8 bytes for its key id, 32 for its secret.
pub const RANDOM_BYTES: usize = 40;

/// The public name of a token. It may stand in logs, tables and command lines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KEY_ID_BYTES]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 10 letters and digits")]
pub struct MalformedKeyId;

impl KeyId {
    pub(crate) fn from_digits(digits: [u8; KEY_ID_BYTES]) -> Self {
        Self(digits)
    }

    pub fn as_str(&self) -> &str {
        ascii(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = MalformedKeyId;

    fn from_str(text: &str) -> Result<Self, MalformedKeyId> {
        let bytes: [u8; KEY_ID_BYTES] = text.as_bytes().try_into().map_err(|_| MalformedKeyId)?;
        if !bytes.iter().copied().all(base62::is_digit) {
            return Err(MalformedKeyId);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A well-formed client token. It is a secret: `Debug` shows the key id only, and there is no `Display`.
#[derive(Clone)]
pub struct ClientToken([u8; CLIENT_TOKEN_BYTES]);

/// The text is no client token. It says no more, so that a token never reaches an error text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed client token")]
pub struct MalformedToken;

impl ClientToken {
    /// Mints a token from the operating system's randomness.
    pub fn mint(live: bool) -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        Ok(Self::from_random(live, &random))
    }

    /// Mints the token that these random bytes give. Tests inject them; nobody else should.
    pub fn from_random(live: bool, random: &[u8; RANDOM_BYTES]) -> Self {
        let mut token = [0; CLIENT_TOKEN_BYTES];
        token[..KEY_ID_START].copy_from_slice(if live { PREFIX_LIVE } else { PREFIX_TEST });
        // A key id is a name, not a secret: the slight bias of cutting 64 bits to 10 digits is harmless.
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        id.copy_from_slice(&random[..8]);
        secret.copy_from_slice(&random[8..]);
        base62::write_u64(u64::from_be_bytes(id), &mut token[KEY_ID_START..KEY_ID_END]);
        token[KEY_ID_END] = b'_';
        base62::write(secret, &mut token[SECRET_START..SECRET_END]);
        let check = checksum(&token);
        token[SECRET_END..].copy_from_slice(&check);
        Self(token)
    }

    /// Parses a token without allocating. A typo is refused here, before any look-up.
    pub fn parse(text: &str) -> Result<Self, MalformedToken> {
        let token: [u8; CLIENT_TOKEN_BYTES] = text.as_bytes().try_into().map_err(|_| MalformedToken)?;
        let prefix = &token[..KEY_ID_START];
        let well_formed = (prefix == PREFIX_LIVE || prefix == PREFIX_TEST)
            && token[KEY_ID_END] == b'_'
            && token[KEY_ID_START..KEY_ID_END].iter().copied().all(base62::is_digit)
            && token[SECRET_START..].iter().copied().all(base62::is_digit)
            && token[SECRET_END..] == checksum(&token);
        if well_formed { Ok(Self(token)) } else { Err(MalformedToken) }
    }

    pub fn key_id(&self) -> KeyId {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&self.0[KEY_ID_START..KEY_ID_END]);
        KeyId(id)
    }

    /// Whether the token is for production (`wl_live_`) rather than for trials (`wl_test_`).
    pub fn is_live(&self) -> bool {
        self.0.starts_with(PREFIX_LIVE)
    }

    /// The token itself. It is shown once, at its creation, and sent; never logged or stored.
    pub fn expose(&self) -> &str {
        ascii(&self.0)
    }
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientToken({})", self.key_id())
    }
}

fn checksum(token: &[u8; CLIENT_TOKEN_BYTES]) -> [u8; CLIENT_TOKEN_BYTES - SECRET_END] {
    let mut digits = [0; CLIENT_TOKEN_BYTES - SECRET_END];
    base62::write_u64(crc32fast::hash(&token[..SECRET_END]).into(), &mut digits);
    digits
}

fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("tokens and key ids are made of ASCII only")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token_strategy() -> impl Strategy<Value = ClientToken> {
        (any::<bool>(), any::<[[u8; 8]; 5]>()).prop_map(|(live, random)| {
            let random: [u8; RANDOM_BYTES] = random.as_flattened().try_into().expect("40 bytes");
            ClientToken::from_random(live, &random)
        })
    }

    #[test]
    fn golden_token() {
        // Computed with Python's integers and zlib.
        let mut random = [0; RANDOM_BYTES];
        for (index, byte) in random.iter_mut().enumerate() {
            *byte = index as u8;
        }
        let token = ClientToken::from_random(true, &random);
        assert_eq!(token.expose(), "wl_live_01IYT0XLWR_1u8QmlquE1rQpeqoulx6MZVGVGgufeog3UsDEHmrG2p0vqq2M",);
        assert_eq!(token.expose().len(), CLIENT_TOKEN_BYTES);
        assert_eq!(format!("{token:?}"), "ClientToken(01IYT0XLWR)");
    }

    #[test]
    fn two_minted_tokens_differ() {
        let (first, second) = (ClientToken::mint(true), ClientToken::mint(true));
        assert_ne!(first.expect("randomness").expose(), second.expect("randomness").expose());
    }

    proptest! {
        #[test]
        fn parse_gives_back_what_was_minted(token in token_strategy()) {
            let parsed = ClientToken::parse(token.expose()).expect("minted tokens parse");
            prop_assert_eq!(parsed.expose(), token.expose());
            prop_assert_eq!(parsed.is_live(), token.is_live());
            prop_assert_eq!(parsed.key_id().as_str().parse::<KeyId>(), Ok(token.key_id()));
        }

        #[test]
        fn every_single_character_typo_is_refused(token in token_strategy(), typo in 0u8..128) {
            for index in 0..CLIENT_TOKEN_BYTES {
                let mut bytes = token.expose().as_bytes().to_vec();
                if bytes[index] == typo {
                    continue;
                }
                bytes[index] = typo;
                let text = String::from_utf8(bytes).expect("ASCII");
                prop_assert!(ClientToken::parse(&text).is_err(), "index {index}");
            }
        }

        #[test]
        fn swapped_neighbours_and_other_lengths_are_refused(token in token_strategy(), at in 0..CLIENT_TOKEN_BYTES - 1) {
            let text = token.expose();
            let mut swapped = text.as_bytes().to_vec();
            swapped.swap(at, at + 1);
            let swapped = String::from_utf8(swapped).expect("ASCII");
            prop_assert!(swapped == text || ClientToken::parse(&swapped).is_err());
            prop_assert!(ClientToken::parse(&text[..at]).is_err());
            let longer = format!("{text} ");
            prop_assert!(ClientToken::parse(&longer).is_err());
        }

        #[test]
        fn parse_never_panics(text in ".*", tail in "[0-9A-Za-z_]{60}") {
            let _ = ClientToken::parse(&text);
            let _ = ClientToken::parse(&format!("wl_live_{tail}"));
            let _ = text.parse::<KeyId>();
        }
    }
}
