//! A site token: PASETO v4.public, one hour, for one site of one client.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};
use serde::{Deserialize, Serialize};

use crate::base62;
use crate::client_token::KeyId;
use crate::signing_key::{SigningKey, VerifyingKeys};

/// How long a site token lives.
pub const SITE_TOKEN_LIFE_S: i64 = 3_600;
/// How long a public key has to be kept after its last signature, with room for clocks that differ.
pub const VERIFYING_KEY_KEPT_S: i64 = 2 * SITE_TOKEN_LIFE_S;
/// How far ahead of this clock the issuer's clock may be.
const ISSUED_AHEAD_MAX_S: i64 = 60;
/// The longest token that is looked at. A site id of 128 bytes, all of them escaped, fits with room.
pub const SITE_TOKEN_BYTES_MAX: usize = 1_024;
/// The longest audience; it is a name of the deployment.
pub const AUDIENCE_BYTES_MAX: usize = 64;

const ISSUER: &str = "wattline";
const JTI_CHARS: usize = 22;

/// A fresh site token. It is a secret: `Debug` shows its `jti` only, and there is no `Display`.
#[derive(Clone)]
pub struct SiteToken {
    text: String,
    jti: String,
    expires_at: Timestamp,
}

impl SiteToken {
    /// The token itself, for the answer that hands it out and nothing else.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The token's public name.
    pub fn jti(&self) -> &str {
        &self.jti
    }

    pub fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl fmt::Debug for SiteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SiteToken({})", self.jti)
    }
}

/// What a verified site token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteClaims {
    pub site: String,
    /// The client token that the site token was made with; it must still be active.
    pub key_id: KeyId,
    pub jti: String,
    /// In seconds since 1970.
    pub exp_s: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    #[error("the operating system gave no randomness")]
    Randomness(#[from] getrandom::Error),
    #[error("the clock is outside the years that a token can name")]
    Clock,
}

/// Why a site token is refused. The caller is told none of it: it is for metrics and the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SiteTokenError {
    #[error("malformed site token")]
    Malformed,
    #[error("signed with a key that is not known, or not any more")]
    UnknownKey,
    #[error("the signature does not match")]
    Forged,
    #[error("made by or for somebody else")]
    Foreign,
    #[error("issued in the future")]
    Early,
    #[error("expired")]
    Expired,
    #[error("valid for longer than a site token may be")]
    TooLong,
}

impl SiteTokenError {
    /// The name in metrics and in the audit trail.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "site_token_malformed",
            Self::UnknownKey => "site_token_unknown_key",
            Self::Forged => "site_token_forged",
            Self::Foreign => "site_token_foreign",
            Self::Early => "site_token_early",
            Self::Expired => "site_token_expired",
            Self::TooLong => "site_token_too_long",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    #[serde(borrow)]
    aud: Cow<'a, str>,
    #[serde(borrow)]
    sub: Cow<'a, str>,
    #[serde(borrow)]
    cid: Cow<'a, str>,
    #[serde(borrow)]
    jti: Cow<'a, str>,
    /// PASETO's registered times are RFC 3339 text.
    #[serde(borrow)]
    iat: Cow<'a, str>,
    #[serde(borrow)]
    exp: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Footer<'a> {
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

/// Makes the token that opens this site for an hour, by the right of the client token `parent`.
pub fn mint(
    key: &SigningKey,
    site: &str,
    parent: KeyId,
    audience: &str,
    now_s: i64,
) -> Result<SiteToken, MintError> {
    let issued_at = Timestamp::from_second(now_s).map_err(|_| MintError::Clock)?;
    let expires_at = Timestamp::from_second(now_s + SITE_TOKEN_LIFE_S).map_err(|_| MintError::Clock)?;
    let jti = random_name()?;
    let payload = Payload {
        iss: ISSUER.into(),
        aud: audience.into(),
        sub: site.into(),
        cid: parent.as_str().into(),
        jti: jti.as_str().into(),
        iat: issued_at.to_string().into(),
        exp: expires_at.to_string().into(),
    };
    let text = sign(key, &payload, &Footer { kid: key.id.as_str().into() });
    Ok(SiteToken { text, jti, expires_at })
}

fn sign(key: &SigningKey, payload: &Payload<'_>, footer: &Footer<'_>) -> String {
    let payload = serde_json::to_vec(payload).expect("text is JSON");
    let footer = serde_json::to_vec(footer).expect("text is JSON");
    PublicToken::sign(&key.secret, &payload, Some(&footer), None)
        .expect("the key was checked, the payload is not empty")
}

/// Checks all that can be known of a token without the directory. Whether its client token is still active
/// and the site still the client's is for the caller to ask next.
pub fn verify(
    keys: &VerifyingKeys,
    token: &str,
    now_s: i64,
    audience: &str,
) -> Result<SiteClaims, SiteTokenError> {
    if !is_site_token(token) {
        return Err(SiteTokenError::Malformed);
    }
    let untrusted =
        UntrustedToken::<pasetors::Public, V4>::try_from(token).map_err(|_| SiteTokenError::Malformed)?;
    let footer: Footer<'_> =
        serde_json::from_slice(untrusted.untrusted_footer()).map_err(|_| SiteTokenError::Malformed)?;
    let key = keys.get(&footer.kid, now_s).ok_or(SiteTokenError::UnknownKey)?;
    let trusted =
        PublicToken::verify(&key.public, &untrusted, None, None).map_err(|_| SiteTokenError::Forged)?;
    let payload: Payload<'_> =
        serde_json::from_str(trusted.payload()).map_err(|_| SiteTokenError::Malformed)?;
    check_claims(&payload, now_s, audience)
}

fn check_claims(payload: &Payload<'_>, now_s: i64, audience: &str) -> Result<SiteClaims, SiteTokenError> {
    if payload.iss != ISSUER || payload.aud != audience {
        return Err(SiteTokenError::Foreign);
    }
    let key_id = payload.cid.parse().map_err(|_| SiteTokenError::Malformed)?;
    let (iat_s, exp_s) = (seconds(&payload.iat)?, seconds(&payload.exp)?);
    if iat_s > now_s.saturating_add(ISSUED_AHEAD_MAX_S) {
        return Err(SiteTokenError::Early);
    }
    if exp_s <= now_s {
        return Err(SiteTokenError::Expired);
    }
    if exp_s - iat_s > SITE_TOKEN_LIFE_S {
        return Err(SiteTokenError::TooLong);
    }
    Ok(SiteClaims {
        site: payload.sub.clone().into_owned(),
        key_id,
        jti: payload.jti.clone().into_owned(),
        exp_s,
    })
}

/// Whether the text has the form of a site token: its header, its length, and the characters of its parts.
pub(crate) fn is_site_token(text: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_base64url);
    text.len() <= SITE_TOKEN_BYTES_MAX
        && text
            .strip_prefix(PublicToken::HEADER)
            .and_then(|parts| parts.split_once('.'))
            .is_some_and(|(message, footer)| is_part(message) && is_part(footer))
}

fn seconds(time: &str) -> Result<i64, SiteTokenError> {
    let time: Timestamp = time.parse().map_err(|_| SiteTokenError::Malformed)?;
    Ok(time.as_second())
}

fn random_name() -> Result<String, getrandom::Error> {
    let mut number = [0; 32];
    getrandom::fill(&mut number[16..])?;
    let mut digits = [0; JTI_CHARS];
    base62::write(number, &mut digits);
    Ok(digits.iter().copied().map(char::from).collect())
}

#[cfg(test)]
mod tests;
