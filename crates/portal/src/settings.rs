use std::time::Duration;

use crate::public_url::PublicUrl;

/// Checked settings of the portal.
#[derive(Clone, Debug)]
pub struct Settings {
    pub public_url: PublicUrl,
    /// How long somebody stays signed in.
    pub session_time: Duration,
}
