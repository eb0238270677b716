//! The configuration: its sections and keys, their defaults, and the checks that turn it into settings.

mod bucket;
mod security;
mod traces;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};
use wattline_auth::Pepper;
use wattline_auth::policy::Upstream;
use wattline_auth::site_token::AUDIENCE_BYTES_MAX;
use wattline_clickhouse_sink::Retention;
use wattline_directory::FollowSettings;
use wattline_gateway::{TlsFiles, UpstreamSettings};
use wattline_kafka::{Connection, ConsumerSettings, ProducerSettings, Start, Topic};
use wattline_portal::PublicUrl;
use wattline_runtime::LogFormat;

pub use bucket::Bucket;
pub use traces::Traces;

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

#[derive(Clone, Serialize, Deserialize)]
pub struct Kafka {
    pub brokers: String,
    pub security_protocol: String,
    pub tls_ca_file: String,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
    pub sasl_mechanism: String,
    pub sasl_username: String,
    pub sasl_password: String,
    pub sasl_password_file: String,
    pub properties: BTreeMap<String, String>,
    pub topic_intervals: String,
    pub topic_counters: String,
    pub topic_rejected: String,
    pub partitions: u32,
    pub replication: u32,
    pub min_insync_replicas: u32,
    pub retention_hours: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Directory {
    pub url: String,
    pub poll_ms: u64,
    pub stale_max_s: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct Auth {
    pub pepper: String,
    pub pepper_file: String,
    pub audience: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Gateway {
    pub listen: String,
    pub ops_listen: String,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
    pub connections_max: u32,
    pub body_bytes_max: u32,
    pub body_decompressed_bytes_max: u32,
    pub header_bytes_max: u32,
    pub in_flight_bytes_max: u64,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub drain_timeout_ms: u64,
    pub delivery_timeout_ms: u64,
    pub producer_queue_bytes_max: u64,
    pub linger_ms: u64,
    pub compression: String,
    pub stall_max_ms: u64,
    pub past_max_hours: u32,
    pub future_max_s: u32,
    pub record_bytes_max: u32,
    pub rate_points_per_s: u32,
    pub rate_burst_points: u32,
    pub battery_limit_w: u32,
    pub home_limit_w: u32,
    pub solar_limit_w: u32,
}

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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Portal {
    pub listen: String,
    pub ops_listen: String,
    pub public_url: String,
    pub link_hours: u32,
    pub session_hours: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Worker {
    pub ops_listen: String,
    pub group: String,
    pub start: String,
    pub session_timeout_ms: u64,
    pub prefetch_bytes_max: u64,
    pub queue_bytes_max: u64,
    pub flush_ms: u64,
    pub flush_bytes_max: u64,
    pub writing_bytes_max: u64,
    pub cache_devices_max: u64,
    pub stop_timeout_ms: u64,
    pub retry_first_ms: u64,
    pub retry_max_ms: u64,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ClickHouse {
    pub url: String,
    pub tls_ca_file: String,
    pub database: String,
    pub user: String,
    pub password: String,
    pub password_file: String,
    pub request_timeout_ms: u64,
    pub intervals_retention_days: u32,
    pub readings_retention_days: u32,
    pub rejected_retention_days: u32,
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

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: "127.0.0.1:9092".into(),
            security_protocol: "plaintext".into(),
            tls_ca_file: String::new(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            sasl_mechanism: "SCRAM-SHA-512".into(),
            sasl_username: String::new(),
            sasl_password: String::new(),
            sasl_password_file: String::new(),
            properties: BTreeMap::new(),
            topic_intervals: "wattline.intervals".into(),
            topic_counters: "wattline.counters".into(),
            topic_rejected: "wattline.rejected".into(),
            partitions: 12,
            replication: 1,
            min_insync_replicas: 1,
            retention_hours: 168,
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Directory { url: "sqlite://wattline.db".into(), poll_ms: 250, stale_max_s: 60 }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Auth { pepper: String::new(), pepper_file: String::new(), audience: "wattline".into() }
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Gateway {
            listen: "127.0.0.1:8080".into(),
            ops_listen: "127.0.0.1:9601".into(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            connections_max: 10_000,
            body_bytes_max: 10 << 20,
            body_decompressed_bytes_max: 10 << 20,
            header_bytes_max: 16 << 10,
            in_flight_bytes_max: 128 << 20,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            drain_timeout_ms: 20_000,
            delivery_timeout_ms: 10_000,
            producer_queue_bytes_max: 64 << 20,
            linger_ms: 10,
            compression: "none".into(),
            stall_max_ms: 5_000,
            past_max_hours: 35 * 24,
            future_max_s: 300,
            record_bytes_max: 900_000,
            rate_points_per_s: 0,
            rate_burst_points: 0,
            battery_limit_w: 25_000,
            home_limit_w: 50_000,
            solar_limit_w: 50_000,
        }
    }
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

impl Default for Worker {
    fn default() -> Self {
        Worker {
            ops_listen: "127.0.0.1:9602".into(),
            group: "wattline-worker".into(),
            start: "beginning".into(),
            session_timeout_ms: 45_000,
            prefetch_bytes_max: 32 << 20,
            queue_bytes_max: 2 << 20,
            flush_ms: 1_000,
            flush_bytes_max: 1 << 20,
            writing_bytes_max: 8 << 20,
            cache_devices_max: 1_000_000,
            stop_timeout_ms: 15_000,
            retry_first_ms: 100,
            retry_max_ms: 10_000,
        }
    }
}

impl Default for ClickHouse {
    fn default() -> Self {
        ClickHouse {
            url: "http://127.0.0.1:8123".into(),
            tls_ca_file: String::new(),
            database: "wattline".into(),
            user: String::new(),
            password: String::new(),
            password_file: String::new(),
            request_timeout_ms: 30_000,
            intervals_retention_days: 0,
            readings_retention_days: 0,
            rejected_retention_days: 0,
        }
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

// Secrets stay out of logs and of panics.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("pepper_file", &self.pepper_file).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouse").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
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

impl Kafka {
    pub fn connection(&self) -> anyhow::Result<Connection> {
        ensure!(!self.brokers.trim().is_empty(), "kafka.brokers must name a broker: host:port");
        Ok(Connection { brokers: self.brokers.clone(), properties: security::properties(self)? })
    }

    pub fn topics(&self) -> anyhow::Result<Vec<Topic>> {
        ensure!((1..=10_000).contains(&self.partitions), "kafka.partitions must be from 1 to 10000");
        ensure!((1..=100).contains(&self.replication), "kafka.replication must be from 1 to 100");
        ensure!(
            (1..=self.replication).contains(&self.min_insync_replicas),
            "kafka.min_insync_replicas must be from 1 to kafka.replication"
        );
        let topic = |name: &str, partitions: u32, hours: u32| Topic {
            name: name.to_owned(),
            partitions: partitions as i32,
            replication: self.replication as i32,
            settings: vec![
                ("min.insync.replicas".into(), self.min_insync_replicas.to_string()),
                ("retention.ms".into(), (u64::from(hours) * 3_600_000).to_string()),
                ("unclean.leader.election.enable".into(), "false".into()),
            ],
        };
        Ok(vec![
            topic(&self.topic_intervals, self.partitions, self.retention_hours),
            topic(&self.topic_counters, self.partitions, self.retention_hours),
            // What was rejected is rare, and waits for a person.
            topic(&self.topic_rejected, 1, 4 * self.retention_hours),
        ])
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
    fn audience(&self) -> anyhow::Result<String> {
        ensure!(
            (1..=AUDIENCE_BYTES_MAX).contains(&self.audience.len()),
            "auth.audience must have from 1 to {AUDIENCE_BYTES_MAX} bytes"
        );
        Ok(self.audience.clone())
    }
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

impl ClickHouse {
    pub fn settings(&self) -> anyhow::Result<wattline_clickhouse_sink::Settings> {
        let is_secured = self.url.starts_with("https://");
        ensure!(
            is_secured || self.url.starts_with("http://"),
            "clickhouse.url must begin with http:// or https://"
        );
        ensure!(
            is_secured || self.tls_ca_file.is_empty(),
            "clickhouse.tls_ca_file is for a clickhouse.url that begins with https://"
        );
        let is_name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        ensure!(is_name(&self.database), "clickhouse.database must have letters, digits and _ only");
        Ok(wattline_clickhouse_sink::Settings {
            url: self.url.clone(),
            tls_ca_file: (!self.tls_ca_file.is_empty()).then(|| self.tls_ca_file.clone().into()),
            database: self.database.clone(),
            user: self.user.clone(),
            password: secret(
                "clickhouse.password",
                &self.password,
                "clickhouse.password_file",
                &self.password_file,
            )?,
            request_timeout: Duration::from_millis(self.request_timeout_ms),
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

impl Gateway {
    pub fn listen(&self) -> anyhow::Result<SocketAddr> {
        address("gateway.listen", &self.listen)
    }

    pub fn ops_listen(&self) -> anyhow::Result<SocketAddr> {
        address("gateway.ops_listen", &self.ops_listen)
    }

    /// Where the certificate and its key are. None is plain HTTP.
    pub fn tls(&self) -> anyhow::Result<Option<TlsFiles>> {
        let (certificate, key) = (&self.tls_certificate_file, &self.tls_key_file);
        ensure!(
            certificate.is_empty() == key.is_empty(),
            "set both gateway.tls_certificate_file and gateway.tls_key_file, or neither"
        );
        let files = || TlsFiles { certificate: certificate.into(), key: key.into() };
        Ok((!certificate.is_empty()).then(files))
    }

    pub fn producer(&self) -> anyhow::Result<ProducerSettings> {
        let Gateway { compression, delivery_timeout_ms, producer_queue_bytes_max, linger_ms, .. } = self;
        let checked = producer(compression, *delivery_timeout_ms, *producer_queue_bytes_max, *linger_ms)?;
        // Records have waited for company before they come to it.
        Ok(ProducerSettings { linger_ms: 0, ..checked })
    }

    pub fn settings(
        &self,
        kafka: &Kafka,
        auth: &Auth,
        upstreams: &Upstreams,
    ) -> anyhow::Result<wattline_gateway::Settings> {
        ensure!(self.connections_max > 0, "gateway.connections_max must be more than 0");
        ensure!(self.header_bytes_max >= 8_192, "gateway.header_bytes_max must be at least 8192");
        ensure!(
            (64_000..=900_000_000).contains(&self.record_bytes_max),
            "gateway.record_bytes_max must be from 64000 to 900000000, and below max.message.bytes of the topics"
        );
        ensure!(
            self.in_flight_bytes_max
                >= u64::from(self.body_bytes_max) + u64::from(self.body_decompressed_bytes_max),
            "gateway.in_flight_bytes_max must have room for one body as sent and decompressed"
        );
        Ok(wattline_gateway::Settings {
            topic_intervals: kafka.topic_intervals.clone(),
            topic_counters: kafka.topic_counters.clone(),
            audience: auth.audience()?,
            connections_max: self.connections_max as usize,
            body_bytes_max: self.body_bytes_max as usize,
            body_decompressed_bytes_max: self.body_decompressed_bytes_max as usize,
            header_bytes_max: self.header_bytes_max as usize,
            in_flight_bytes_max: size("gateway.in_flight_bytes_max", self.in_flight_bytes_max)?,
            header_timeout: Duration::from_millis(self.header_timeout_ms),
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            stall_max: Duration::from_millis(self.stall_max_ms),
            past_max_ms: i64::from(self.past_max_hours) * 3_600_000,
            future_max_ms: i64::from(self.future_max_s) * 1_000,
            record_bytes_max: self.record_bytes_max as usize,
            linger: Duration::from_millis(self.linger_ms),
            rate_points_per_s: self.rate_points_per_s,
            rate_burst_points: self.rate_burst_points,
            battery_limit_w: self.battery_limit_w,
            home_limit_w: self.home_limit_w,
            solar_limit_w: self.solar_limit_w,
            upstreams: upstreams.settings(),
        })
    }
}

impl Upstreams {
    /// The keys are checked where the URLs are used.
    fn settings(&self) -> UpstreamSettings {
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

    pub fn settings(&self) -> anyhow::Result<wattline_portal::Settings> {
        let session_time = hours("portal.session_hours", self.session_hours, 24)?;
        Ok(wattline_portal::Settings { public_url: self.public_url()?, session_time })
    }
}

impl Worker {
    pub fn ops_listen(&self) -> anyhow::Result<SocketAddr> {
        address("worker.ops_listen", &self.ops_listen)
    }

    pub fn consumer(&self, kafka: &Kafka, traces: &Traces) -> anyhow::Result<ConsumerSettings> {
        Ok(ConsumerSettings {
            group: self.group.clone(),
            topics: vec![kafka.topic_intervals.clone(), kafka.topic_counters.clone()],
            start: match self.start.as_str() {
                "beginning" => Start::Beginning,
                "committed" => Start::Committed,
                _ => bail!("worker.start must be beginning or committed"),
            },
            session_timeout_ms: self.session_timeout_ms,
            prefetch_bytes_max: size("worker.prefetch_bytes_max", self.prefetch_bytes_max)?,
            traceparents: traces.is_on(),
        })
    }

    /// For the topic of the rejected.
    pub fn producer(&self) -> anyhow::Result<ProducerSettings> {
        producer("zstd", 10_000, 16 << 20, 5)
    }

    pub fn settings(&self, kafka: &Kafka, parquet: &Parquet) -> anyhow::Result<wattline_worker::Settings> {
        ensure!(self.flush_ms > 0, "worker.flush_ms must be more than 0");
        ensure!(
            0 < self.retry_first_ms && self.retry_first_ms <= self.retry_max_ms,
            "worker.retry_first_ms must be from 1 to worker.retry_max_ms"
        );
        ensure!(
            parquet.file_age_max_ms >= self.flush_ms,
            "parquet.file_age_max_ms must be at least worker.flush_ms"
        );
        Ok(wattline_worker::Settings {
            group: self.group.clone(),
            topic_intervals: kafka.topic_intervals.clone(),
            topic_counters: kafka.topic_counters.clone(),
            topic_rejected: kafka.topic_rejected.clone(),
            flush_after: Duration::from_millis(self.flush_ms),
            flush_bytes_max: size("worker.flush_bytes_max", self.flush_bytes_max)?,
            writing_bytes_max: size("worker.writing_bytes_max", self.writing_bytes_max)?,
            file_after: Duration::from_millis(parquet.file_age_max_ms),
            file_bytes_max: size("parquet.file_bytes_max", parquet.file_bytes_max)?,
            queue_bytes_max: size("worker.queue_bytes_max", self.queue_bytes_max)?,
            cache_devices_max: size("worker.cache_devices_max", self.cache_devices_max)?,
            stop_timeout: Duration::from_millis(self.stop_timeout_ms),
            retry_first: Duration::from_millis(self.retry_first_ms),
            retry_max: Duration::from_millis(self.retry_max_ms),
        })
    }
}

fn producer(
    compression: &str,
    timeout_ms: u64,
    queue_bytes_max: u64,
    linger_ms: u64,
) -> anyhow::Result<ProducerSettings> {
    ensure!(
        ["none", "gzip", "snappy", "lz4", "zstd"].contains(&compression),
        "gateway.compression must be none, gzip, snappy, lz4 or zstd"
    );
    ensure!(
        (1_000..=300_000).contains(&timeout_ms),
        "gateway.delivery_timeout_ms must be from 1000 to 300000"
    );
    ensure!(linger_ms < timeout_ms, "gateway.linger_ms must be less than gateway.delivery_timeout_ms");
    Ok(ProducerSettings {
        delivery_timeout_ms: timeout_ms,
        queue_bytes_max: size("gateway.producer_queue_bytes_max", queue_bytes_max)?,
        linger_ms,
        compression: compression.to_owned(),
    })
}

fn address(key: &str, value: &str) -> anyhow::Result<SocketAddr> {
    value.parse().with_context(|| format!("{key} must be an address and a port, such as 0.0.0.0:8080"))
}

fn hours(key: &str, value: u32, max: u32) -> anyhow::Result<Duration> {
    ensure!((1..=max).contains(&value), "{key} must be from 1 to {max}");
    Ok(Duration::from_secs(u64::from(value) * 3_600))
}

fn size(key: &str, value: u64) -> anyhow::Result<usize> {
    ensure!(value > 0, "{key} must be more than 0");
    usize::try_from(value).with_context(|| format!("{key} is too large"))
}

/// A secret that is given by itself or in a file, but not both ways.
fn secret(key: &str, value: &str, file_key: &str, file: &str) -> anyhow::Result<String> {
    ensure!(value.is_empty() || file.is_empty(), "set {key} or {file_key}, not both");
    if file.is_empty() {
        return Ok(value.to_owned());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file} ({file_key})"))?;
    Ok(text.trim().to_owned())
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
