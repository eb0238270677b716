//! The secrets of the developer portal: the one in a sign-in link, and the one of a session.

use std::fmt;
use std::marker::PhantomData;

use subtle::ConstantTimeEq;

use crate::base62;
use crate::client_token::{KeyId, RANDOM_BYTES};
use crate::hex;
use crate::pepper::{Pepper, TokenHash};

const ID_END: usize = 10;
const SECRET_START: usize = ID_END + 1;
const BYTES: usize = SECRET_START + 43;

/// What a secret is for. One that is for something else has another hash, and another type.
pub trait PortalPurpose {
    /// No purpose may begin with `wl_`, as tokens do.
    const NAME: &'static [u8];
}

/// To sign in, once.
#[derive(Clone, Copy, Debug)]
pub enum Invite {}

/// To stay signed in.
#[derive(Clone, Copy, Debug)]
pub enum Session {}

impl PortalPurpose for Invite {
    const NAME: &'static [u8] = b"portal invite ";
}

impl PortalPurpose for Session {
    const NAME: &'static [u8] = b"portal session ";
}

pub type InviteSecret = PortalSecret<Invite>;
pub type SessionSecret = PortalSecret<Session>;

/// 10 characters of public name, `_`, and 43 of 256 random bits. `Debug` shows the name only.
pub struct PortalSecret<P>([u8; BYTES], PhantomData<P>);

impl<P: PortalPurpose> PortalSecret<P> {
    /// Mints a secret from the operating system's randomness.
    pub fn mint() -> Result<Self, getrandom::Error> {
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let (mut id, mut secret) = ([0; 8], [0; 32]);
        id.copy_from_slice(&random[..8]);
        secret.copy_from_slice(&random[8..]);
        let mut text = [b'_'; BYTES];
        base62::write_u64(u64::from_be_bytes(id), &mut text[..ID_END]);
        base62::write(secret, &mut text[SECRET_START..]);
        Ok(Self(text, PhantomData))
    }

    /// None where the text has not the form of a secret.
    pub fn parse(text: &str) -> Option<Self> {
        let text: [u8; BYTES] = text.as_bytes().try_into().ok()?;
        let is_digits = |part: &[u8]| part.iter().copied().all(base62::is_digit);
        let is_formed =
            is_digits(&text[..ID_END]) && text[ID_END] == b'_' && is_digits(&text[SECRET_START..]);
        is_formed.then_some(Self(text, PhantomData))
    }

    /// The name, which may stand in logs and tables.
    pub fn id(&self) -> KeyId {
        let mut id = [0; ID_END];
        id.copy_from_slice(&self.0[..ID_END]);
        KeyId::from_digits(id)
    }

    /// The secret itself, for the link or the cookie that carries it.
    pub fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).expect("secrets are made of ASCII only")
    }

    /// What to store: the hash under the pepper's current version, and that version.
    pub fn hash(&self, pepper: &Pepper) -> (u16, TokenHash) {
        let version = pepper.version();
        let hash = self.hash_under(pepper, version).expect("a pepper has its current version");
        (version, hash)
    }

    /// Whether this is the secret that the stored hash stands for.
    pub fn is(&self, pepper: &Pepper, version: u16, stored: TokenHash) -> bool {
        let hash = self.hash_under(pepper, version);
        hash.is_some_and(|hash| hash.0.ct_eq(&stored.0).into())
    }

    fn hash_under(&self, pepper: &Pepper, version: u16) -> Option<TokenHash> {
        pepper.derive(version, [P::NAME, &self.0, b""]).map(|hash| TokenHash(*hash))
    }
}

impl SessionSecret {
    /// What every form of the session has to send along, so that no other page can send it. It follows from
    /// the session's secret and is stored nowhere. None where the pepper lacks the version.
    pub fn form_key(&self, pepper: &Pepper, version: u16) -> Option<FormKey> {
        pepper.derive(version, [b"portal form ", &self.0, b""]).map(|key| FormKey(*key))
    }
}

impl<P: PortalPurpose> fmt::Debug for PortalSecret<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PortalSecret({})", self.id())
    }
}

/// The key of a session's forms. It is a secret between the portal and its pages.
#[derive(Clone, Copy)]
pub struct FormKey([u8; 32]);

impl FormKey {
    /// The text that stands in a form.
    pub fn to_hex(self) -> String {
        hex::encode(&self.0)
    }

    pub fn is(self, text: &str) -> bool {
        let sent: Option<[u8; 32]> = hex::decode(text);
        sent.is_some_and(|sent| sent.ct_eq(&self.0).into())
    }
}

impl fmt::Debug for FormKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pepper(text: &str) -> Pepper {
        text.parse().expect("a valid pepper")
    }

    #[test]
    fn a_secret_is_itself_for_its_own_purpose_only() {
        let both = pepper("1:old-secret-of-enough-bytes 2:new-secret-of-enough-bytes");
        let secret = SessionSecret::mint().expect("randomness");
        let (version, hash) = secret.hash(&both);
        assert_eq!(version, 2);
        let again = SessionSecret::parse(secret.expose()).expect("its own text");
        assert_eq!(again.id(), secret.id());
        assert!(again.is(&both, version, hash));
        assert!(!again.is(&both, 1, hash) && !again.is(&both, 3, hash));
        assert!(!again.is(&pepper("2:another-secret-of-enough-bytes"), version, hash));
        assert!(!SessionSecret::mint().expect("randomness").is(&both, version, hash));
        let other_purpose = InviteSecret::parse(secret.expose()).expect("the same form");
        assert!(!other_purpose.is(&both, version, hash));
    }

    #[test]
    fn a_form_key_belongs_to_one_session() {
        let pepper = pepper("a-secret-of-enough-bytes");
        let [key, other] = [(); 2].map(|()| {
            SessionSecret::mint().expect("randomness").form_key(&pepper, 1).expect("the version is there")
        });
        assert!(key.is(&key.to_hex()) && !key.is(&other.to_hex()));
        assert!(!key.is("") && !key.is(&key.to_hex()[1..]) && !key.is(&"é".repeat(32)));
    }

    #[test]
    fn other_texts_are_refused_and_secrets_are_not_shown() {
        let secret = InviteSecret::mint().expect("randomness");
        let text = secret.expose();
        assert_eq!(format!("{secret:?}"), format!("PortalSecret({})", &text[..10]));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('_', "-"), &"é".repeat(27)] {
            assert!(InviteSecret::parse(wrong).is_none(), "{wrong:?}");
        }
        let mut marked = text.to_owned();
        marked.replace_range(20..21, "/");
        assert!(InviteSecret::parse(&marked).is_none());
    }
}
