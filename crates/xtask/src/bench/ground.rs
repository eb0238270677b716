//! Where it is measured: the services, and as many installations of Wattline beside each other as a
//! measurement compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;

use super::figures;
use super::replay::{Plan, Replay, Target};
use crate::demo::CLIENT;
use crate::demo::site::{SITE_PREFIX, Site};
use crate::http;
use crate::process::wait_for;
use crate::services::{self, Broker, Data, Services, clickhouse, kafka};
use crate::stack::Stack;

const READY_DEADLINE: Duration = Duration::from_secs(180);
/// The first points of many devices wait for as many look-ups.
const STORED_DEADLINE: Duration = Duration::from_secs(1_800);
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
const END_DEADLINE: Duration = Duration::from_secs(120);
const SQL_TIMEOUT: Duration = Duration::from_secs(60);

pub struct Ground {
    pub stack: Stack,
    pub services: Services,
    pub binaries: PathBuf,
    pub jars: kafka::Jars,
    pub is_quick: bool,
}

impl Ground {
    pub fn open(folder: PathBuf, binaries: PathBuf, is_quick: bool) -> anyhow::Result<Ground> {
        let mut stack = Stack::open(folder)?;
        stack.stop()?;
        let broker = services::prepare_kafka()?;
        let services = services::start(&mut stack, &broker, Data::Fresh)?;
        let Broker::Kafka(jars) = broker else { bail!("a measurement needs Kafka itself") };
        Ok(Ground { stack, services, binaries, jars, is_quick })
    }

    /// The longer of two for a full run.
    pub fn or_quick<T>(&self, full: T, quick: T) -> T {
        if self.is_quick { quick } else { full }
    }

    pub fn replay(&self, plan: &Plan) -> anyhow::Result<Replay> {
        Replay::start(&self.binaries, self.stack.folder(), plan)
    }

    pub fn sql(&self, query: &str) -> anyhow::Result<String> {
        http::post(&self.services.clickhouse, query, SQL_TIMEOUT)
    }

    /// SIGTERM. Returns the CPU time of the process's whole life.
    pub fn end(&mut self, name: &str) -> anyhow::Result<f64> {
        let service = self.stack.service(name).with_context(|| format!("{name} was not started"))?;
        let pid = service.pid;
        service.signal(Signal::TERM);
        // Not waited for yet, the process still has its figures.
        wait_for(&format!("the end of {name}"), END_DEADLINE, || Ok(figures::has_ended(pid)?.then_some(())))?;
        let cpu_s = figures::cpu_s(pid)?;
        let status = service.wait(END_DEADLINE)?;
        self.stack.forget(name)?;
        ensure!(
            status.success(),
            "{name} ended with {status}; its log is {}",
            self.stack.log(name).display()
        );
        Ok(cpu_s)
    }

    /// Stops what a measurement has started and not ended, as one that failed has not.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        let names: Vec<String> = self.stack.services().iter().map(|service| service.name.clone()).collect();
        for name in
            names.iter().filter(|name| ![kafka::SERVICE, clickhouse::SERVICE].contains(&name.as_str()))
        {
            if let Some(service) = self.stack.service(name) {
                service.stop()?;
            }
            self.stack.forget(name)?;
        }
        Ok(())
    }

    /// Stops everything and removes what was stored; logs stay. Where that fails it is said, and nothing that was
    /// measured is lost.
    pub fn remove(self) {
        if let Err(error) = self.try_remove() {
            eprintln!("error: {error:#}");
        }
    }

    fn try_remove(mut self) -> anyhow::Result<()> {
        self.stack.stop()?;
        let folder = self.stack.folder();
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if [kafka::SERVICE, clickhouse::SERVICE].contains(&&*name) || name.starts_with(SITE_PREFIX) {
                fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The bare handler; it serves any number of requests from any client.
    pub fn start_bare(&mut self) -> anyhow::Result<Target> {
        const NAME: &str = "bare";
        let mut command = Command::new(self.binaries.join("wattline-bare"));
        let pid = self.stack.start(NAME, &mut command)?.pid;
        let log = self.stack.log(NAME);
        let url = wait_for("the address of the bare handler", READY_DEADLINE, || {
            self.stack.check()?;
            let text = fs::read_to_string(&log)?;
            Ok(text.ends_with('\n').then(|| text.trim().to_owned()))
        })?;
        // It looks at no token; the file only has to be there.
        Ok(Target { name: NAME.to_owned(), url, pid, token_file: log, devices: 0 })
    }
}

/// One installation: topics, tables, a directory with devices, a gateway and a worker of its own.
pub struct Place {
    pub name: &'static str,
    pub site: Site,
    pub devices: u32,
    /// Where its worker puts its files.
    pub files: PathBuf,
    /// How long the import of the devices took.
    pub import: Duration,
}

impl Place {
    /// An installation with so many devices of the fleet, and nothing started.
    pub fn new(ground: &Ground, name: &'static str, devices: u32) -> anyhow::Result<Place> {
        let mut site = Site::beside_others(&ground.stack, &ground.services, &ground.binaries, name)?;
        for (variable, value) in [
            ("WATTLINE_KAFKA_TOPIC_INTERVALS", format!("{name}.intervals")),
            ("WATTLINE_KAFKA_TOPIC_COUNTERS", format!("{name}.counters")),
            ("WATTLINE_KAFKA_TOPIC_REJECTED", format!("{name}.rejected")),
            ("WATTLINE_WORKER_GROUP", name.to_owned()),
            ("WATTLINE_CLICKHOUSE_DATABASE", database(name)),
            ("WATTLINE_PARQUET_FILE_AGE_MAX_MS", "300000".to_owned()),
        ] {
            site.set(variable, &value);
        }
        site.run(&["migrate"])?;
        site.create_token(CLIENT)?;
        let began = Instant::now();
        import(ground, &site, devices)?;
        let files = site.folder().join("parquet");
        Ok(Place { name, site, devices, files, import: began.elapsed() })
    }

    pub fn gateway(&self) -> String {
        format!("{}-gateway", self.name)
    }

    pub fn worker(&self) -> String {
        format!("{}-worker", self.name)
    }

    pub fn database(&self) -> String {
        database(self.name)
    }

    /// From here on a worker is one of a new group, with tables and files of its own, and finds all records anew.
    pub fn begin_group(&mut self, number: usize) -> anyhow::Result<()> {
        let name = format!("{}-{number}", self.name);
        self.files = self.site.folder().join(&name);
        self.site.set("WATTLINE_PARQUET_DIR", &self.files.display().to_string());
        self.site.set("WATTLINE_CLICKHOUSE_DATABASE", &database(&name));
        self.site.set("WATTLINE_WORKER_GROUP", &name);
        self.site.run(&["migrate"])
    }

    pub fn start_gateway(&self, ground: &mut Ground) -> anyhow::Result<Target> {
        let pid = self.start(ground, "gateway", &self.gateway(), 0)?;
        Ok(Target {
            name: self.name.to_owned(),
            url: self.site.url().to_owned(),
            pid,
            token_file: self.site.token_file(),
            devices: self.devices,
        })
    }

    pub fn start_worker(&self, ground: &mut Ground) -> anyhow::Result<i32> {
        self.start(ground, "worker", &self.worker(), 1)
    }

    fn start(&self, ground: &mut Ground, role: &str, name: &str, operations: usize) -> anyhow::Result<i32> {
        let pid = ground.stack.start(name, &mut self.site.command(&[role]))?.pid;
        let url = format!("{}/readyz", self.site.operations()[operations]);
        wait_for(&format!("the readiness of {name}"), READY_DEADLINE, || {
            ground.stack.check()?;
            Ok(http::get(&url, ASK_TIMEOUT).ok().map(|_| ()))
        })
        .with_context(|| format!("the log is {}", ground.stack.log(name).display()))?;
        Ok(pid)
    }

    /// The sum of a worker's metric over its labels.
    pub fn worker_metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = http::get(&format!("{}/metrics", self.site.operations()[1]), ASK_TIMEOUT)?;
        Ok(sum(&text, name))
    }

    /// Waits until ClickHouse has so many points.
    pub fn wait_stored(&self, ground: &mut Ground, points: u64) -> anyhow::Result<()> {
        wait_for(&format!("{points} points stored"), STORED_DEADLINE, || {
            ground.stack.check()?;
            // What a process says of itself costs it something: it is asked no more often than by Prometheus.
            std::thread::sleep(Duration::from_secs(1));
            let stored = self.worker_metric("wattline_worker_points_total")?;
            ensure!(stored <= points as f64, "{stored} points are stored and {points} were sent");
            Ok((stored == points as f64).then_some(()))
        })
    }
}

fn database(name: &str) -> String {
    format!("wattline_{}", name.replace('-', "_"))
}

/// From one process to the other: the lines of millions of devices need no file.
fn import(ground: &Ground, site: &Site, devices: u32) -> anyhow::Result<()> {
    let mut list = Command::new(ground.binaries.join("wattline-fleet"))
        .args(["devices", "--count", &devices.to_string(), "--client", CLIENT])
        .stdout(Stdio::piped())
        .spawn()
        .context("listing devices")?;
    let lines = list.stdout.take().context("the list of devices")?;
    let status = site
        .command(&["devices", "import", "-"])
        .stdin(lines)
        .stdout(Stdio::null())
        .status()
        .context("importing devices")?;
    let listed = list.wait().context("listing devices")?;
    ensure!(status.success() && listed.success(), "the import of {devices} devices ended with {status}");
    Ok(())
}

pub fn sum(metrics: &str, name: &str) -> f64 {
    let of_name = metrics
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    of_name.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

/// Bytes of the values of all records of some topics, as they were before compression.
pub fn record_bytes(ground: &Ground, topics: &[String]) -> anyhow::Result<u64> {
    let data = ground.stack.folder().join(kafka::SERVICE).join("data");
    let mut files = Vec::new();
    for entry in fs::read_dir(&data).with_context(|| format!("reading {}", data.display()))? {
        let partition = entry?.path();
        let name = partition.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_wanted = |topic: &String| name.strip_prefix(topic).is_some_and(|rest| rest.starts_with('-'));
        if topics.iter().any(is_wanted) {
            files.append(&mut segments(&partition)?);
        }
    }
    ground.jars.value_bytes(&files)
}

fn segments(partition: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(partition).with_context(|| format!("reading {}", partition.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            segments.push(path);
        }
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let text = "# TYPE a counter\na{t=\"1\"} 3\na{t=\"2\"} 4.5\nab 9\na_total 1\n";
        assert_eq!(super::sum(text, "a"), 7.5);
        assert_eq!(super::sum(text, "none"), 0.0);
    }
}
