//! `[gateway]`: where it listens, its limits, and its producer.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_gateway::{Settings, TlsFiles};
use wattline_kafka::ProducerSettings;

use super::checks::{address, size};
use super::{Auth, Kafka, Upstreams};

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

    pub fn settings(&self, kafka: &Kafka, auth: &Auth, upstreams: &Upstreams) -> anyhow::Result<Settings> {
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
        Ok(Settings {
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

/// The settings of a producer, its keys named as the gateway's.
pub(super) fn producer(
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
