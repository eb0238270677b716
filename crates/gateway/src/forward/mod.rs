//! Requests that are authenticated and authorised here and answered by a service beside this one.
//!
//! The service is told who calls in headers that no caller can set, and never sees the token. Bodies pass
//! through as they come, both ways.

mod body;
mod headers;

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use tracing::{debug, warn};
use wattline_auth::policy::Upstream;

use self::body::RequestBody;
pub(crate) use self::body::{BodyStop, ResponseBody};
use crate::call::Call;
use crate::metrics;
use crate::problem::Problem;

/// How long an idle connection to a service is kept, and how many of them for each.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const IDLE_MAX: usize = 64;
/// What the answers' headers may take.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Where the services beside this one are.
#[derive(Clone, Debug, Default)]
pub struct UpstreamSettings {
    /// A base URL for each group of endpoints; those that have none are not served.
    pub base_urls: HashMap<Upstream, String>,
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the answer, and between the parts of its body.
    pub answer_timeout: Duration,
}

/// The services beside this one, and the connections to them.
pub(crate) struct Upstreams {
    bases: HashMap<Upstream, Base>,
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
    answer_timeout: Duration,
}

/// A base URL, taken apart.
struct Base {
    scheme_and_authority: String,
    /// Without a slash at its end.
    path: String,
}

impl Base {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().context("must be a URL such as http://127.0.0.1:9000")?;
        let scheme = uri.scheme_str().filter(|scheme| ["http", "https"].contains(scheme));
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'));
        let (Some(scheme), Some(authority), None) = (scheme, authority, uri.query()) else {
            anyhow::bail!("must be http:// or https:// with a host, and without credentials or a query");
        };
        Ok(Base {
            scheme_and_authority: format!("{scheme}://{authority}"),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn is_https(&self) -> bool {
        self.scheme_and_authority.starts_with("https:")
    }
}

/// Whom services are known by: the authorities that the operating system trusts, read where one is needed.
fn tls(is_needed: bool) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = if is_needed {
        builder
            .with_native_roots()
            .context("the certificates of the operating system's authorities cannot be read")?
    } else {
        builder.with_root_certificates(RootCertStore::empty())
    };
    Ok(builder.with_no_client_auth())
}

impl Upstreams {
    pub(crate) fn new(settings: &UpstreamSettings) -> anyhow::Result<Self> {
        let bases = settings.base_urls.iter().map(|(group, text)| {
            let base = Base::parse(text).with_context(|| format!("upstreams.{}", group.name()))?;
            Ok((*group, base))
        });
        let bases: HashMap<_, _> = bases.collect::<anyhow::Result<_>>()?;
        ensure!(!settings.connect_timeout.is_zero(), "upstreams.connect_timeout_ms must be more than 0");
        ensure!(!settings.answer_timeout.is_zero(), "upstreams.answer_timeout_ms must be more than 0");
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(bases.values().any(|base| base.is_https()))?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(HEADER_BYTES_MAX)
            .build(connector);
        Ok(Upstreams { bases, client, answer_timeout: settings.answer_timeout })
    }

    /// Hands the request on and gives the answer back, whatever it is.
    pub(crate) async fn forward(
        &self,
        call: &Call<'_>,
        group: Upstream,
        incoming: Incoming,
    ) -> Result<Response<ResponseBody>, Problem> {
        let base = self.bases.get(&group).ok_or(Problem::NoUpstream { group: group.name() })?;
        let settings = &call.gateway.settings;
        let has_body = !incoming.is_end_stream();
        let body_time = if has_body { settings.body_timeout } else { Duration::ZERO };
        let (body, stop) = RequestBody::new(incoming, settings.body_bytes_max, settings.body_timeout);
        let request = request(base, call, body)?;
        let sent = self.client.request(request);
        let outcome = match tokio::time::timeout(body_time + self.answer_timeout, sent).await {
            Err(_) => Err(Problem::UpstreamSilent),
            Ok(Err(error)) => {
                debug!(cause = chain(&error), "forwarding");
                Err(Problem::UpstreamAway)
            }
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(Problem::UpstreamAway)
            }
            Ok(Ok(response)) => Ok(response),
        };
        // What the caller did wrong with its body comes before what became of it over there.
        let outcome = match (stop.get(), outcome) {
            (Some(BodyStop::TooLarge), Err(_)) => Err(Problem::TooLarge),
            (Some(BodyStop::TooSlow), Err(_)) => Err(Problem::TooSlow),
            (Some(BodyStop::CutOff), Err(_)) => Err(Problem::CutOff),
            (_, outcome) => outcome,
        };
        metrics::forwarded(group.name(), outcome.as_ref().map(Response::status).ok());
        if let Err(problem @ (Problem::UpstreamAway | Problem::UpstreamSilent)) = &outcome {
            warn!(request_id = %call.request_id, upstream = group.name(), code = problem.code(), "forwarding");
        }
        outcome.map(|response| {
            let (mut parts, body) = response.into_parts();
            headers::of_answer(&mut parts.headers);
            parts.version = hyper::Version::HTTP_11;
            Response::from_parts(parts, ResponseBody::new(body, self.answer_timeout))
        })
    }
}

/// The caller's request as the service gets it.
fn request(base: &Base, call: &Call<'_>, body: RequestBody) -> Result<Request<RequestBody>, Problem> {
    let Parts { method, uri, headers, .. } = call.request;
    // The path is spelled anew from what was checked, so that nothing is read into it over there that was not
    // seen here.
    let Base { scheme_and_authority, path } = base;
    let mut target = format!("{scheme_and_authority}{path}{}", call.matched.canonical_path());
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut request = Request::new(body);
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.parse().map_err(|_| Problem::NotFound)?;
    *request.headers_mut() = headers::of_request(headers, call);
    Ok(request)
}

/// An error with its causes. It holds addresses and what TLS says, and no header or body.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_scheme_a_host_and_a_path() {
        let base = Base::parse("https://events.example:8443/v2/").unwrap();
        assert_eq!(
            (base.scheme_and_authority.as_str(), base.path.as_str()),
            ("https://events.example:8443", "/v2")
        );
        assert_eq!(Base::parse("http://127.0.0.1:9000").unwrap().path, "");
        for wrong in ["", "events", "ftp://host", "http://user:secret@host", "http://host/?a=b", "/path"] {
            assert!(Base::parse(wrong).is_err(), "{wrong}");
        }
    }
}
