//! The way to a bucket of an object store: its URL, who we are there, and the HTTP that it is spoken to in.
//! It must not know what the objects are.
//!
//! The protocols of S3, Google Cloud Storage and Azure are those of the `object_store` crate; the HTTP client
//! below them is the one that the rest of Wattline has.

mod http;
mod url;

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, RetryConfig};
use rustls::ClientConfig;

use crate::http::Https;
pub use crate::url::{BucketUrl, Provider, UrlError};

const BACKOFF: BackoffConfig = BackoffConfig {
    init_backoff: Duration::from_millis(100),
    max_backoff: Duration::from_secs(2),
    base: 2.0,
};
const RETRIES_MAX: usize = 20;

/// How a bucket is reached.
pub struct Settings {
    pub url: BucketUrl,
    /// A server of one's own in place of the cloud's.
    pub endpoint: Option<String>,
    /// Whether the endpoint may be one without TLS.
    pub allow_http: bool,
    /// Who we are there and whatever else the provider wants, by the names that `object_store` has for it in
    /// small letters (`aws_access_key_id`); a name that it does not have is an error.
    pub options: Vec<(&'static str, String)>,
    pub has_conditional_put: bool,
    /// How long one request may take, with its answer.
    pub request_timeout: Duration,
    /// How long a request that fails is made again.
    pub retry_timeout: Duration,
    pub tls: ClientConfig,
}

/// The store whose root is what the URL names. Nothing is asked of it yet.
pub fn open(settings: Settings) -> Result<Arc<dyn ObjectStore>, Error> {
    let client = ClientOptions::new().with_allow_http(settings.allow_http);
    let retry =
        RetryConfig { backoff: BACKOFF, max_retries: RETRIES_MAX, retry_timeout: settings.retry_timeout };
    let https = Https::new(settings.tls, settings.request_timeout);
    let bucket = settings.url.bucket.as_str();
    let store: Arc<dyn ObjectStore> = match settings.url.provider {
        Provider::S3 => {
            let conditional_put = match settings.has_conditional_put {
                true => S3ConditionalPut::ETagMatch,
                false => S3ConditionalPut::Disabled,
            };
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_conditional_put(conditional_put)
                // Not every server knows how to delete many at once, and nobody here does.
                .with_disable_bulk_delete(true)
                .with_client_options(client)
                .with_retry(retry)
                .with_http_connector(https);
            if let Some(endpoint) = settings.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            for (name, value) in settings.options {
                builder = builder.with_config(name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()?, value);
            }
            Arc::new(builder.build()?)
        }
        Provider::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(bucket)
                .with_client_options(client)
                .with_retry(retry)
                .with_http_connector(https);
            if let Some(endpoint) = settings.endpoint {
                builder = builder.with_base_url(&endpoint);
            }
            for (name, value) in settings.options {
                builder = builder.with_config(name.to_ascii_lowercase().parse::<GoogleConfigKey>()?, value);
            }
            Arc::new(builder.build()?)
        }
        Provider::Azure => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_container_name(bucket)
                .with_client_options(client)
                .with_retry(retry)
                .with_http_connector(https);
            if let Some(endpoint) = settings.endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            for (name, value) in settings.options {
                builder = builder.with_config(name.to_ascii_lowercase().parse::<AzureConfigKey>()?, value);
            }
            Arc::new(builder.build()?)
        }
    };
    Ok(Arc::new(PrefixStore::new(store, settings.url.prefix.as_str())))
}
