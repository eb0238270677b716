//! The configuration: its sections and keys, their defaults, and the checks that turn it into settings.

mod auth;
mod bucket;
mod checks;
mod clickhouse;
mod gateway;
mod kafka;
mod portal;
mod security;
mod traces;
mod upstreams;
mod worker;

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_clickhouse_sink::Retention;
use wattline_directory::FollowSettings;
use wattline_runtime::LogFormat;

pub use auth::Auth;
pub use bucket::Bucket;
pub use clickhouse::ClickHouse;
pub use gateway::Gateway;
pub use kafka::Kafka;
pub use portal::Portal;
pub use traces::Traces;
pub use upstreams::Upstreams;
pub use worker::Worker;

/// Keys are described in `deploy/wattline.toml`, which has every one with its default.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    pub log: Log,
    pub traces: Traces,
    pub kafka: Kafka,
    pub directory: Directory,
    pub auth: Auth,
    pub gateway: Gateway,
    pub portal: Portal,
    pub upstreams: Upstreams,
    pub worker: Worker,
    pub clickhouse: ClickHouse,
    pub parquet: Parquet,
    pub bucket: Bucket,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Log {
    pub format: LogFormat,
    pub level: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Directory {
    pub url: String,
    pub poll_ms: u64,
    pub stale_max_s: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Parquet {
    pub dir: String,
    pub file_bytes_max: u64,
    pub file_age_max_ms: u64,
    pub row_group_bytes_max: u64,
}

impl Default for Log {
    fn default() -> Self {
        Log { format: LogFormat::Human, level: "info".into() }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Directory { url: "sqlite://wattline.db".into(), poll_ms: 250, stale_max_s: 60 }
    }
}

impl Default for Parquet {
    fn default() -> Self {
        Parquet {
            dir: "parquet".into(),
            file_bytes_max: 128 << 20,
            file_age_max_ms: 300_000,
            row_group_bytes_max: 2 << 20,
        }
    }
}

/// What stands in a file, without what the environment puts over it.
pub fn read_file(file: &Path) -> anyhow::Result<Config> {
    wattline_runtime::load(Some(file), std::iter::empty())
}

/// Reads the configuration from the defaults, the file and the environment.
#[expect(clippy::disallowed_methods, reason = "the binary is where the environment is read")]
pub fn read(file: Option<&Path>) -> anyhow::Result<Config> {
    let config: Config = wattline_runtime::load(file, std::env::vars())?;
    Ok(config)
}

/// The step at which a test wants this process to die.
#[expect(clippy::disallowed_methods, reason = "the binary is where the environment is read")]
pub fn fail_at() -> Option<String> {
    std::env::var("WATTLINE_TEST_FAIL_AT").ok()
}

impl Directory {
    pub fn follow(&self) -> anyhow::Result<FollowSettings> {
        ensure!((10..=5_000).contains(&self.poll_ms), "directory.poll_ms must be from 10 to 5000");
        Ok(FollowSettings {
            poll_interval: Duration::from_millis(self.poll_ms),
            stale_max: Duration::from_secs(self.stale_max_s),
        })
    }
}

impl Config {
    /// How long ClickHouse keeps what it has. No point that Kafka still has may be gone from there: the audit
    /// would miss it, and a worker would find no neighbours.
    pub fn retention(&self) -> anyhow::Result<Retention> {
        // Kafka deletes whole segments, and one takes records for a week by default.
        const SEGMENT_HOURS: u64 = 7 * 24;
        let hours =
            u64::from(self.kafka.retention_hours) + u64::from(self.gateway.past_max_hours) + SEGMENT_HOURS;
        let days_min = hours.div_ceil(24);
        let ClickHouse { intervals_retention_days, readings_retention_days, rejected_retention_days, .. } =
            self.clickhouse;
        for (key, days) in [
            ("intervals", intervals_retention_days),
            ("readings", readings_retention_days),
            ("rejected", rejected_retention_days),
        ] {
            ensure!(
                days == 0 || u64::from(days) >= days_min,
                "clickhouse.{key}_retention_days must be 0, which is for ever, or at least {days_min}: \
                 kafka.retention_hours, gateway.past_max_hours and a week"
            );
        }
        Ok(Retention {
            intervals_days: intervals_retention_days,
            readings_days: readings_retention_days,
            rejected_days: rejected_retention_days,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_has_every_key_with_its_default() {
        let text = include_str!("../../../deploy/wattline.toml");
        let file: toml::Table = text.parse().expect("deploy/wattline.toml is TOML");
        let defaults = toml::Table::try_from(Config::default()).expect("the defaults are TOML");
        assert_eq!(file, defaults);
    }

    #[test]
    fn clickhouse_keeps_what_kafka_may_have() {
        let mut config = Config::default();
        // 168 and 840 hours, and a week.
        config.clickhouse.readings_retention_days = 49;
        assert_eq!(config.retention().unwrap(), Retention { readings_days: 49, ..Retention::default() });
        config.clickhouse.intervals_retention_days = 48;
        let refused = config.retention().unwrap_err().to_string();
        assert!(
            refused.starts_with("clickhouse.intervals_retention_days must be 0") && refused.contains("49")
        );
    }

    #[test]
    fn every_default_passes_its_check() {
        let config = Config::default();
        assert!(config.traces.settings("wattline").unwrap().is_none(), "traces are off");
        config.kafka.connection().unwrap();
        config.kafka.topics().unwrap();
        config.directory.follow().unwrap();
        config.clickhouse.settings().unwrap();
        assert_eq!(config.retention().unwrap(), Retention::default());
        config.gateway.listen().unwrap();
        config.gateway.ops_listen().unwrap();
        config.gateway.producer().unwrap();
        assert!(config.gateway.tls().unwrap().is_none());
        config.gateway.settings(&config.kafka, &config.auth, &config.upstreams).unwrap();
        config.portal.listen().unwrap();
        config.portal.ops_listen().unwrap();
        config.portal.link_time().unwrap();
        config.portal.settings().unwrap();
        config.worker.ops_listen().unwrap();
        config.worker.consumer(&config.kafka, &config.traces).unwrap();
        config.worker.settings(&config.kafka, &config.parquet).unwrap();
        config.store().unwrap();
        let missing = config.auth.pepper().unwrap_err();
        assert!(missing.to_string().starts_with("auth.pepper is not set"), "{missing}");
    }
}
