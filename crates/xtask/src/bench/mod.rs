//! `bench`: what a point costs and how soon it can be read, on the real services, against limits.
//!
//! The machine may have other things to do: figures are CPU time of processes and ratios of what was measured in
//! the same run, in short rounds that take turns.

mod allocations;
mod connections;
pub mod edge;
pub mod figures;
mod freshness;
pub mod ground;
mod growth;
pub mod machine;
mod memory;
pub mod replay;
pub mod row;
mod stages;
mod worker;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use self::ground::Ground;
use self::machine::Machine;
use self::row::Row;
use crate::cargo::{self, Profile};
use crate::fault::within;
use crate::{paths, prerequisites};

/// Far more than it takes: whatever hangs is ended then.
const DEADLINE: Duration = Duration::from_secs(3 * 3_600);

#[derive(Args)]
pub struct Options {
    /// Write the rows to this file, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Measure these only.
    #[arg(long, value_enum, num_args = 1..)]
    only: Vec<Measurement>,
    /// Shorter rounds, and the largest fleet left out.
    #[arg(long)]
    quick: bool,
    /// Use the binaries that the last build with optimisation left.
    #[arg(long)]
    no_build: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// Allocations of decoding, checking and encoding.
    Allocations,
    /// CPU of the gateway against a bare handler, and the size of its records.
    Gateway,
    /// CPU of the worker with both sinks, and the size of its files.
    Worker,
    /// Memory of the worker with a million devices.
    WorkerMemory,
    /// Memory of the gateway with 10,000 connections.
    GatewayMemory,
    /// From a POST to a row that can be read, at 30,000 points a second.
    Freshness,
    /// CPU of both in fleets of up to 5 million devices.
    Growth,
}

#[derive(Serialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub ok: bool,
    /// Of the binaries.
    pub profile: &'static str,
    pub quick: bool,
    pub seconds: u64,
    pub versions: BTreeMap<&'static str, String>,
    pub machine: Machine,
    /// Measurements that could not be made, with the reason.
    pub failed: BTreeMap<String, String>,
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("bench"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let machine = Machine::of_this();
    let chosen: Vec<Measurement> = Measurement::value_variants()
        .iter()
        .copied()
        .filter(|measurement| options.only.is_empty() || options.only.contains(measurement))
        .collect();
    let binaries = binaries(&folder()?, options.no_build)?;
    let report = within(DEADLINE, "bench", || measure(options, &chosen, binaries, machine, began))?;
    publish(&report, options.report.as_deref())
}

/// The rows as a table and, where wanted, in a file.
pub fn publish(report: &Report, path: Option<&Path>) -> anyhow::Result<ExitCode> {
    println!("\n{}", row::table(&report.rows));
    println!(
        "Binaries of the profile {}, {} cores of {}, load {} at the start, {} s",
        report.profile, report.machine.cores, report.machine.cpu, report.machine.load, report.seconds
    );
    if let Some(path) = path {
        let text = serde_json::to_string_pretty(report)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    for (name, reason) in &report.failed {
        eprintln!("error: {name} could not be measured: {reason}");
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(
    options: &Options,
    chosen: &[Measurement],
    binaries: PathBuf,
    machine: Machine,
    began: Instant,
) -> anyhow::Result<Report> {
    let mut ground = None;
    let (mut rows, mut failed) = (Vec::new(), BTreeMap::new());
    for measurement in chosen {
        let name =
            measurement.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        println!("== {name}");
        let measured = if *measurement == Measurement::Allocations {
            allocations::measure()
        } else {
            let ground = match &mut ground {
                Some(ground) => ground,
                none => none.insert(Ground::open(folder()?, binaries.clone(), options.quick)?),
            };
            let measured = match measurement {
                Measurement::Allocations => allocations::measure(),
                Measurement::Gateway => edge::measure(ground),
                Measurement::Worker => worker::measure(ground),
                Measurement::WorkerMemory => memory::of_worker(ground),
                Measurement::GatewayMemory => memory::of_gateway(ground),
                Measurement::Freshness => freshness::measure(ground),
                Measurement::Growth => growth::measure(ground),
            };
            ground.clear()?;
            measured
        };
        match measured {
            Ok(mut measured) => {
                print!("{}", row::table(&measured));
                rows.append(&mut measured);
            }
            Err(error) => {
                eprintln!("error: {error:#}");
                failed.insert(name, format!("{error:#}"));
            }
        }
    }
    let ok = failed.is_empty() && rows.iter().all(|row| row.ok != Some(false));
    let versions = machine::versions(ground.as_ref());
    // Gigabytes that nobody reads again.
    if let Some(ground) = ground {
        ground.remove();
    }
    let seconds = began.elapsed().as_secs();
    Ok(Report { rows, ok, profile: "release", quick: options.quick, seconds, versions, machine, failed })
}

/// Builds with optimisation and puts copies into the folder, where no later build replaces them.
pub fn binaries(folder: &Path, no_build: bool) -> anyhow::Result<PathBuf> {
    const BINARIES: [&str; 3] = ["wattline", "wattline-fleet", "examples/wattline-bare"];
    prerequisites::for_build()?;
    let built = if no_build {
        paths::target()?.join("release")
    } else {
        println!("Building with optimisation (the first time takes some minutes) …");
        cargo::build(&["-p", "wattline-fleet", "--example", "wattline-bare"], Profile::Release)?;
        cargo::build(&["-p", "wattline", "-p", "wattline-fleet"], Profile::Release)?
    };
    let copies = folder.join("bin");
    fs::create_dir_all(&copies).with_context(|| format!("creating {}", copies.display()))?;
    for name in BINARIES {
        let copy = copies.join(Path::new(name).file_name().unwrap_or_default());
        // Removed first: a file that still runs cannot be written to.
        let _ = fs::remove_file(&copy);
        fs::copy(built.join(name), &copy).with_context(|| format!("copying {name}"))?;
    }
    Ok(copies)
}
