//! Where the Parquet files are: a folder, or a bucket and who we are there.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use wattline_bucket::{BucketUrl, Provider};
use wattline_parquet_sink::{BucketSettings, Folder, Store};

use super::Config;
use super::checks::{secret, size};

/// The largest object that is put by one request, which holds it in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// By which a platform tells a workload who it is there.
const OF_THE_PLATFORM: [&str; 16] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_REGION",
    "AWS_ENDPOINT_URL_STS",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
];

#[derive(Clone, Serialize, Deserialize)]
pub struct Bucket {
    pub endpoint: String,
    pub allow_http: bool,
    pub tls_ca_file: String,
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub secret_access_key_file: String,
    pub account_name: String,
    pub account_key: String,
    pub account_key_file: String,
    pub service_account_file: String,
    pub conditional_put: bool,
    pub spool_dir: String,
    pub request_timeout_ms: u64,
    pub retry_timeout_ms: u64,
}

impl Default for Bucket {
    fn default() -> Self {
        Bucket {
            endpoint: String::new(),
            allow_http: false,
            tls_ca_file: String::new(),
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
            secret_access_key_file: String::new(),
            account_name: String::new(),
            account_key: String::new(),
            account_key_file: String::new(),
            service_account_file: String::new(),
            conditional_put: true,
            spool_dir: String::new(),
            request_timeout_ms: 60_000,
            retry_timeout_ms: 10_000,
        }
    }
}

// Secrets stay out of logs and of panics.
impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bucket").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Config {
    /// Where the Parquet files are.
    pub fn store(&self) -> anyhow::Result<Store> {
        self.store_at(&self.parquet.dir)
    }

    /// A folder, or a bucket by its URL.
    pub fn store_at(&self, dir: &str) -> anyhow::Result<Store> {
        let row_group_bytes_max = size("parquet.row_group_bytes_max", self.parquet.row_group_bytes_max)?;
        ensure!(!dir.is_empty(), "parquet.dir must name a folder, or a bucket by its URL");
        if !dir.contains("://") {
            self.bucket.is_for(None)?;
            return Ok(Store::Folder(Folder::new(dir).with_row_group_bytes_max(row_group_bytes_max)));
        }
        ensure!(
            self.parquet.file_bytes_max <= FILE_BYTES_MAX,
            "parquet.file_bytes_max must be at most {FILE_BYTES_MAX} where parquet.dir is a URL"
        );
        let settings = self.bucket.settings(dir, platform)?;
        let url = settings.url.to_string();
        let bucket = BucketSettings {
            has_conditional_put: settings.has_conditional_put,
            store: wattline_bucket::open(settings).context("parquet.dir and [bucket]")?,
            url,
            spool: self.bucket.spool(),
            row_group_bytes_max,
        };
        let bucket = wattline_parquet_sink::Bucket::new(bucket).context("cannot start a thread")?;
        Ok(Store::Bucket(bucket))
    }
}

impl Bucket {
    fn spool(&self) -> PathBuf {
        if self.spool_dir.is_empty() { std::env::temp_dir() } else { self.spool_dir.as_str().into() }
    }

    fn settings(
        &self,
        url: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<wattline_bucket::Settings> {
        let url: BucketUrl = url.parse().map_err(|rule| anyhow::anyhow!("parquet.dir {rule}"))?;
        self.is_for(Some(url.provider))?;
        let endpoint = &self.endpoint;
        let is_plain = endpoint.starts_with("http://");
        ensure!(
            endpoint.is_empty() || is_plain || endpoint.starts_with("https://"),
            "bucket.endpoint must begin with https://, or with http:// and bucket.allow_http"
        );
        ensure!(
            !is_plain || self.allow_http,
            "bucket.endpoint begins with http://, which shows everything to whoever is on the way: use https://, or \
             set bucket.allow_http"
        );
        ensure!(self.request_timeout_ms > 0, "bucket.request_timeout_ms must be more than 0");
        let ca_file = (!self.tls_ca_file.is_empty()).then(|| PathBuf::from(&self.tls_ca_file));
        Ok(wattline_bucket::Settings {
            options: self.options(url.provider, environment)?,
            url,
            endpoint: (!endpoint.is_empty()).then(|| endpoint.clone()),
            allow_http: self.allow_http,
            has_conditional_put: self.conditional_put,
            request_timeout: Duration::from_millis(self.request_timeout_ms),
            retry_timeout: Duration::from_millis(self.retry_timeout_ms),
            tls: wattline_clickhouse_sink::trust(ca_file.as_deref()).context("bucket.tls_ca_file")?,
        })
    }

    /// Refuses keys that are set for another provider; none is a folder.
    fn is_for(&self, provider: Option<Provider>) -> anyhow::Result<()> {
        let (s3, gcs, azure) = (Some(Provider::S3), Some(Provider::Gcs), Some(Provider::Azure));
        for (key, value, of, scheme) in [
            ("region", &self.region, s3, "s3://"),
            ("access_key_id", &self.access_key_id, s3, "s3://"),
            ("secret_access_key", &self.secret_access_key, s3, "s3://"),
            ("secret_access_key_file", &self.secret_access_key_file, s3, "s3://"),
            ("account_name", &self.account_name, azure, "az://"),
            ("account_key", &self.account_key, azure, "az://"),
            ("account_key_file", &self.account_key_file, azure, "az://"),
            ("service_account_file", &self.service_account_file, gcs, "gs://"),
        ] {
            let is_right = value.is_empty() || of == provider;
            ensure!(is_right, "bucket.{key} is for a parquet.dir that begins with {scheme}");
        }
        ensure!(
            self.endpoint.is_empty() || provider.is_some(),
            "bucket.endpoint is for a parquet.dir that is a URL"
        );
        Ok(())
    }

    /// Who we are: by our own keys where one is set, else as the platform says.
    fn options(
        &self,
        provider: Provider,
        environment: impl Fn(&str) -> Option<String>,
    ) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut options = Vec::new();
        let (prefix, is_named) = match provider {
            Provider::S3 => {
                let key = &self.secret_access_key;
                let secret = secret(
                    "bucket.secret_access_key",
                    key,
                    "bucket.secret_access_key_file",
                    &self.secret_access_key_file,
                )?;
                ensure!(
                    self.access_key_id.is_empty() == secret.is_empty(),
                    "set both bucket.access_key_id and bucket.secret_access_key (or its file), or neither"
                );
                options.push(("aws_region", self.region.clone()));
                options.push(("aws_access_key_id", self.access_key_id.clone()));
                options.push(("aws_secret_access_key", secret));
                ("AWS_", !self.access_key_id.is_empty())
            }
            Provider::Gcs => {
                options.push(("google_service_account_path", self.service_account_file.clone()));
                ("GOOGLE_", !self.service_account_file.is_empty())
            }
            Provider::Azure => {
                let key = secret(
                    "bucket.account_key",
                    &self.account_key,
                    "bucket.account_key_file",
                    &self.account_key_file,
                )?;
                ensure!(!self.account_name.is_empty(), "bucket.account_name is not set");
                options.push(("azure_storage_account_name", self.account_name.clone()));
                options.push(("azure_storage_account_key", key.clone()));
                ("AZURE_", !key.is_empty())
            }
        };
        options.retain(|(_, value)| !value.is_empty());
        for name in OF_THE_PLATFORM.into_iter().filter(|name| name.starts_with(prefix)) {
            let is_free = match name {
                "AWS_REGION" => self.region.is_empty(),
                _ => !is_named,
            };
            if let Some(value) = environment(name).filter(|value| is_free && !value.is_empty()) {
                options.push((name, value));
            }
        }
        Ok(options)
    }
}

#[expect(clippy::disallowed_methods, reason = "the binary is where the environment is read")]
fn platform(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: fn(&str) -> Option<String> = |_| None;

    fn keyed() -> Bucket {
        Bucket { access_key_id: "id".into(), secret_access_key: "s".into(), ..Bucket::default() }
    }

    #[test]
    fn a_url_is_a_bucket_and_anything_else_a_folder() {
        let mut config = Config { bucket: keyed(), ..Config::default() };
        let told = config.store().unwrap_err().to_string();
        assert_eq!(told, "bucket.access_key_id is for a parquet.dir that begins with s3://");
        config.parquet.dir = "s3://telemetry/eu/".into();
        let Store::Bucket(bucket) = config.store().unwrap() else { panic!("a folder") };
        assert_eq!(bucket.url(), "s3://telemetry/eu");
        config.parquet.file_bytes_max = FILE_BYTES_MAX + 1;
        assert!(
            config.store().unwrap_err().to_string().starts_with("parquet.file_bytes_max must be at most")
        );
        config.parquet.dir = "ftp://telemetry".into();
        config.parquet.file_bytes_max = 1;
        assert_eq!(
            config.store().unwrap_err().to_string(),
            "parquet.dir must begin with s3://, gs:// or az://"
        );
    }

    #[test]
    fn who_we_are_is_said_by_our_keys_or_by_the_platform() {
        let platform = |name: &str| Some(format!("the {name}"));
        let said = keyed().settings("s3://b", platform).unwrap().options;
        let region = || ("AWS_REGION", "the AWS_REGION".to_owned());
        let own =
            [("aws_access_key_id", "id".to_owned()), ("aws_secret_access_key", "s".to_owned()), region()];
        assert_eq!(said, own);
        let said = Bucket::default().settings("s3://b", platform).unwrap().options;
        assert!(said.contains(&region()) && said.contains(&("AWS_ROLE_ARN", "the AWS_ROLE_ARN".into())));
        assert!(said.iter().all(|(name, _)| name.starts_with("AWS_")), "{said:?}");
        let store = wattline_bucket::open(keyed().settings("s3://b", platform).unwrap());
        assert!(store.is_ok(), "each name is known: {store:?}");
    }

    #[test]
    fn every_store_can_be_opened_without_a_key() {
        let azure = Bucket { account_name: "account".into(), ..Bucket::default() };
        let but_google = |name: &str| (!name.starts_with("GOOGLE")).then(|| "x".to_owned());
        for (bucket, url) in [(Bucket::default(), "s3://b"), (Bucket::default(), "gs://b"), (azure, "az://b")]
        {
            for platform in [&NOTHING as &dyn Fn(&str) -> Option<String>, &but_google] {
                let store = wattline_bucket::open(bucket.settings(url, platform).unwrap());
                assert!(store.is_ok(), "{url}: {store:?}");
            }
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused_by_its_keys() {
        let of = |endpoint: &str| Bucket { endpoint: endpoint.into(), ..keyed() };
        for (bucket, url, named) in [
            (of("http://127.0.0.1:9000"), "s3://b", "bucket.allow_http"),
            (of("127.0.0.1:9000"), "s3://b", "bucket.endpoint must begin with"),
            (keyed(), "gs://b", "bucket.access_key_id is for"),
            (Bucket { secret_access_key: String::new(), ..keyed() }, "s3://b", "or neither"),
            (Bucket { secret_access_key_file: "x".into(), ..keyed() }, "s3://b", "not both"),
            (Bucket { tls_ca_file: "/nowhere".into(), ..keyed() }, "s3://b", "bucket.tls_ca_file"),
            (Bucket { request_timeout_ms: 0, ..keyed() }, "s3://b", "bucket.request_timeout_ms"),
            (Bucket::default(), "az://b", "bucket.account_name is not set"),
            (Bucket::default(), "s3://b/?key=s", "parquet.dir must have a prefix"),
        ] {
            let told = format!("{:#}", bucket.settings(url, NOTHING).err().unwrap());
            assert!(told.contains(named), "{told}");
        }
    }
}
