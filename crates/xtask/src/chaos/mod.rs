//! `chaos`: a random schedule of faults on the real services, under load; then heal, drain, count.

mod acts;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use self::acts::Chaos;
use crate::fault::Common;
use crate::fault::dice::Dice;
use crate::fault::lab::{Brokers, Lab};
use crate::fault::load::{Load, Plan};
use crate::fault::oracle::{self, Verdict};
use crate::fault::within;
use crate::paths;

const CI_SECONDS: u64 = 60;
/// From one fault to the next, its own time included where it takes longer.
const PAUSE_MS: [u64; 2] = [1_500, 5_500];
/// For the start, the healing, the draining and the counts.
const GRACE: Duration = Duration::from_secs(15 * 60);

#[derive(Args)]
pub struct Options {
    /// How long faults go on.
    #[arg(long, default_value_t = CI_SECONDS)]
    pub seconds: u64,
    /// Write the account to this file, as JSON.
    #[arg(long)]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub common: Common,
}

impl Options {
    /// What CI runs.
    pub fn ci() -> Options {
        Options { seconds: CI_SECONDS, report: None, common: Common::after_tests() }
    }
}

#[derive(Serialize)]
struct Report {
    seed: u64,
    seconds: u64,
    faults_done: usize,
    #[serde(flatten)]
    verdict: Verdict,
    /// Processes that ended by themselves, as with a service away at their start, and were started again.
    restarts: u32,
    faults: Vec<Done>,
}

#[derive(Serialize)]
struct Done {
    at_s: f64,
    name: &'static str,
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("chaos"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let seed = options.common.seed()?;
    let folder = folder()?;
    let binaries = options.common.binaries(&folder)?;
    let deadline = Duration::from_secs(options.seconds) + GRACE;
    let report = within(deadline, "chaos", || {
        let lab = Lab::start(folder.clone(), binaries, Brokers::One)?;
        cause(lab, options.seconds, seed, options.common.rate)
    })?;
    println!(
        "{} faults in {} s; {}, restarts {}",
        report.faults_done, options.seconds, report.verdict, report.restarts,
    );
    if let Some(path) = &options.report {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if report.verdict.is_good() && report.verdict.rejected == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "error: not survived; --seed {} brings the same faults again. Logs: {}",
        report.seed,
        folder.display()
    );
    Ok(ExitCode::FAILURE)
}

fn cause(mut lab: Lab, seconds: u64, seed: u64, rate: u32) -> anyhow::Result<Report> {
    let load = Load::start(&mut lab, Plan::at_rate(rate))?;
    let mut chaos = Chaos::new(Dice::new(seed));
    let mut faults = Vec::new();
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    loop {
        let [low, high] = PAUSE_MS;
        let pause = chaos.dice.milliseconds(low, high);
        if Instant::now() + pause > end {
            break;
        }
        lab.pass(pause)?;
        let at_s = began.elapsed().as_secs_f64();
        let act = chaos.draw();
        println!("  {at_s:>6.1} s  {}", act.name);
        chaos.cause(act, &mut lab)?;
        faults.push(Done { at_s: (at_s * 10.0).round() / 10.0, name: act.name });
    }
    println!("Healing …");
    lab.heal()?;
    let told = load.finish(&mut lab)?;
    println!("{} points were answered OK; waiting until all is stored …", told.report.points_ok);
    let verdict = oracle::judge(&mut lab, &told, &[])?;
    Ok(Report { seed, seconds, faults_done: faults.len(), verdict, restarts: lab.restarts, faults })
}
