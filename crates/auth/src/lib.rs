//! Tokens, minted, parsed, hashed and verified; and the policy that says which of them opens what.
//!
//! This crate is pure. It must not know HTTP servers, SQL, configuration files or clocks: whoever
//! stores hashes and keys hands them in, with the time, and gets a yes or a no back.

mod base62;
mod bearer;
mod client_token;
mod hex;
mod pepper;
pub mod policy;
mod portal_secret;
mod signing_key;
pub mod site_token;

pub use bearer::{Bearer, SiteTokenText};
pub use client_token::{
    CLIENT_TOKEN_BYTES, ClientToken, KeyId, MalformedKeyId, MalformedToken, RANDOM_BYTES,
};
pub use pepper::{HEX_CHARS, Pepper, PepperError, SECRET_BYTES_MIN, TokenHash};
pub use portal_secret::{FormKey, InviteSecret, PortalPurpose, PortalSecret, SessionSecret};
pub use signing_key::{SigningKey, SigningKeyId, SigningKeySeed, VerifyingKey, VerifyingKeys};
pub use site_token::{SiteClaims, SiteToken, SiteTokenError};
