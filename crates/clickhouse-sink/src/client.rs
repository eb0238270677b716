//! The connection: settings, deadlines, and the one place where statements are sent.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use clickhouse::{Client, RowOwned, RowRead, query::Query, sql::Identifier};

use crate::error::ClickHouseError;
use crate::metrics;
use crate::post::Poster;
use crate::tls::{self, TlsError};

/// Where ClickHouse is and who we are to it.
#[derive(Clone)]
pub struct Settings {
    /// `http://host:8123`, or `https://host:8443`
    pub url: String,
    /// The authorities of an `https://` server in PEM; those of the operating system where there is no file.
    pub tls_ca_file: Option<PathBuf>,
    pub database: String,
    pub user: String,
    pub password: String,
    /// A statement that takes longer counts as unanswered.
    pub request_timeout: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password stays out of logs.
        f.debug_struct("Settings")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

/// A handle to one database; clones share the connections.
#[derive(Clone, Debug)]
pub struct ClickHouse {
    /// Without a database: for creating it.
    pub(crate) server: Client,
    pub(crate) client: Client,
    pub(crate) poster: Poster,
    pub(crate) database: String,
    pub(crate) request_timeout: Duration,
}

impl ClickHouse {
    /// Fails only where the authorities of an `https://` server cannot be read.
    pub fn new(settings: Settings) -> Result<Self, TlsError> {
        let is_tls = settings.url.starts_with("https://");
        let connector = tls::connector(is_tls, settings.tls_ca_file.as_deref())?;
        let poster = Poster::new(connector.clone(), &settings);
        let mut server = Client::with_http_client(tls::http(connector)).with_url(settings.url);
        if !settings.user.is_empty() {
            server = server.with_user(settings.user).with_password(settings.password);
        }
        Ok(Self {
            client: server.clone().with_database(&settings.database),
            server,
            poster,
            database: settings.database,
            request_timeout: settings.request_timeout,
        })
    }

    /// The database of this name with something behind it, on the same server.
    pub(crate) fn beside(&self, suffix: &str) -> Self {
        let database = format!("{}{suffix}", self.database);
        Self { client: self.server.clone().with_database(&database), database, ..self.clone() }
    }

    pub(crate) fn name(&self) -> Identifier<'_> {
        Identifier(&self.database)
    }

    /// Asks for an answer and nothing else.
    pub async fn ping(&self) -> Result<(), ClickHouseError> {
        self.answered("ping", self.server.query_raw("SELECT 1").execute()).await
    }

    pub(crate) async fn fetch_all<T: RowOwned + RowRead>(
        &self,
        during: &'static str,
        query: Query,
    ) -> Result<Vec<T>, ClickHouseError> {
        self.answered(during, self.bounded(query).fetch_all::<T>()).await
    }

    /// A query that the server too gives up when nobody waits for it any more.
    pub(crate) fn bounded(&self, query: Query) -> Query {
        query.with_setting("max_execution_time", self.seconds_max())
    }

    /// For how long a statement may run: nobody waits any longer for it.
    pub(crate) fn seconds_max(&self) -> String {
        self.request_timeout.as_secs().max(1).to_string()
    }

    /// Every statement is waited for here, and no longer than the deadline.
    pub(crate) async fn answered<T>(
        &self,
        during: &'static str,
        answer: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, ClickHouseError> {
        let outcome = match tokio::time::timeout(self.request_timeout, answer).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => ClickHouseError::classify(during, error),
            Err(_) => ClickHouseError::Unreachable {
                during,
                source: crate::error::Source::Deadline(self.request_timeout),
            },
        };
        metrics::failed(during, outcome.kind());
        Err(outcome)
    }
}
