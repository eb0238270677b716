//! What kind of token a caller sent, by its form alone.

use crate::client_token::ClientToken;
use crate::site_token::is_site_token;

/// The text of a bearer token, told apart before anything is looked up.
#[derive(Clone, Debug)]
pub enum Bearer<'a> {
    Client(ClientToken),
    /// It has a site token's form; nothing of it is verified.
    Site(SiteTokenText<'a>),
    Malformed,
}

/// The text of a site token. `Debug` hides it.
#[derive(Clone, Copy)]
pub struct SiteTokenText<'a>(&'a str);

impl<'a> SiteTokenText<'a> {
    pub fn expose(self) -> &'a str {
        self.0
    }
}

impl std::fmt::Debug for SiteTokenText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SiteTokenText(..)")
    }
}

impl<'a> Bearer<'a> {
    pub fn classify(text: &'a str) -> Self {
        match ClientToken::parse(text) {
            Ok(token) => Self::Client(token),
            Err(_) if is_site_token(text) => Self::Site(SiteTokenText(text)),
            Err(_) => Self::Malformed,
        }
    }
}
