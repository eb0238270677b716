//! The certificate and its key: from two files to what a connection is served with.

use std::fs::File;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, InconsistentKeys, ServerConfig};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::time::Time;

use super::TlsFiles;

/// A chain has some kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

const CERTIFICATE: &str = "gateway.tls_certificate_file";
const KEY: &str = "gateway.tls_key_file";

/// What stands in the two files.
#[derive(Hash)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

pub(super) struct Pair {
    pub(super) config: Arc<ServerConfig>,
    pub(super) not_before: Time,
    pub(super) not_after: Time,
}

/// Reads both files, or says which one cannot be read.
pub(super) async fn read(files: &TlsFiles) -> Result<Contents, String> {
    let files = files.clone();
    let reading = tokio::task::spawn_blocking(move || {
        Ok(Contents {
            certificate: read_one(CERTIFICATE, &files.certificate)?,
            key: read_one(KEY, &files.key)?,
        })
    });
    reading.await.unwrap_or_else(|cause| Err(cause.to_string()))
}

fn read_one(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
    read.map_err(|cause| format!("cannot read {} ({name}): {cause}", path.display()))?;
    Ok(bytes)
}

/// Tells one look at the files from another, the key without being kept.
pub(super) fn fingerprint(contents: &Result<Contents, String>) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(contents)
}

pub(super) fn seconds(time: Time) -> i64 {
    time.to_unix_duration().as_secs() as i64
}

impl Pair {
    /// Checks that the files are what they have to be and that one fits the other. No error repeats what
    /// stands in them.
    pub(super) fn of(contents: &Contents, files: &TlsFiles) -> anyhow::Result<Self> {
        let (chain, leaf) = chain(&contents.certificate)
            .with_context(|| format!("{} ({CERTIFICATE})", files.certificate.display()))?;
        let key_file = || format!("{} ({KEY})", files.key.display());
        let Ok(key) = PrivateKeyDer::from_pem_slice(&contents.key) else {
            bail!("{} must have a private key in PEM: PKCS #8, PKCS #1 or SEC1, not encrypted", key_file());
        };
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .context("TLS 1.2 and 1.3")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|cause| match cause {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => anyhow::anyhow!(
                    "{} must be the key of the first certificate in {} ({CERTIFICATE})",
                    key_file(),
                    files.certificate.display()
                ),
                cause => anyhow::anyhow!("{} and {CERTIFICATE} cannot be used: {cause}", key_file()),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A device that comes back saves the dear part of a handshake, and the gateway remembers nothing.
        config.ticketer = ring::Ticketer::new().context("the operating system gave no randomness")?;
        let validity = leaf.tbs_certificate().validity();
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        Ok(Self { config: Arc::new(config), not_before, not_after })
    }
}

/// The certificates of a file, and the first of them, which is the server's own.
fn chain(pem: &[u8]) -> anyhow::Result<(Vec<CertificateDer<'static>>, Certificate)> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let Ok(chain) = chain else { bail!("must be PEM") };
    let mut leaf = None;
    for (place, certificate) in chain.iter().enumerate() {
        let parsed = Certificate::from_der(certificate);
        ensure!(parsed.is_ok(), "must have X.509 certificates, which number {} is not", place + 1);
        leaf = leaf.or(parsed.ok());
    }
    let leaf = leaf.context("must have a certificate in PEM, the server's own first")?;
    Ok((chain, leaf))
}
