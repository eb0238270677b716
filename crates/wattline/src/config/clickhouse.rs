//! `[clickhouse]`: where the tables are, and how long they keep what they have.

use std::time::Duration;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_clickhouse_sink::Settings;

use super::checks::secret;

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

// Secrets stay out of logs and of panics.
impl std::fmt::Debug for ClickHouse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClickHouse").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

impl ClickHouse {
    pub fn settings(&self) -> anyhow::Result<Settings> {
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
        Ok(Settings {
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
