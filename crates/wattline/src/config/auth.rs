//! `[auth]`: the secret that tokens are kept by, and whom they are for.

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use wattline_auth::Pepper;
use wattline_auth::site_token::AUDIENCE_BYTES_MAX;

use super::checks::secret;

#[derive(Clone, Serialize, Deserialize)]
pub struct Auth {
    pub pepper: String,
    pub pepper_file: String,
    pub audience: String,
}

impl Default for Auth {
    fn default() -> Self {
        Auth { pepper: String::new(), pepper_file: String::new(), audience: "wattline".into() }
    }
}

// Secrets stay out of logs and of panics.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("pepper_file", &self.pepper_file).finish_non_exhaustive()
    }
}

impl Auth {
    pub fn pepper(&self) -> anyhow::Result<Pepper> {
        let text = secret("auth.pepper", &self.pepper, "auth.pepper_file", &self.pepper_file)?;
        ensure!(
            !text.is_empty(),
            "auth.pepper is not set: put a random secret into a file and name it in auth.pepper_file, or into the \
             environment variable WATTLINE_AUTH_PEPPER (openssl rand -hex 32 makes one)"
        );
        text.parse().context("auth.pepper")
    }

    /// The name of this deployment in its site tokens.
    pub(super) fn audience(&self) -> anyhow::Result<String> {
        ensure!(
            (1..=AUDIENCE_BYTES_MAX).contains(&self.audience.len()),
            "auth.audience must have from 1 to {AUDIENCE_BYTES_MAX} bytes"
        );
        Ok(self.audience.clone())
    }
}
