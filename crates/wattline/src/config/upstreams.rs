//! `[upstreams]`: the services beside this one.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wattline_auth::policy::Upstream;
use wattline_gateway::UpstreamSettings;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upstreams {
    pub commands: String,
    pub settings: String,
    pub supplements: String,
    pub programs: String,
    pub enrollments: String,
    pub events: String,
    pub connect_timeout_ms: u64,
    pub answer_timeout_ms: u64,
}

impl Default for Upstreams {
    fn default() -> Self {
        Upstreams {
            commands: String::new(),
            settings: String::new(),
            supplements: String::new(),
            programs: String::new(),
            enrollments: String::new(),
            events: String::new(),
            connect_timeout_ms: 2_000,
            answer_timeout_ms: 30_000,
        }
    }
}

impl Upstreams {
    /// The keys are checked where the URLs are used.
    pub(super) fn settings(&self) -> UpstreamSettings {
        let base_url = |group| match group {
            Upstream::Commands => &self.commands,
            Upstream::Settings => &self.settings,
            Upstream::Supplements => &self.supplements,
            Upstream::Programs => &self.programs,
            Upstream::Enrollments => &self.enrollments,
            Upstream::Events => &self.events,
        };
        let base_urls = Upstream::ALL.map(|group| (group, base_url(group).clone()));
        UpstreamSettings {
            base_urls: base_urls.into_iter().filter(|(_, url)| !url.is_empty()).collect(),
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            answer_timeout: Duration::from_millis(self.answer_timeout_ms),
        }
    }
}
