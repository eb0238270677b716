//! `demo`: the whole of Wattline on this machine, from an empty folder to counted points.

pub mod account;
mod answers;
mod live;
pub mod site;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;

use self::account::{Account, Audit, FleetReport};
use self::site::Site;
use crate::cargo::{self, Profile};
use crate::services::{self, Broker, Data, Services};
use crate::stack::Stack;
use crate::{paths, prerequisites};

/// How long the fleet may take beyond its seconds: it sends again what was not confirmed.
const FLEET_GRACE: Duration = Duration::from_secs(90);
const STORED_DEADLINE: Duration = Duration::from_secs(180);
const STORED_POLL_INTERVAL: Duration = Duration::from_secs(1);
const FLEET_SEED: &str = "7";
const FLEET_GATEWAYS: &str = "16";
/// A battery has a point every five minutes; the fleet begins a day ago and ends at the present.
const POINTS_PER_DEVICE: u32 = 24 * 12;
pub const CLIENT: &str = "demo";

#[derive(Args)]
pub struct Options {
    /// Write the counts to this file, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Leave everything running at the end, with a page to open, and say where and how to use it.
    #[arg(long)]
    keep: bool,
    /// How long the fleet posts.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// How many batteries the fleet has.
    #[arg(long, default_value_t = 2_000)]
    devices: u32,
    /// Use librdkafka's mock broker even where Kafka can be had.
    #[arg(long)]
    mock_broker: bool,
    /// Build without optimisation, which takes less time.
    #[arg(long)]
    dev: bool,
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("demo"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let binaries = build(options)?;
    let mut stack = Stack::open(folder()?)?;
    stack.stop()?;
    let broker = choose_broker(options)?;
    let services = services::start(&mut stack, &broker, Data::Fresh)?;
    let site = set_up(&mut stack, &services, &binaries, options)?;

    let started = Instant::now();
    let fleet = post(&mut stack, &site, &binaries, options)?;
    let audit = wait_until_stored(&mut stack, &site, &fleet)?;
    let account = Account::new(fleet, audit, started.elapsed());

    println!("\n{}", account.table());
    answers::print(&services.clickhouse)?;
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&account.report)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if options.keep {
        let page = live::start(&mut stack, &site, &services, &binaries, options.devices)?;
        site.print_usage(&services, &page)?;
        stack.keep()?;
    } else {
        println!("Stopping …");
        stack.stop()?;
    }
    if !account.report.exact {
        eprintln!("error: the counts differ");
        return Ok(ExitCode::FAILURE);
    }
    println!("Every OK point is in ClickHouse and in Parquet exactly once.");
    Ok(ExitCode::SUCCESS)
}

fn build(options: &Options) -> anyhow::Result<PathBuf> {
    prerequisites::for_build()?;
    let profile = if options.dev { Profile::Dev } else { Profile::Release };
    println!("Building wattline and the fleet (the first time takes some minutes) …");
    cargo::build(&["-p", "wattline", "-p", "wattline-fleet", "-p", "wattline-live"], profile)
}

/// Kafka, or the mock broker where Kafka cannot be had.
fn choose_broker(options: &Options) -> anyhow::Result<Broker> {
    if !options.mock_broker {
        match services::prepare_kafka() {
            Ok(kafka) => return Ok(kafka),
            Err(error) => eprintln!("Kafka cannot be had here: {error:#}"),
        }
    }
    println!("Going on with librdkafka's mock broker: it keeps everything in memory and is no Kafka.");
    Ok(Broker::Mock)
}

/// A client with a token and devices, a gateway and a worker.
fn set_up(
    stack: &mut Stack,
    services: &Services,
    binaries: &Path,
    options: &Options,
) -> anyhow::Result<Site> {
    println!("Setting up: topics, tables, a client with a token and {} devices …", options.devices);
    let site = Site::new(stack, services, binaries, "")?;
    site.run(&["migrate"])?;
    site.create_token(CLIENT)?;
    let devices = stack.folder().join("devices.jsonl");
    let mut list = fleet(binaries);
    list.args(["devices", "--count", &options.devices.to_string(), "--seed", FLEET_SEED, "--client", CLIENT])
        .stdout(fs::File::create(&devices).with_context(|| format!("creating {}", devices.display()))?);
    crate::process::run(&mut list)?;
    site.import_devices(&devices)?;
    site.run(&["devices", "publish"])?;
    if options.keep {
        live::set_up(&site, binaries, options.devices)?;
    }
    site.serve(stack)?;
    Ok(site)
}

fn fleet(binaries: &Path) -> Command {
    Command::new(binaries.join("wattline-fleet"))
}

fn post(stack: &mut Stack, site: &Site, binaries: &Path, options: &Options) -> anyhow::Result<FleetReport> {
    const NAME: &str = "fleet";
    println!("The fleet posts to {} for {} s …", site.url(), options.seconds);
    let report = stack.folder().join("fleet.json");
    let mut command = fleet(binaries);
    command
        .args(["run", "--url", site.url(), "--token-file"])
        .arg(site.token_file())
        .args(["--devices", &options.devices.to_string(), "--seed", FLEET_SEED])
        .args(["--gateways", FLEET_GATEWAYS, "--seconds", &options.seconds.to_string(), "--report"])
        .arg(&report);
    // At this pace the day passes in the given time; faster, the fleet would run out of it.
    let day = f64::from(options.devices) * f64::from(POINTS_PER_DEVICE);
    command.args(["--rate", &(day / f64::from(options.seconds.max(1))).to_string()]);
    let deadline = Duration::from_secs(options.seconds.into()) + FLEET_GRACE;
    let status = stack.start_attached(NAME, command.stdin(Stdio::null()))?.wait(deadline)?;
    stack.forget(NAME)?;
    stack.check()?;
    if !status.success() {
        bail!("the fleet ended with {status}; its account is in {}", report.display());
    }
    let text = fs::read_to_string(&report).with_context(|| format!("reading {}", report.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", report.display()))
}

/// Asks for the audit until both sinks have what the fleet's OKs promise. At the deadline the last
/// audit is the answer: the table then shows what is missing.
fn wait_until_stored(stack: &mut Stack, site: &Site, fleet: &FleetReport) -> anyhow::Result<Audit> {
    println!("Waiting until all is stored …");
    let started = Instant::now();
    loop {
        stack.check()?;
        let audit = site.audit(false)?;
        if account::is_exact(fleet, &audit) || started.elapsed() > STORED_DEADLINE {
            return Ok(audit);
        }
        println!(
            "  of {} OK points: {} in ClickHouse, {} in Parquet",
            fleet.points_ok, audit.clickhouse_points, audit.parquet_points
        );
        std::thread::sleep(STORED_POLL_INTERVAL);
    }
}
