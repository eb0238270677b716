//! A load that is written down: how a fleet posts, in a file.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::fleet::Order;
use crate::run::BatchSize;

/// What a scenario may ask for at most: a file must not be able to keep a machine busy for ever.
pub const SECONDS_MAX: u32 = 3_600;
pub const REQUESTS_MAX: u64 = 50_000_000;

/// The keys of a scenario's file, and the fleet that posts where there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it is for, in a sentence.
    pub description: String,
    pub devices: u32,
    pub seed: u64,
    /// Connections, and at most as many requests at once.
    pub gateways: u32,
    pub seconds: u32,
    /// Points a second over the whole fleet; without it, as fast as the answers come.
    pub rate: Option<f64>,
    /// The run ends after so many requests, resends not counted.
    pub requests_max: Option<u64>,
    pub batch: BatchSize,
    pub bad_permille: u32,
    pub resend_max: u32,
    pub drain_seconds: u32,
    pub request_timeout_ms: u32,
    pub slow_answers_ms: u32,
    pub hours_back: u32,
    pub order: Order,
    pub reconnect_every_seconds: u32,
    /// Worker threads of the simulator.
    pub threads: usize,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            description: String::new(),
            devices: 2_000,
            seed: 7,
            gateways: 16,
            seconds: 20,
            rate: None,
            requests_max: None,
            batch: BatchSize::Mixed,
            bad_permille: 2,
            resend_max: 20,
            drain_seconds: 30,
            request_timeout_ms: 30_000,
            slow_answers_ms: 0,
            hours_back: 24,
            order: Order::InTurn,
            reconnect_every_seconds: 0,
            threads: 1,
        }
    }
}

#[derive(Debug, Error)]
pub enum ScenarioError {
    #[error(transparent)]
    Malformed(#[from] toml::de::Error),
    #[error("{key} must be given, and be between 1 and {max}")]
    Unbounded { key: &'static str, max: u64 },
}

impl Scenario {
    /// Reads a file's text. A scenario has to be bounded in time and in requests.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let given: toml::Table = toml::from_str(text)?;
        let scenario: Self = toml::from_str(text)?;
        let bounds = [
            ("seconds", u64::from(scenario.seconds), u64::from(SECONDS_MAX)),
            ("requests_max", scenario.requests_max.unwrap_or(0), REQUESTS_MAX),
        ];
        for (key, value, max) in bounds {
            if !given.contains_key(key) || !(1..=max).contains(&value) {
                return Err(ScenarioError::Unbounded { key, max });
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: &str = "seconds = 5\nrequests_max = 100\n";

    #[test]
    fn a_scenario_is_bounded_and_says_the_rest_by_default() {
        let scenario = Scenario::parse(BOUNDS).expect("a scenario");
        let bounded = Scenario { seconds: 5, requests_max: Some(100), ..Scenario::default() };
        assert_eq!(scenario, bounded);
        for (text, key) in [
            ("seconds = 5\n", "requests_max must be given"),
            ("requests_max = 5\n", "seconds must be given"),
            ("requests_max = 5\nseconds = 3601\n", "seconds must be given, and be between 1 and 3600"),
            ("requests_max = 0\nseconds = 1\n", "requests_max must be given"),
        ] {
            let error = Scenario::parse(text).expect_err(text).to_string();
            assert!(error.starts_with(key), "{text}: {error}");
        }
    }

    #[test]
    fn the_scenarios_of_the_repository_are_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut count = 0;
        for file in std::fs::read_dir(folder).expect("a folder") {
            let path = file.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("a text");
            let scenario =
                Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(!scenario.description.is_empty(), "{}", path.display());
            count += 1;
        }
        assert_eq!(count, 5);
    }

    #[test]
    fn every_key_has_its_type() {
        let batch = |text: &str| Scenario::parse(&format!("{BOUNDS}batch = {text}\n")).map(|read| read.batch);
        assert_eq!(batch("100").expect("a number"), BatchSize::Fixed(100));
        assert_eq!(batch("\"mixed\"").expect("a word"), BatchSize::Mixed);
        assert!(batch("\"many\"").is_err());
        assert!(Scenario::parse(&format!("{BOUNDS}order = \"shuffled\"")).is_ok());
        assert!(Scenario::parse(&format!("{BOUNDS}ordr = \"shuffled\"")).is_err());
    }
}
