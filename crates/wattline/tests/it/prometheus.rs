//! Prometheus and its node exporter, as Debian has them, as processes of a test.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::http;
use crate::process::{Process, until};

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Starts one of the two on a free port, which it tells in its log.
pub fn start(name: &str, command: Command, folder: &Path) -> (Process, SocketAddr) {
    let program = command.get_program().to_os_string();
    let is_there =
        Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(is_there, "{} is not on this machine: `cargo xtask test` installs it", program.display());
    let mut process = Process::start(name.to_owned(), command, folder);
    let address = until(&format!("the port of {name}"), START_DEADLINE, || {
        if let Some(status) = process.ended() {
            panic!("{name} ended with {status}: {}", process.log());
        }
        let log = process.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let line = lines.find(|line| line["msg"] == "Listening on")?;
        line["address"].as_str()?.parse().ok()
    });
    (process, address)
}

/// A Prometheus that scrapes these targets every second.
pub fn prometheus(
    folder: &Path,
    targets: &[(&str, Vec<SocketAddr>)],
    rules: &[(&str, String)],
) -> (Process, SocketAddr) {
    fs::create_dir(folder).expect("a folder");
    for (name, text) in rules {
        fs::write(folder.join(name), text).expect("the rules");
    }
    let jobs: Vec<Value> = targets
        .iter()
        .map(|(job, addresses)| json!({ "job_name": job, "static_configs": [{ "targets": addresses }] }))
        .collect();
    let files: Vec<&str> = rules.iter().map(|(name, _)| *name).collect();
    // JSON is YAML.
    let config = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": files,
        "scrape_configs": jobs,
    });
    fs::write(folder.join("prometheus.yaml"), config.to_string()).expect("the configuration");
    let mut command = Command::new("prometheus");
    command
        .args(["--web.listen-address=127.0.0.1:0", "--log.format=json", "--storage.tsdb.retention.time=1h"])
        .arg(format!("--config.file={}", folder.join("prometheus.yaml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
    start("prometheus", command, folder)
}

/// An answer of Prometheus' API; an error is an answer too.
#[track_caller]
pub fn get(address: SocketAddr, path: &str, parameters: &[(&str, &str)]) -> Value {
    let url = format!("http://{address}{path}");
    let request = http::agent().get(&url).query_pairs(parameters.iter().copied());
    let mut response = request.call().unwrap_or_else(|error| panic!("GET {url}: {error}"));
    response.body_mut().read_json().unwrap_or_else(|error| panic!("GET {url}: {error}"))
}
