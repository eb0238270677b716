//! `peers`: what others need for the same work, beside Wattline, in one run on the same services.
//!
//! A peer that cannot be had here is a row that says why. Nothing is compared with a limit.

mod edge;
mod programs;
mod sinks;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;

use crate::bench::ground::{Ground, Place};
use crate::bench::machine::{self, Machine};
use crate::bench::row::Row;
use crate::bench::{self, Report};
use crate::fault::within;
use crate::paths;

const DEADLINE: Duration = Duration::from_secs(3_600);
const DEVICES: u32 = 10_000;

#[derive(Args)]
pub struct Options {
    /// Write the rows to this file, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Fewer and shorter rounds.
    #[arg(long)]
    quick: bool,
    /// Use the binaries that the last build with optimisation left.
    #[arg(long)]
    no_build: bool,
}

type Measurement = fn(&mut Ground) -> anyhow::Result<Vec<Row>>;

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("peers"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let machine = Machine::of_this();
    let binaries = bench::binaries(&folder()?, options.no_build)?;
    let report = within(DEADLINE, "peers", || measure(options, binaries, machine, began))?;
    bench::publish(&report, options.report.as_deref())
}

fn measure(options: &Options, binaries: PathBuf, machine: Machine, began: Instant) -> anyhow::Result<Report> {
    let mut ground = Ground::open(folder()?, binaries, options.quick)?;
    let (mut rows, mut failed) = (Vec::new(), BTreeMap::new());
    let measurements: [(&str, Measurement); 2] =
        [("HTTP to Kafka", edge::measure), ("Kafka to ClickHouse", sinks::measure)];
    for (name, measure) in measurements {
        println!("== {name}");
        match measure(&mut ground) {
            Ok(mut measured) => rows.append(&mut measured),
            Err(error) => {
                failed.insert(name.to_owned(), format!("{error:#}"));
            }
        }
        ground.clear()?;
    }
    let ok = failed.is_empty();
    let versions = machine::versions(Some(&ground));
    ground.remove();
    let seconds = began.elapsed().as_secs();
    Ok(Report { rows, ok, profile: "release", quick: options.quick, seconds, versions, machine, failed })
}

/// Topics for a peer, made as Wattline makes its own.
fn topics_for(ground: &Ground, name: &'static str) -> anyhow::Result<String> {
    /// The least that an installation is made with; they are not used.
    const DEVICES: u32 = 2;
    Place::new(ground, name, DEVICES)?;
    Ok(format!("{name}.intervals"))
}
