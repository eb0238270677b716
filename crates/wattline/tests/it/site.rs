//! A deployment for one test: names of its own on the shared services, and its processes.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wattline_kafka::{Connection, Reader, TopicPartition};

use crate::http::{self, Request};
use crate::points::now_ms;
use crate::process::{Process, until};

const START_DEADLINE: Duration = Duration::from_secs(30);
const STORED_DEADLINE: Duration = Duration::from_secs(60);

/// Told to no log.
pub const PEPPER: &str = "a-pepper-for-tests-of-enough-bytes";

/// Sites at once: each has two processes and tables of its own, and the machine may be small.
const SITES_MAX: u32 = 3;

static PLACES: Places = Places { free: Mutex::new(SITES_MAX), freed: Condvar::new() };

struct Places {
    free: Mutex<u32>,
    freed: Condvar,
}

/// A site's place among those that may be there at once.
struct Place;

impl Place {
    fn take() -> Self {
        let free = PLACES.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            PLACES.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        PLACES.freed.notify_one();
    }
}

pub struct Site {
    name: String,
    kafka: String,
    pub clickhouse: String,
    folder: TempDir,
    /// What every process is started with besides: keys as in the environment.
    keys: Vec<(String, String)>,
    processes: AtomicU32,
    _place: Place,
}

/// The points of a site, by where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    pub kafka: u64,
    pub clickhouse: u64,
    pub parquet: u64,
    pub rejected: u64,
    pub duplicates: u64,
}

/// What a process is started with besides the settings of the site: keys as in the environment.
pub type Keys<'a> = &'a [(&'a str, &'a str)];

impl Site {
    pub const PARTITIONS: u32 = 3;

    /// A site whose topics, tables and directory are there.
    pub fn new(test: &str) -> Self {
        let site = Site::bare(test);
        site.run(&["migrate"]);
        site
    }

    /// A site that `wattline migrate` has not seen.
    pub fn bare(test: &str) -> Self {
        Site::with(test, &[])
    }

    /// The same, with keys that all its processes have.
    pub fn with(test: &str, keys: Keys<'_>) -> Self {
        let kafka = service("WATTLINE_TEST_KAFKA");
        let clickhouse = service("WATTLINE_TEST_CLICKHOUSE");
        let place = Place::take();
        let name = format!("it_{test}_{}_{:x}", std::process::id(), now_ms());
        let folder = TempDir::with_prefix("wattline-it-").expect("a temporary folder");
        let keys = keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Site { name, kafka, clickhouse, folder, keys, processes: AtomicU32::new(0), _place: place }
    }

    pub fn database(&self) -> &str {
        &self.name
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn parquet(&self) -> PathBuf {
        self.path("parquet")
    }

    pub fn topic(&self, of: &str) -> String {
        format!("{}.{of}", self.name)
    }

    pub fn kafka(&self) -> Connection {
        Connection { brokers: self.kafka.clone(), properties: Default::default() }
    }

    pub fn command(&self, keys: Keys<'_>, arguments: &[&str]) -> Command {
        let folder = |name: &str| self.path(name).display().to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_wattline"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("RUST_BACKTRACE", "1")
            .env("WATTLINE_LOG_FORMAT", "json")
            .env("WATTLINE_KAFKA_BROKERS", &self.kafka)
            .env("WATTLINE_KAFKA_TOPIC_INTERVALS", self.topic("intervals"))
            .env("WATTLINE_KAFKA_TOPIC_COUNTERS", self.topic("counters"))
            .env("WATTLINE_KAFKA_TOPIC_REJECTED", self.topic("rejected"))
            .env("WATTLINE_KAFKA_PARTITIONS", Site::PARTITIONS.to_string())
            .env("WATTLINE_DIRECTORY_URL", format!("sqlite://{}", folder("directory.db")))
            .env("WATTLINE_AUTH_PEPPER", PEPPER)
            .env("WATTLINE_GATEWAY_LISTEN", "127.0.0.1:0")
            .env("WATTLINE_GATEWAY_OPS_LISTEN", "127.0.0.1:0")
            .env("WATTLINE_WORKER_OPS_LISTEN", "127.0.0.1:0")
            .env("WATTLINE_PORTAL_LISTEN", "127.0.0.1:0")
            .env("WATTLINE_PORTAL_OPS_LISTEN", "127.0.0.1:0")
            .env("WATTLINE_WORKER_GROUP", &self.name)
            .env("WATTLINE_WORKER_FLUSH_MS", "200")
            .env("WATTLINE_WORKER_SESSION_TIMEOUT_MS", "6000")
            .env("WATTLINE_CLICKHOUSE_URL", &self.clickhouse)
            .env("WATTLINE_CLICKHOUSE_DATABASE", &self.name)
            .env("WATTLINE_PARQUET_DIR", folder("parquet"))
            .env("WATTLINE_PARQUET_FILE_AGE_MAX_MS", "500");
        let own = self.keys.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        command.envs(own.chain(keys.iter().copied()));
        command
    }

    pub fn output(&self, arguments: &[&str]) -> Output {
        self.command(&[], arguments).output().expect("the binary starts")
    }

    /// Runs a command that has to succeed and gives what it printed.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "wattline {arguments:?} ended with {}: {errors}", output.status);
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn token(&self, client: &str) -> String {
        self.run(&["token", "create", "--client", client]).trim().to_owned()
    }

    /// Imports devices that declare nothing but their ids.
    pub fn import(&self, client: &str, devices: &[&str]) {
        let line = |id: &&str| serde_json::json!({ "client": client, "device_id": id }).to_string();
        let lines: Vec<String> = devices.iter().map(line).collect();
        self.import_lines(&lines.join("\n"));
    }

    pub fn import_lines(&self, lines: &str) {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        let file = self.path(&format!("devices-{number}.jsonl"));
        fs::write(&file, lines).expect("the file of devices");
        self.run(&["devices", "import", file.to_str().expect("a path in UTF-8")]);
    }

    /// What `wattline audit` counts, everything being demanded; it has to be exact.
    #[track_caller]
    pub fn audit(&self) -> Audit {
        let output = self.output(&["audit", "--json", "--complete"]);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: the audit said {}", String::from_utf8_lossy(&output.stderr))
        });
        assert!(report["exact"] == true && output.status.success(), "{report:#}");
        let count = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {report:#}"));
        Audit {
            kafka: count("kafka_points"),
            clickhouse: count("clickhouse_points"),
            parquet: count("parquet_points"),
            rejected: count("rejected"),
            duplicates: count("duplicates"),
        }
    }

    fn start(&self, role: &str, keys: Keys<'_>) -> Process {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        Process::start(format!("{role}-{number}"), self.command(keys, &[role]), self.folder.path())
    }

    /// A gateway that is ready.
    pub fn gateway(&self, keys: Keys<'_>) -> Gateway {
        let mut process = self.start("gateway", keys);
        let line = process.logged("gateway", START_DEADLINE);
        let address = |key: &str| line[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        let gateway = Gateway { address: address("listen"), ops: Ops(address("ops")), process };
        gateway.ops.wait_until_ready();
        gateway
    }

    /// A portal that listens.
    pub fn portal(&self, keys: Keys<'_>) -> Portal {
        let mut process = self.start("portal", keys);
        let line = process.logged("portal", START_DEADLINE);
        let address = |key: &str| line[key].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Portal { address: address("listen"), ops: Ops(address("ops")), process }
    }

    /// A worker that is ready.
    pub fn worker(&self, keys: Keys<'_>) -> Worker {
        let mut process = self.start("worker", keys);
        let line = process.logged("worker", START_DEADLINE);
        let ops = Ops(line["ops"].as_str().and_then(|text| text.parse().ok()).expect("an address"));
        ops.wait_until_ready();
        Worker { ops, process }
    }

    /// Waits until the worker has committed all that is in Kafka: then both sinks have it.
    #[track_caller]
    pub fn wait_until_stored(&self) {
        let connection = self.kafka();
        let reader = Reader::new(&connection).expect("a reader");
        for topic in [self.topic("intervals"), self.topic("counters")] {
            for partition in 0..Site::PARTITIONS as i32 {
                let (_, end) = reader.watermarks(&topic, partition).expect("the offsets of a partition");
                if end == 0 {
                    continue;
                }
                until(&format!("{topic}/{partition} is stored up to {end}"), STORED_DEADLINE, || {
                    let of = TopicPartition { topic: topic.as_str().into(), partition };
                    let committed = Reader::committed(&connection, &self.name, &[of]).ok()?;
                    committed.into_iter().flatten().next().filter(|(offset, _)| *offset >= end)
                });
            }
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // The database of a test that failed stays, to be looked at.
        if !std::thread::panicking() {
            http::post_text(&self.clickhouse, &format!("DROP DATABASE IF EXISTS {}", self.name));
        }
    }
}

/// A command that has to fail, and what it says.
#[track_caller]
pub fn failure(site: &Site, keys: Keys<'_>, arguments: &[&str]) -> String {
    let output = site.command(keys, arguments).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
pub fn service(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: `cargo xtask test -- -p wattline` starts the services and sets it")
    })
}

pub struct Gateway {
    pub address: SocketAddr,
    pub ops: Ops,
    pub process: Process,
}

pub struct Portal {
    pub address: SocketAddr,
    pub ops: Ops,
    pub process: Process,
}

pub struct Worker {
    pub ops: Ops,
    pub process: Process,
}

/// The operations port of a process.
pub struct Ops(SocketAddr);

impl Ops {
    pub fn address(&self) -> SocketAddr {
        self.0
    }

    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let answer = http::try_exchange(self.0, &Request::new("GET", path)).ok()?;
        Some((answer.status, answer.text()))
    }

    #[track_caller]
    pub fn wait_until_ready(&self) {
        let mut last = None;
        until("readiness", START_DEADLINE, || {
            last = self.get("/readyz");
            last.as_ref().filter(|(status, _)| *status == 200).map(drop)
        });
    }

    /// The sum of all samples of a metric whose line has these words.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let (_, text) = self.get("/metrics").expect("the metrics");
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
                && labels.iter().all(|label| line.contains(label))
        });
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}

/// All files of a folder and of the folders in it.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files.sort();
    files
}
