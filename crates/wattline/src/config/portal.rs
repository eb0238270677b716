//! `[portal]`: where its pages are, and for how long a link and a session are good.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_portal::{PublicUrl, Settings};

use super::checks::address;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Portal {
    pub listen: String,
    pub ops_listen: String,
    pub public_url: String,
    pub link_hours: u32,
    pub session_hours: u32,
}

impl Default for Portal {
    fn default() -> Self {
        Portal {
            listen: "127.0.0.1:8081".into(),
            ops_listen: "127.0.0.1:9603".into(),
            public_url: "http://127.0.0.1:8081".into(),
            link_hours: 24,
            session_hours: 8,
        }
    }
}

impl Portal {
    pub fn listen(&self) -> anyhow::Result<SocketAddr> {
        address("portal.listen", &self.listen)
    }

    pub fn ops_listen(&self) -> anyhow::Result<SocketAddr> {
        address("portal.ops_listen", &self.ops_listen)
    }

    pub fn public_url(&self) -> anyhow::Result<PublicUrl> {
        self.public_url.parse().map_err(|rule| anyhow::anyhow!("portal.public_url {rule}"))
    }

    pub fn link_time(&self) -> anyhow::Result<Duration> {
        hours("portal.link_hours", self.link_hours, 7 * 24)
    }

    pub fn settings(&self) -> anyhow::Result<Settings> {
        let session_time = hours("portal.session_hours", self.session_hours, 24)?;
        Ok(Settings { public_url: self.public_url()?, session_time })
    }
}

fn hours(key: &str, value: u32, max: u32) -> anyhow::Result<Duration> {
    ensure!((1..=max).contains(&value), "{key} must be from 1 to {max}");
    Ok(Duration::from_secs(u64::from(value) * 3_600))
}
