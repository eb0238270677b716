//! `load`: a scenario of the fleet on the real services, and a page that shows what it did to them.

mod page;
mod plot;
mod sample;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::page::Run;
use self::sample::Sampler;
use crate::cargo::{self, Profile};
use crate::demo::CLIENT;
use crate::demo::account::Audit;
use crate::demo::site::Site;
use crate::fault::within;
use crate::services::{self, Data};
use crate::stack::Stack;
use crate::{paths, prerequisites, process};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Beyond the scenario's own time: the setting up, what is sent again, the storing, the audit.
const GRACE: Duration = Duration::from_secs(20 * 60);
const STORED_DEADLINE: Duration = Duration::from_secs(10 * 60);
const FLEET: &str = "fleet";

#[derive(Args)]
pub struct Options {
    /// A name of load-tests/scenarios, or a file.
    scenario: String,
    /// Write the page here.
    #[arg(long)]
    report: PathBuf,
    /// Build without optimisation, which takes less time.
    #[arg(long)]
    dev: bool,
    /// Use the binaries that the last build of the profile left.
    #[arg(long)]
    no_build: bool,
}

/// What of a scenario is of interest here.
#[derive(Debug, Deserialize)]
pub struct Scenario {
    description: String,
    devices: u32,
    gateways: u32,
    seconds: u64,
}

/// The fleet's own report.
#[derive(Debug, Deserialize)]
pub struct Fleet {
    points_sent: u64,
    points_ok: u64,
    points_failed: u64,
    good_points_failed: u64,
    requests: u64,
    resends: u64,
    requests_not_answered: BTreeMap<String, u64>,
    http_status: BTreeMap<u16, u64>,
    latency_ms: LatencyMs,
    seconds: f64,
}

#[derive(Debug, Deserialize)]
pub struct LatencyMs {
    p99: f64,
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("load"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let profile = if options.dev { Profile::Dev } else { Profile::Release };
    let binaries = binaries(options, profile)?;
    let file = file_of(&options.scenario)?;
    let fleet = binaries.join("wattline-fleet");
    let text = process::output(Command::new(&fleet).arg("scenario").arg(&file))?;
    let scenario: Scenario = serde_json::from_str(&text).context("reading the scenario")?;
    within(Duration::from_secs(scenario.seconds) + GRACE, "load", || {
        carry(options, &binaries, &file, &scenario)
    })
}

fn carry(options: &Options, binaries: &Path, file: &Path, scenario: &Scenario) -> anyhow::Result<ExitCode> {
    let mut stack = Stack::open(folder()?)?;
    stack.stop()?;
    let broker = services::prepare_kafka()?;
    let services = services::start(&mut stack, &broker, Data::Fresh)?;
    let site = set_up(&mut stack, &services, binaries, file, scenario)?;

    println!("{} The fleet posts for {} s …", scenario.description, scenario.seconds);
    let (report, timeline) = (stack.folder().join("fleet.json"), stack.folder().join("timeline.jsonl"));
    let mut command = Command::new(binaries.join("wattline-fleet"));
    command.args(["run", "--url", site.url(), "--token-file"]).arg(site.token_file());
    command.arg("--scenario").arg(file).arg("--report").arg(&report).arg("--timeline").arg(&timeline);
    stack.start(FLEET, &mut command)?;
    let mut sampler = Sampler::start(&mut stack);
    while stack.service(FLEET).is_some_and(|fleet| fleet.is_alive()) {
        std::thread::sleep(LOOK_EVERY);
        sampler.look(&mut stack, &site);
    }
    let service = stack.service(FLEET).context("the fleet")?;
    let status = service.wait(LOOK_EVERY)?;
    let log = service.log.clone();
    stack.forget(FLEET)?;
    ensure!(status.success(), "the fleet ended with {status}:\n{}", process::log_tail(&log));
    let fleet: Fleet = read(&report)?;
    println!("{} points were answered OK; waiting until all is stored …", fleet.points_ok);
    let (audit, drained_s) = wait_until_stored(&mut stack, &site, &mut sampler)?;

    let lines = fs::read_to_string(&timeline).context("reading the fleet's timeline")?;
    let seconds: Result<Vec<_>, _> = lines.lines().map(serde_json::from_str).collect();
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let run = Run {
        name: &name,
        scenario,
        fleet: &fleet,
        seconds: &seconds.context("reading the fleet's timeline")?,
        samples: &sampler.samples,
        audit: &audit,
        drained_s,
        profile: if options.dev { "dev" } else { "release" },
    };
    fs::write(&options.report, page::page(&run))
        .with_context(|| format!("writing {}", options.report.display()))?;
    println!("The page is {}", options.report.display());
    stack.stop()?;
    Ok(if audit.exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn binaries(options: &Options, profile: Profile) -> anyhow::Result<PathBuf> {
    prerequisites::for_build()?;
    if options.no_build {
        return Ok(paths::target()?.join(if options.dev { "debug" } else { "release" }));
    }
    println!("Building wattline and the fleet (the first time takes some minutes) …");
    cargo::build(&["-p", "wattline", "-p", "wattline-fleet"], profile)
}

/// A scenario's file, by its name or its path.
fn file_of(scenario: &str) -> anyhow::Result<PathBuf> {
    let by_name = paths::root().join("load-tests/scenarios").join(format!("{scenario}.toml"));
    for file in [by_name, PathBuf::from(scenario)] {
        if file.is_file() {
            return file.canonicalize().with_context(|| format!("finding {}", file.display()));
        }
    }
    bail!("no scenario {scenario:?}: neither in load-tests/scenarios nor a file")
}

fn set_up(
    stack: &mut Stack,
    services: &services::Services,
    binaries: &Path,
    file: &Path,
    scenario: &Scenario,
) -> anyhow::Result<Site> {
    println!("Setting up: topics, tables, a client with a token and {} devices …", scenario.devices);
    let site = Site::new(stack, services, binaries, "")?;
    site.run(&["migrate"])?;
    site.create_token(CLIENT)?;
    let devices = stack.folder().join("devices.jsonl");
    let mut list = Command::new(binaries.join("wattline-fleet"));
    list.args(["devices", "--client", CLIENT, "--scenario"])
        .arg(file)
        .stdout(fs::File::create(&devices).with_context(|| format!("creating {}", devices.display()))?);
    process::run(&mut list)?;
    site.import_devices(&devices)?;
    site.serve(stack)?;
    Ok(site)
}

/// Looks on until ClickHouse has everything, then asks until Kafka and both sinks agree: files come a few seconds
/// later, in a rhythm of their own. At the deadline the last audit stands.
fn wait_until_stored(stack: &mut Stack, site: &Site, sampler: &mut Sampler) -> anyhow::Result<(Audit, f64)> {
    let began = Instant::now();
    while sampler.look(stack, site).lag_records > 0.0 {
        stack.check()?;
        ensure!(began.elapsed() < STORED_DEADLINE, "the worker does not catch up");
        std::thread::sleep(LOOK_EVERY);
    }
    let stored_s = began.elapsed().as_secs_f64();
    loop {
        stack.check()?;
        let audit = site.audit(true)?;
        if audit.exact || began.elapsed() > STORED_DEADLINE {
            return Ok((audit, stored_s));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}
