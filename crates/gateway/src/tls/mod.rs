//! TLS in front of HTTP. The certificate and its key are two files that are looked at again and again: a new
//! pair serves the connections that come, and those that are open go on.

mod pair;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;
use tracing::{debug, error, info, warn};

use self::pair::{Contents, Pair};
use crate::{clock, metrics, socket};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the certificate with its chain and where its key are, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a listener that speaks TLS serves.
pub struct Tls {
    files: TlsFiles,
    /// Session tickets are the pair's, so that none outlives it.
    serving: ArcSwap<ServerConfig>,
    first_look: u64,
}

impl Tls {
    /// Reads the files; an error names the key of the configuration and the rule.
    pub async fn open(files: TlsFiles) -> anyhow::Result<Self> {
        let contents = pair::read(&files).await;
        let first_look = pair::fingerprint(&contents);
        let pair = contents.map_err(anyhow::Error::msg).and_then(|contents| Pair::of(&contents, &files))?;
        say_validity(&pair);
        Ok(Self { files, serving: ArcSwap::new(pair.config), first_look })
    }

    /// Looks at the files for as long as it is polled, and serves a new pair once there is one.
    pub async fn follow(&self) {
        let mut seen = Seen { settled: self.first_look, broken: None };
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.look(pair::read(&self.files).await, &mut seen);
        }
    }

    /// A pair that is broken keeps the one before it. It is only called broken when it is still the same at the
    /// next look: between the replacement of one file and of the other the two do not fit.
    fn look(&self, contents: Result<Contents, String>, seen: &mut Seen) {
        let fingerprint = pair::fingerprint(&contents);
        if fingerprint == seen.settled {
            seen.broken = None;
            return;
        }
        match contents.map_err(anyhow::Error::msg).and_then(|contents| Pair::of(&contents, &self.files)) {
            Ok(pair) => {
                info!("new connections are served a new TLS certificate");
                say_validity(&pair);
                metrics::tls_reloaded("ok");
                self.serving.store(pair.config);
                *seen = Seen { settled: fingerprint, broken: None };
            }
            Err(cause) if seen.broken == Some(fingerprint) => {
                error!(cause = format!("{cause:#}"), "the TLS certificate stays the one that it was");
                metrics::tls_reloaded("failed");
                *seen = Seen { settled: fingerprint, broken: None };
            }
            Err(_) => seen.broken = Some(fingerprint),
        }
    }

    /// The handshake. None where there was none; then the connection has been ended.
    pub(crate) async fn accept(&self, stream: TcpStream, within: Duration) -> Option<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.serving.load_full());
        let handshake = acceptor.accept(stream).into_fallible();
        let (outcome, stream) = match tokio::time::timeout(within, handshake).await {
            Ok(Ok(stream)) => ("ok", Some(stream)),
            Ok(Err((cause, stream))) => {
                debug!(%cause, "TLS handshake");
                if cause.kind() == io::ErrorKind::InvalidData {
                    // The client is told why; what it goes on sending must not take that from it.
                    metrics::tls_handshake_ended("failed");
                    socket::end(stream).await;
                    return None;
                }
                ("closed", None)
            }
            Err(_) => {
                debug!("a TLS handshake took too long");
                ("timed_out", None)
            }
        };
        metrics::tls_handshake_ended(outcome);
        stream
    }
}

/// The fingerprints of what was last served or called broken, and of what will be called so.
struct Seen {
    settled: u64,
    broken: Option<u64>,
}

/// Clients refuse a certificate outside of its time, and nobody else says so.
fn say_validity(pair: &Pair) {
    let now_s = clock::now_ms() / 1_000;
    let (from, until) = (pair.not_before, pair.not_after);
    metrics::tls_certificate_expires(pair::seconds(until));
    if now_s >= pair::seconds(until) {
        warn!(%until, "the TLS certificate has expired (gateway.tls_certificate_file)");
    } else if now_s < pair::seconds(from) {
        warn!(%from, "the TLS certificate is not valid yet (gateway.tls_certificate_file)");
    } else {
        info!(%until, "the TLS certificate is valid");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A certificate and a key, each in PEM.
    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn a_pair_that_is_being_replaced_is_not_called_broken_until_it_stays_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsFiles { certificate: folder.path().join("crt"), key: folder.path().join("key") };
        let write = |(certificate, key): (&String, &String)| {
            std::fs::write(&files.certificate, certificate).expect("written");
            std::fs::write(&files.key, key).expect("written");
        };
        let ((certificate, key), (new_certificate, new_key)) = (pair(), pair());
        write((&certificate, &key));
        let tls = Tls::open(files.clone()).await.expect("opens");
        let first = tls.serving.load_full();
        let mut seen = Seen { settled: tls.first_look, broken: None };
        let serves_first = |tls: &Tls| Arc::ptr_eq(&tls.serving.load_full(), &first);
        let mut look = async || {
            tls.look(pair::read(&files).await, &mut seen);
            (serves_first(&tls), seen.broken.is_some())
        };
        assert_eq!(look().await, (true, false), "nothing has changed");

        write((&new_certificate, &key));
        assert_eq!(look().await, (true, true), "half of it is there");
        write((&certificate, &key));
        assert_eq!(look().await, (true, false), "it was taken back");
        write((&new_certificate, &key));
        assert_eq!(look().await, (true, true));
        write((&new_certificate, &new_key));
        assert_eq!(look().await, (false, false), "all of it is there");

        std::fs::remove_file(&files.key).expect("removed");
        assert_eq!(look().await, (false, true));
        assert_eq!(look().await, (false, false), "it stays away: that is said, and said once");
        assert_eq!(look().await, (false, false));
        write((&new_certificate, &new_key));
        assert_eq!(look().await, (false, false));
    }
}
