//! The way to ClickHouse, with TLS or without.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body::Body;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

const KEEPALIVE: Duration = Duration::from_secs(60);
/// Less than a server keeps a connection that is not used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read certificates in PEM from {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("there is no certificate in {}", path.display())]
    Empty { path: PathBuf },
    #[error("a certificate in {} cannot be used", path.display())]
    Unusable {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("TLS 1.2 and 1.3")]
    Versions(#[source] rustls::Error),
    #[error("the certificate authorities of the operating system cannot be read")]
    System(#[source] std::io::Error),
}

/// Ways to a server. One that speaks TLS is one that these authorities vouch for: those of the file, or the
/// operating system's where there is none.
pub(crate) fn connector(
    is_tls: bool,
    ca_file: Option<&Path>,
) -> Result<HttpsConnector<HttpConnector>, TlsError> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(KEEPALIVE));
    // The last bytes of a body do not wait for a word about those before.
    tcp.set_nodelay(true);
    let builder = HttpsConnectorBuilder::new();
    let builder = match is_tls {
        true => builder.with_tls_config(trust(ca_file)?).https_only(),
        false => builder.with_tls_config(nobody()?).https_or_http(),
    };
    Ok(builder.enable_http1().wrap_connector(tcp))
}

/// A client for bodies of this kind.
pub(crate) fn http<B>(
    connector: HttpsConnector<HttpConnector>,
) -> HttpClient<HttpsConnector<HttpConnector>, B>
where
    B: Body + Send,
    B::Data: Send,
{
    HttpClient::builder(TokioExecutor::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector)
}

/// Trust in the servers that these authorities vouch for, likewise.
pub fn trust(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let builder = versions()?;
    let builder = match ca_file {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_native_roots().map_err(TlsError::System)?,
    };
    Ok(builder.with_no_client_auth())
}

/// No trust in anybody, for a way without TLS.
fn nobody() -> Result<ClientConfig, TlsError> {
    Ok(versions()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn versions() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |source| TlsError::Unreadable { path: path.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let added = roots.add(certificate.map_err(unreadable)?);
        added.map_err(|source| TlsError::Unusable { path: path.to_owned(), source })?;
    }
    if roots.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(roots)
}
