//! Tokens: minting, parsing, hashing and verifying.
//!
//! This crate is pure. It must not know HTTP servers, SQL, configuration files or clocks: whoever
//! stores hashes hands them in, and gets a yes or a no back.

mod base62;
mod client_token;
mod pepper;

pub use client_token::{
    CLIENT_TOKEN_BYTES, ClientToken, KeyId, MalformedKeyId, MalformedToken, RANDOM_BYTES,
};
pub use pepper::{HEX_CHARS, Pepper, PepperError, SECRET_BYTES_MIN, TokenHash};
