//! Postgres over TLS, as the URL says.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use wattline_directory::Directory;

use crate::postgres::{self, Cluster};

/// An authority and its certificate in PEM.
fn authority() -> (Issuer<'static, KeyPair>, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).expect("a certificate").pem();
    (Issuer::new(params, key), pem)
}

/// A cluster that lets nobody in over TCP but with TLS, and its port. None where Postgres is not installed.
fn secured(certificate: &str, key: &str) -> Option<(Cluster, u16)> {
    let programs = postgres::programs()?;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let cluster = Cluster::start(programs, port, |cluster, server| {
        let data = cluster.data();
        let write = |name: &str, text: &str| fs::write(data.join(name), text).expect("a file");
        write("server.crt", certificate);
        write("server.key", key);
        write("pg_hba.conf", "local all all trust\nhostssl all all 127.0.0.1/32 trust\n");
        fs::set_permissions(data.join("server.key"), Permissions::from_mode(0o600)).expect("its mode");
        if postgres::is_root(Path::new("/proc/self")) {
            postgres::run(Command::new("chown").arg("postgres:postgres").arg(data.join("server.key")));
        }
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on"]);
    });
    Some((cluster, port))
}

#[tokio::test]
async fn postgres_is_used_over_tls() {
    let ((issuer, trusted), (_, foreign)) = (authority(), authority());
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
    let Some((_cluster, port)) = secured(&certificate, &key.serialize_pem()) else { return };
    let folder = TempDir::new().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).expect("a file");
        file.display().to_string()
    };
    let (trusted, foreign) = (write("trusted.pem", &trusted), write("foreign.pem", &foreign));
    let url = |host: &str, more: &str| format!("postgres://postgres@{host}:{port}/postgres?{more}");

    let verified = url("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={trusted}"));
    let directory = Directory::open(&verified).await.expect("an open directory");
    directory.migrate().await.expect("migrations");
    assert_eq!(directory.missing_migrations().await.expect("a count"), 0);
    directory.close().await;

    for (refused, told) in [
        (url("127.0.0.1", "sslmode=disable"), "no encryption"),
        (url("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={foreign}")), "certificate"),
        (url("localhost", &format!("sslmode=verify-full&sslrootcert={trusted}")), "certificate"),
    ] {
        let cause = Directory::open_existing(&refused).await.expect_err("refused");
        assert!(format!("{cause:#}").contains(told), "{refused}: {cause:#}");
    }
}
