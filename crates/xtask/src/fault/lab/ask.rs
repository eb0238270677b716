//! Questions to the parts of the lab, and the tools that reach past Wattline.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{ASK_TIMEOUT, Lab, WORKERS};
use crate::{http, process};

impl Lab {
    /// The engine itself, past the proxy.
    pub fn clickhouse(&self) -> String {
        self.engine.url()
    }

    pub fn sql(&self, query: &str) -> anyhow::Result<String> {
        const TIMEOUT: Duration = Duration::from_secs(120);
        http::post(&self.clickhouse(), query, TIMEOUT)
    }

    /// Runs what stands behind Kafka's `kafka-consumer-groups.sh`.
    pub fn consumer_groups(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(self.node.consumer_groups().args(arguments))
    }

    pub fn bootstrap(&self) -> &str {
        &self.node.bootstrap
    }

    /// Does something to a topic, behind Wattline's back.
    pub fn topic_fault(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.binaries.join("topic-fault"));
        process::run(command.arg(&self.node.bootstrap).args(arguments))
    }

    pub fn log_tail(&self, name: &str) -> String {
        process::log_tail(&self.stack.log(name))
    }

    /// Where a worker or the gateway tells of itself.
    pub fn operations(&self, name: &str) -> String {
        match WORKERS.iter().position(|worker| *worker == name) {
            Some(number) => format!("http://127.0.0.1:{}", self.worker_operations[number]),
            None => self.site.operations()[0].clone(),
        }
    }

    pub fn metrics(&self, name: &str) -> anyhow::Result<String> {
        http::get(&format!("{}/metrics", self.operations(name)), ASK_TIMEOUT)
    }

    /// Memory of a process, in bytes.
    pub fn resident_bytes(&mut self, name: &str) -> Option<u64> {
        let pid = self.stack.service(name)?.pid;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib * 1024)
    }

    pub fn parquet(&self) -> PathBuf {
        self.site.folder().join("parquet")
    }

    pub fn folder(&self) -> &Path {
        self.stack.folder()
    }

    /// One number of a process's metrics; 0 for what has not happened yet.
    pub fn metric(&self, process: &str, name: &str, labels: &[&str]) -> anyhow::Result<u64> {
        let metrics = self.metrics(process)?;
        let line = metrics.lines().find(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        let value: Option<f64> = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
        Ok(value.unwrap_or(0.0) as u64)
    }
}
