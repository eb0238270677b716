//! Traces: off without an endpoint.

use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_traces::{Exporting, Settings};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Traces {
    pub otlp_endpoint: String,
    pub sample_ratio: f64,
    pub incoming_per_s: u32,
    pub timeout_ms: u64,
    pub queue_spans_max: u32,
}

impl Default for Traces {
    fn default() -> Self {
        Traces {
            otlp_endpoint: String::new(),
            sample_ratio: 0.01,
            incoming_per_s: 10,
            timeout_ms: 5_000,
            queue_spans_max: 4_096,
        }
    }
}

impl Traces {
    pub fn is_on(&self) -> bool {
        !self.otlp_endpoint.is_empty()
    }

    /// Begins to export, where traces are on.
    pub fn start(
        &self,
        service: &'static str,
    ) -> anyhow::Result<(Option<wattline_traces::Traces>, Option<Exporting>)> {
        wattline_traces::describe_metrics();
        let started = self.settings(service)?.map(|settings| wattline_traces::start(&settings));
        Ok(started.transpose()?.unzip())
    }

    pub fn settings(&self, service: &'static str) -> anyhow::Result<Option<Settings>> {
        ensure!((0.0..=1.0).contains(&self.sample_ratio), "traces.sample_ratio must be from 0 to 1");
        ensure!((1..=60_000).contains(&self.timeout_ms), "traces.timeout_ms must be from 1 to 60000");
        ensure!(
            (1..=1_000_000).contains(&self.queue_spans_max),
            "traces.queue_spans_max must be from 1 to 1000000"
        );
        if !self.is_on() {
            return Ok(None);
        }
        let endpoint = self.otlp_endpoint.as_str();
        let is_url = endpoint.starts_with("http://") || endpoint.starts_with("https://");
        ensure!(is_url, "traces.otlp_endpoint must begin with http:// or https://");
        Ok(Some(Settings {
            endpoint: endpoint.to_owned(),
            sample_ratio: self.sample_ratio,
            incoming_per_s: self.incoming_per_s,
            timeout: Duration::from_millis(self.timeout_ms),
            queue_spans_max: self.queue_spans_max as usize,
            service,
            version: env!("CARGO_PKG_VERSION"),
        }))
    }
}
