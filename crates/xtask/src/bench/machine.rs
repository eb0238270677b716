//! Where and of what the figures are.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde::Serialize;

use super::ground::Ground;
use crate::{paths, process};

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_gib: f64,
    pub kernel: String,
    /// What else it had to do: the load of the last minute, at the start.
    pub load: f64,
}

impl Machine {
    pub fn of_this() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let cpu =
            cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|of| of.1));
        let memory = read("/proc/meminfo");
        let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib: Option<f64> = kib.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok());
        let load = read("/proc/loadavg").split(' ').next().and_then(|load| load.parse().ok());
        Machine {
            cpu: cpu.unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kib.unwrap_or(0.0) / f64::from(1 << 20) * 10.0).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.unwrap_or(0.0),
        }
    }
}

pub fn versions(ground: Option<&Ground>) -> BTreeMap<&'static str, String> {
    let mut versions = BTreeMap::new();
    let first_line = |text: anyhow::Result<String>| {
        text.ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or("unknown".to_owned())
    };
    let said_by = |program: &str, arguments: &[&str]| {
        first_line(process::output(Command::new(program).args(arguments).current_dir(paths::root())))
    };
    versions.insert("wattline", said_by("git", &["describe", "--always", "--dirty"]));
    versions.insert("rustc", said_by("rustc", &["--version"]));
    for (of, name) in [("librdkafka", "rdkafka-sys"), ("hyper", "hyper"), ("simd-json", "simd-json")] {
        versions.insert(of, locked_version(name));
    }
    let pom = fs::read_to_string(paths::root().join("deploy/local/kafka/pom.xml")).unwrap_or_default();
    let kafka = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<'));
    versions.insert("kafka", kafka.map_or("unknown", |(version, _)| version).to_owned());
    if let Some(ground) = ground {
        versions.insert("clickhouse", first_line(ground.sql("SELECT version()")));
    }
    versions
}

/// The version of a crate that the workspace builds with.
pub fn locked_version(name: &str) -> String {
    let lock = fs::read_to_string(paths::root().join("Cargo.lock")).unwrap_or_default();
    locked(&lock, name)
}

fn locked(lock: &str, name: &str) -> String {
    let entry = lock.split_once(&format!("name = \"{name}\"\nversion = \""));
    entry.and_then(|(_, rest)| rest.split('"').next()).unwrap_or("unknown").to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_those_of_the_lock() {
        let lock = "name = \"hyper-util\"\nversion = \"0.1.2\"\n\nname = \"hyper\"\nversion = \"1.12.0\"\nx";
        assert_eq!(super::locked(lock, "hyper"), "1.12.0");
        assert_eq!(super::locked(lock, "none"), "unknown");
    }
}
