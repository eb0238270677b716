//! This machine: versions, files with secrets, ports.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::check::Check;
use super::{blocking, shown, words};
use crate::config::{self, Config};

const PORT_TIMEOUT: Duration = Duration::from_secs(3);
/// More than any page of metrics has.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn version() -> Check {
    let kafka = wattline_kafka::client_version();
    Check::ok("version", format!("wattline {VERSION}, librdkafka {kafka}"))
}

pub(super) async fn examine(config: Arc<Config>, file: Option<PathBuf>) -> Vec<Check> {
    let mut checks = vec![pepper(&config)];
    let asked = Arc::clone(&config);
    checks.push(match blocking(move || Ok(secrets(&asked, file.as_deref()))).await {
        Ok(check) => check,
        Err(cause) => Check::failed("secrets.files", words(&cause), "see whether their file system answers"),
    });
    for role in roles(&config) {
        let name = role.check;
        checks.push(match blocking(move || Ok(role.look())).await {
            Ok(check) => check,
            Err(cause) => Check::failed(name, words(&cause), "look at the log of what listens there"),
        });
    }
    checks
}

fn pepper(config: &Config) -> Check {
    match config.auth.pepper() {
        Ok(_) => Check::ok("secrets.pepper", "is there"),
        Err(cause) => Check::failed(
            "secrets.pepper",
            words(&cause),
            "gateways need it, the same everywhere; only a first one is made: openssl rand -hex 32",
        ),
    }
}

/// Whether somebody else of this machine may read what nobody may.
fn secrets(config: &Config, file: Option<&Path>) -> Check {
    let mut files: Vec<(&str, PathBuf)> = [
        ("auth.pepper_file", &config.auth.pepper_file),
        ("clickhouse.password_file", &config.clickhouse.password_file),
        ("kafka.sasl_password_file", &config.kafka.sasl_password_file),
        ("kafka.tls_key_file", &config.kafka.tls_key_file),
        ("gateway.tls_key_file", &config.gateway.tls_key_file),
        ("bucket.secret_access_key_file", &config.bucket.secret_access_key_file),
        ("bucket.account_key_file", &config.bucket.account_key_file),
        ("bucket.service_account_file", &config.bucket.service_account_file),
    ]
    .into_iter()
    .filter(|(_, file)| !file.is_empty())
    .map(|(key, file)| (key, file.into()))
    .collect();
    files.extend(file.filter(|file| has_secrets(file)).map(|file| ("the configuration", file.to_owned())));
    let mut open = Vec::new();
    for (key, path) in &files {
        match fs::metadata(path) {
            Ok(metadata) if metadata.mode() & 0o007 == 0 => {}
            Ok(_) => open.push((key, shown(path))),
            Err(cause) => {
                let found = format!("{} ({key}): {cause}", shown(path));
                return Check::failed("secrets.files", found, format!("put the secret there, or mend {key}"));
            }
        }
    }
    if open.is_empty() {
        return Check::ok("secrets.files", format!("{} files, of this user and its group only", files.len()));
    }
    let found: Vec<String> = open.iter().map(|(key, path)| format!("{path} ({key})")).collect();
    let paths: Vec<&str> = open.iter().map(|(_, path)| path.as_str()).collect();
    Check::failed(
        "secrets.files",
        format!("everybody on this machine may read {}", found.join(", ")),
        format!("type: chmod o= {}", paths.join(" ")),
    )
}

fn has_secrets(file: &Path) -> bool {
    let Ok(config) = config::read_file(file) else { return false };
    let has_password = config.directory.url.split_once("://").is_some_and(|(_, rest)| {
        rest.split_once('@').is_some_and(|(user, _)| user.contains(':')) || rest.contains("password=")
    });
    let secrets = [
        &config.auth.pepper,
        &config.clickhouse.password,
        &config.kafka.sasl_password,
        &config.bucket.secret_access_key,
        &config.bucket.account_key,
    ];
    let named = ["sasl.password", "ssl.key.password", "ssl.key.pem"];
    has_password
        || secrets.iter().any(|secret| !secret.is_empty())
        || named.iter().any(|name| config.kafka.properties.contains_key(*name))
}

/// What may run here, by its ports.
struct Role {
    check: &'static str,
    name: &'static str,
    /// The key and the address of what it serves to others; none of a worker.
    serves: Option<(&'static str, String)>,
    ops: (&'static str, String),
}

fn roles(config: &Config) -> [Role; 3] {
    let (gateway, worker, portal) = (&config.gateway, &config.worker, &config.portal);
    [
        Role {
            check: "ports.gateway",
            name: "gateway",
            serves: Some(("gateway.listen", gateway.listen.clone())),
            ops: ("gateway.ops_listen", gateway.ops_listen.clone()),
        },
        Role {
            check: "ports.worker",
            name: "worker",
            serves: None,
            ops: ("worker.ops_listen", worker.ops_listen.clone()),
        },
        Role {
            check: "ports.portal",
            name: "portal",
            serves: Some(("portal.listen", portal.listen.clone())),
            ops: ("portal.ops_listen", portal.ops_listen.clone()),
        },
    ]
}

impl Role {
    /// One that runs has its ports and answers; of one that does not, they are free.
    fn look(&self) -> Check {
        let addresses: Result<Vec<(&str, SocketAddr)>, _> = self
            .serves
            .iter()
            .chain([&self.ops])
            .map(|(key, listen)| listen.parse().map(|address| (*key, address)).map_err(|_| *key))
            .collect();
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(key) => {
                let found = format!("{key} is no address with a port");
                return Check::failed(
                    self.check,
                    found,
                    format!("set {key} = \"127.0.0.1:8080\" or the like"),
                );
            }
        };
        let answer = addresses.last().and_then(|(_, address)| get(*address, "/metrics").ok());
        if let Some(version) = answer.as_deref().and_then(running_version) {
            return self.running(&addresses, version);
        }
        let taken = addresses.iter().find_map(|(key, address)| Some((key, address, taken(*address)?)));
        match taken {
            None => Check::ok(self.check, format!("no {} runs here, and its ports are free", self.name)),
            Some((key, address, cause)) if cause.kind() == io::ErrorKind::AddrInUse => Check::failed(
                self.check,
                format!("{address} ({key}) is taken by something that is no {}", self.name),
                format!("see who it is: ss -ltnp 'sport = :{}'; stop it, or change {key}", address.port()),
            ),
            Some((key, address, cause)) => Check::failed(
                self.check,
                format!("nothing can listen on {address} ({key}): {cause}"),
                format!("mend {key}; this machine has these addresses: ip -brief address"),
            ),
        }
    }

    fn running(&self, addresses: &[(&str, SocketAddr)], version: &str) -> Check {
        let Some((_, ops)) = addresses.last() else { return Check::ok(self.check, "") };
        if version != VERSION {
            return Check::warning(
                self.check,
                format!("a {} of version {version} runs, and this is {VERSION}", self.name),
                format!("restart it: systemctl restart wattline-{}", self.name),
            );
        }
        match get(*ops, "/readyz") {
            Ok(answer) if answer.starts_with("HTTP/1.1 200") => {
                Check::ok(self.check, format!("a {} runs and is ready", self.name))
            }
            Ok(answer) => {
                let why = answer.lines().last().unwrap_or_default().trim().to_owned();
                let advice = "docs/operations.md, \"Health\", says what is meant; its log says more";
                Check::warning(self.check, format!("a {} runs: {why}", self.name), advice)
            }
            Err(cause) => {
                let advice = format!("look at its log: journalctl -u wattline-{}", self.name);
                Check::failed(
                    self.check,
                    format!("a {} runs and does not answer: {cause}", self.name),
                    advice,
                )
            }
        }
    }
}

/// The version of the Wattline whose metrics these are.
fn running_version(metrics: &str) -> Option<&str> {
    let (_, rest) = metrics.split_once("wattline_build_info{version=\"")?;
    Some(rest.split_once('"')?.0)
}

/// Why nothing can listen there.
fn taken(address: SocketAddr) -> Option<io::Error> {
    TcpListener::bind(address).err()
}

/// An answer with its head, as text.
fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(here, address.port()), PORT_TIMEOUT)?;
    stream.set_read_timeout(Some(PORT_TIMEOUT))?;
    stream.set_write_timeout(Some(PORT_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
