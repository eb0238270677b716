//! TLS in front of the gateway's HTTP, with certificates that a test makes.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, ProtocolVersion, RootCertStore,
    StreamOwned, SupportedProtocolVersion,
};

use crate::http::{Connection, Request};
use crate::points::{BATTERY, MINUTE_MS, ago_ms, all_ok, interval, post, post_points};
use crate::process::until;
use crate::refusals::check_problem;
use crate::site::{Gateway, Site, failure};

const SOON: Duration = Duration::from_secs(10);
const RELOAD_DEADLINE: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(30);

/// The year in which the certificates of these tests end, and its first second.
const YEAR: i32 = 2090;
const YEAR_BEGINS_S: f64 = 3_786_912_000.0;

const HANDSHAKES: &str = "wattline_gateway_tls_handshakes_total";
const RELOADS: &str = "wattline_gateway_tls_reloads_total";
const EXPIRES: &str = "wattline_gateway_tls_certificate_expiry_timestamp_seconds";

/// A certificate of its own making and its key.
struct Pair {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
}

impl Pair {
    fn new() -> Self {
        Self::until(YEAR)
    }

    fn until(year: i32) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.self_signed(&key).expect("a certificate");
        Pair {
            certificate_pem: certificate.pem(),
            certificate: certificate.der().clone(),
            key_pem: key.serialize_pem(),
        }
    }

    fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        fs::write(folder.join("tls.crt"), &self.certificate_pem).expect("the certificate");
        fs::write(folder.join("tls.key"), &self.key_pem).expect("the key");
    }
}

/// Points a link at another folder in one step, as Kubernetes does when a secret changes.
fn point(link: &Path, to: &Path) {
    let new = link.with_file_name("..data_new");
    symlink(to, &new).expect("a link");
    fs::rename(new, link).expect("the link is replaced");
}

fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().expect("a path in UTF-8")
}

fn gateway(site: &Site, folder: &Path, more: &[(&str, &str)]) -> Gateway {
    let (certificate, key) = (text(folder.join("tls.crt")), text(folder.join("tls.key")));
    let mut keys = vec![
        ("WATTLINE_GATEWAY_TLS_CERTIFICATE_FILE", &*certificate),
        ("WATTLINE_GATEWAY_TLS_KEY_FILE", &*key),
    ];
    keys.extend_from_slice(more);
    site.gateway(&keys)
}

/// A client that trusts these certificates and no others.
fn client(
    trusted: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.certificate.clone()).expect("a root");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

type Secured = StreamOwned<ClientConnection, TcpStream>;

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).expect("a connection");
    stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
    stream.set_write_timeout(Some(TIMEOUT)).expect("a timeout");
    stream
}

/// A connection whose handshake is done.
fn try_secured(address: SocketAddr, config: &Arc<ClientConfig>) -> std::io::Result<Connection<Secured>> {
    let name = "localhost".try_into().expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    let mut stream = StreamOwned::new(session, tcp(address));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Connection::over(stream))
}

fn secured(address: SocketAddr, config: &Arc<ClientConfig>) -> Connection<Secured> {
    try_secured(address, config).expect("a handshake")
}

#[test]
fn requests_are_answered_over_tls_1_2_and_1_3() {
    let site = Site::new("tls");
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let pair = Pair::new();
    pair.write(&site.path("tls"));
    let gateway = gateway(&site, &site.path("tls"), &[("WATTLINE_GATEWAY_BODY_BYTES_MAX", "100000")]);
    assert_eq!(gateway.ops.metric(EXPIRES, &[]), YEAR_BEGINS_S);

    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let config = client(&[&pair], &[version], &["h2", "http/1.1"]);
        let mut connection = secured(gateway.address, &config);
        for _ in 0..2 {
            all_ok(&connection.exchange(&post_points(BATTERY, &token, &points)), 1);
        }
        assert_eq!(connection.stream().conn.protocol_version(), Some(number));
        assert_eq!(connection.stream().conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
        // Whoever comes back is remembered by its own ticket.
        let mut again = secured(gateway.address, &config);
        all_ok(&again.exchange(&post_points(BATTERY, &token, &points)), 1);
        assert_eq!(again.stream().conn.handshake_kind(), Some(HandshakeKind::Resumed));

        // Without a choice of protocols it is HTTP/1.1 too.
        let mut plain = secured(gateway.address, &client(&[&pair], &[version], &[]));
        all_ok(&plain.exchange(&post_points(BATTERY, &token, &points)), 1);
        // What is refused is refused as without TLS: unparsed, and with megabytes of the body still under way.
        plain.write(b"GET / HTTP/9.9\r\n\r\n").expect("sent");
        check_problem(&plain.answer(), 400, "MALFORMED_REQUEST", &[("connection", "close")]);
        plain.wait_until_closed();
        let mut large = secured(gateway.address, &config);
        large.send(&post(BATTERY, &token).body(vec![b' '; 4 << 20])).expect("the rest is read");
        check_problem(&large.answer(), 413, "PAYLOAD_TOO_LARGE", &[("connection", "close")]);
        large.wait_until_closed();
    }
    let refused = try_secured(gateway.address, &client(&[&pair], &[&TLS13], &["h2"])).err().expect("refused");
    assert_eq!(alert(&refused), Some(AlertDescription::NoApplicationProtocol), "{refused}");
    assert_eq!(gateway.ops.metric(HANDSHAKES, &["\"ok\""]), 8.0);
    until("the refused handshake is counted", SOON, || {
        (gateway.ops.metric(HANDSHAKES, &["\"failed\""]) == 1.0).then_some(())
    });
}

fn alert(error: &std::io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// A ClientHello that offers nothing newer than TLS 1.1.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session; two suites; no compression; the curve P-256, its plain points, and its signatures.
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    hello.extend([0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3]);
    let handshake = [&[1, 0, 0, hello.len() as u8], &*hello].concat();
    [&[22, 3, 1, 0, handshake.len() as u8], &*handshake].concat()
}

#[test]
fn what_is_no_tls_or_too_old_or_too_slow_is_closed_cleanly() {
    let site = Site::new("tls_refused");
    let pair = Pair::new();
    pair.write(&site.path("tls"));
    let gateway = gateway(&site, &site.path("tls"), &[("WATTLINE_GATEWAY_HEADER_TIMEOUT_MS", "500")]);

    let protocol_version = [21, 3, 3, 0, 2, 2, 70];
    let plain = post(BATTERY, "wl_live_none").body(vec![b' '; 1 << 20]);
    for (sent, alert) in [
        (hello_of_tls_1_1(), Some(protocol_version.as_slice())),
        (Request::new("GET", "/v1/sites").head(), None),
        ([plain.head(), vec![b' '; 1 << 20]].concat(), None),
    ] {
        let mut stream = tcp(gateway.address);
        stream.write_all(&sent).expect("nothing is reset while it is sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an end, and no reset");
        // At most an alert: nothing that a client of plain HTTP could take for an answer.
        assert!(answer.len() == 7 && answer[0] == 21, "{answer:?}");
        assert!(alert.is_none_or(|alert| alert == answer), "{answer:?}");
    }
    assert_eq!(gateway.ops.metric(HANDSHAKES, &["\"failed\""]), 3.0);

    for begun in [&[][..], &hello_of_tls_1_1()[..20]] {
        let began = Instant::now();
        let mut stream = tcp(gateway.address);
        stream.write_all(begun).expect("sent");
        let ended = stream.read(&mut [0; 16]);
        let is_closed = matches!(ended, Ok(0))
            || ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(is_closed && began.elapsed() < SOON, "{ended:?} after {:?}", began.elapsed());
        assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    }
    until("the slow handshakes are counted", SOON, || {
        (gateway.ops.metric(HANDSHAKES, &["\"timed_out\""]) == 2.0).then_some(())
    });
    // A load balancer looks whether the port is there.
    drop(tcp(gateway.address));
    until("the connection that said nothing is counted", SOON, || {
        (gateway.ops.metric(HANDSHAKES, &["\"closed\""]) == 1.0).then_some(())
    });
    until("no connection is left", SOON, || {
        (gateway.ops.metric("wattline_gateway_connections", &[]) == 0.0).then_some(())
    });
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_broken_one_is_not() {
    let site = Site::new("tls_reload");
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let (first, second, third, expired) = (Pair::new(), Pair::new(), Pair::new(), Pair::until(2020));
    let folder = |name: &str| site.path("tls").join(name);
    first.write(&folder("1"));
    second.write(&folder("2"));
    let data = folder("..data");
    symlink("1", &data).expect("a link");
    for file in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{file}"), folder(file)).expect("a link");
    }
    let mut gateway = gateway(&site, &site.path("tls"), &[]);
    let config = client(&[&first, &second, &third], &[&TLS12, &TLS13], &[]);
    let served = || {
        let connection = secured(gateway.address, &config);
        let kind = connection.stream().conn.handshake_kind();
        let certificates = connection.stream().conn.peer_certificates().expect("certificates");
        (certificates[0].clone().into_owned(), kind)
    };
    let request = post_points(BATTERY, &token, &[interval("bat", ago_ms(5 * MINUTE_MS))]);
    let mut open = secured(gateway.address, &config);
    all_ok(&open.exchange(&request), 1);
    assert_eq!(served(), (first.certificate.clone(), Some(HandshakeKind::Resumed)));

    point(&data, Path::new("2"));
    until("the second certificate", RELOAD_DEADLINE, || (served().0 == second.certificate).then_some(()));
    all_ok(&open.exchange(&request), 1);
    assert_eq!(open.stream().conn.peer_certificates().expect("certificates")[0], first.certificate);
    assert_eq!(gateway.ops.metric(RELOADS, &["\"ok\""]), 1.0);

    // A key that does not fit, then none at all: the second pair stays, and each is said once.
    fs::write(folder("2/tls.key"), &third.key_pem).expect("the key");
    let failed = |gateway: &Gateway| gateway.ops.metric(RELOADS, &["\"failed\""]);
    until("the key that does not fit", RELOAD_DEADLINE, || (failed(&gateway) == 1.0).then_some(()));
    let line = gateway.process.logged("the TLS certificate stays the one that it was", SOON);
    let cause = line["cause"].as_str().expect("a cause");
    assert!(cause.contains("gateway.tls_key_file") && cause.contains("must be the key of"), "{cause}");
    fs::remove_file(folder("2/tls.key")).expect("the key goes");
    until("the key that is not there", RELOAD_DEADLINE, || (failed(&gateway) == 2.0).then_some(()));
    let served = |gateway: &Gateway| {
        let connection = secured(gateway.address, &config);
        connection.stream().conn.peer_certificates().expect("certificates")[0].clone().into_owned()
    };
    assert_eq!(served(&gateway), second.certificate);
    all_ok(&open.exchange(&request), 1);

    // Mended in place, one file after the other.
    fs::write(folder("2/tls.crt"), &third.certificate_pem).expect("the certificate");
    fs::write(folder("2/tls.key"), &third.key_pem).expect("the key");
    until("the third certificate", RELOAD_DEADLINE, || (served(&gateway) == third.certificate).then_some(()));
    assert_eq!((gateway.ops.metric(RELOADS, &["\"ok\""]), failed(&gateway)), (2.0, 2.0));

    // One that has expired is served, as there is no better one, and said aloud.
    expired.write(&folder("4"));
    point(&data, Path::new("4"));
    until("the certificate of 2020", RELOAD_DEADLINE, || {
        (gateway.ops.metric(EXPIRES, &[]) == 1_577_836_800.0).then_some(())
    });
    gateway.process.logged("the TLS certificate has expired (gateway.tls_certificate_file)", SOON);
    all_ok(&open.exchange(&request), 1);
    for pair in [&first, &second, &third, &expired] {
        let log = gateway.process.log();
        assert!(pair.key_pem.lines().skip(1).all(|line| !log.contains(&line[..16.min(line.len())])));
    }
}

#[test]
fn files_that_cannot_serve_are_refused_at_the_start() {
    let site = Site::bare("tls_start");
    let (pair, other) = (Pair::new(), Pair::new());
    pair.write(&site.path("good"));
    let write = |name: &str, content: &str| {
        fs::write(site.path(name), content).expect("a file");
        text(site.path(name))
    };
    let (certificate, key) = (text(site.path("good/tls.crt")), text(site.path("good/tls.key")));
    let other_key = write("other.key", &other.key_pem);
    let empty = write("empty", "");
    let absent = text(site.path("absent"));
    let hollow = write("hollow", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let chain =
        write("chain", &[pair.certificate_pem.as_str(), &fs::read_to_string(&hollow).unwrap()].concat());
    let torn = write("torn", &pair.key_pem.replace("-----END PRIVATE KEY-----", ""));
    let locked = write("locked", &pair.key_pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"));
    const CERTIFICATE: &str = "gateway.tls_certificate_file";
    const KEY: &str = "gateway.tls_key_file";
    for (certificate, key, named) in [
        (&*certificate, "", [CERTIFICATE, KEY, "or neither"]),
        ("", &*key, [CERTIFICATE, KEY, "or neither"]),
        (&*absent, &*key, [CERTIFICATE, "cannot read", "absent"]),
        (&*certificate, &*absent, [KEY, "cannot read", "absent"]),
        (&*certificate, &*other_key, [KEY, "must be the key of the first certificate", "good/tls.crt"]),
        (&*empty, &*key, [CERTIFICATE, "must have a certificate", "empty"]),
        (&*key, &*key, [CERTIFICATE, "must have a certificate", "tls.key"]),
        (&*hollow, &*key, [CERTIFICATE, "number 1", "hollow"]),
        (&*chain, &*key, [CERTIFICATE, "number 2", "chain"]),
        (&*certificate, &*certificate, [KEY, "must have a private key", "tls.crt"]),
        (&*certificate, &*torn, [KEY, "must have a private key", "torn"]),
        (&*certificate, &*locked, [KEY, "not encrypted", "locked"]),
    ] {
        let keys =
            [("WATTLINE_GATEWAY_TLS_CERTIFICATE_FILE", certificate), ("WATTLINE_GATEWAY_TLS_KEY_FILE", key)];
        let told = failure(&site, &keys, &["gateway"]);
        assert!(named.iter().all(|words| told.contains(words)), "{certificate} {key}: {told}");
        assert!(!told.contains(&pair.key_pem[40..60]), "{told}");
    }
}
