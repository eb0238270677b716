//! `fault`: one fault after the other on the real services, under load, with the fleet's ledger as the oracle.

mod brokers;
mod catalog;
mod clients;
mod clocks;
pub mod dice;
pub mod lab;
pub mod load;
pub mod oracle;
mod producer;
mod proxy;
pub mod settings;
mod shell;
mod shim;
mod sinks;
mod topics;
mod workers;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;

pub use self::catalog::STEPS;
use self::catalog::{Fault, catalog};
pub use self::clients::raise_file_limit;
use self::dice::Dice;
use self::lab::Lab;
use self::load::{Load, Plan, Told};
use self::oracle::Earlier;
use crate::cargo::{self, Profile};
use crate::{paths, prerequisites};

/// Points a second: a load that a development machine carries besides everything else.
const RATE: u32 = 3_000;
/// The load before the first fault, and behind the last one.
const QUIET: Duration = Duration::from_secs(3);
/// Far more than any fault takes: whatever hangs is ended then.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

#[derive(Args)]
pub struct Options {
    /// The fault to cause; --list names them.
    #[arg(required_unless_present_any = ["list", "all"])]
    name: Option<String>,
    /// Name all faults, with a sentence each.
    #[arg(long)]
    list: bool,
    /// Cause one fault after the other.
    #[arg(long, conflicts_with = "name")]
    all: bool,
    #[command(flatten)]
    common: Common,
}

/// What `fault` and `chaos` have in common.
#[derive(Args)]
pub struct Common {
    /// Points a second that the fleet posts.
    #[arg(long, default_value_t = RATE)]
    pub rate: u32,
    /// Decides every choice that is left to chance; without it, chance does, and the seed is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Build with optimisation, which takes longer.
    #[arg(long)]
    release: bool,
    /// Use the binaries that the last build of the profile left.
    #[arg(long)]
    no_build: bool,
}

impl Common {
    /// Behind the tests of the workspace, which have built every binary; a build of some of them alone would
    /// compile their dependencies again, with other features.
    pub fn after_tests() -> Common {
        Common { rate: RATE, seed: None, release: false, no_build: true }
    }

    pub fn seed(&self) -> anyhow::Result<u64> {
        let seed = match self.seed {
            Some(seed) => seed,
            None => {
                let mut bytes = [0; 4];
                fs::File::open("/dev/urandom")
                    .and_then(|mut file| file.read_exact(&mut bytes))
                    .context("random bytes")?;
                u32::from_le_bytes(bytes).into()
            }
        };
        println!("The seed is {seed}");
        Ok(seed)
    }

    /// Builds the binaries and puts copies of them into the folder: a later build must not replace what
    /// is started again and again.
    pub fn binaries(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        const BINARIES: [&str; 4] = ["wattline", "wattline-fleet", "wattline-proxy", "topic-fault"];
        prerequisites::for_build()?;
        let profile = if self.release { Profile::Release } else { Profile::Dev };
        let built = if self.no_build {
            paths::target()?.join(if self.release { "release" } else { "debug" })
        } else {
            println!("Building (the first time takes some minutes) …");
            cargo::build(
                &["-p", "wattline", "-p", "wattline-fleet", "-p", "wattline-kafka", "--bins"],
                profile,
            )?
        };
        let binaries = folder.join("bin");
        fs::create_dir_all(&binaries).with_context(|| format!("creating {}", binaries.display()))?;
        for name in BINARIES {
            let copy = binaries.join(name);
            // Removed first: a file that still runs cannot be written to.
            let _ = fs::remove_file(&copy);
            fs::copy(built.join(name), &copy).with_context(|| format!("copying {name}"))?;
        }
        Ok(binaries)
    }
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("fault"))
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let faults = catalog();
    if options.list {
        for fault in &faults {
            println!("{:<34} {}", fault.name, fault.sentence);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<&Fault> = match &options.name {
        None => faults.iter().collect(),
        Some(name) => {
            let fault = faults.iter().find(|fault| fault.name == *name);
            vec![fault.with_context(|| format!("no fault is named {name}; --list names them"))?]
        }
    };
    let folder = folder()?;
    let seed = options.common.seed()?;
    let binaries = options.common.binaries(&folder)?;
    let mut failed = Vec::new();
    for fault in chosen {
        println!("== {}: {}", fault.name, fault.sentence);
        let started = Instant::now();
        let outcome =
            within(DEADLINE, &fault.name, || cause(fault, &folder, &binaries, seed, options.common.rate));
        let seconds = started.elapsed().as_secs();
        match outcome {
            Ok(()) => println!("== {}: survived ({seconds} s)\n", fault.name),
            Err(error) => {
                println!("== {}: FAILED ({seconds} s): {error:#}\n", fault.name);
                failed.push(fault.name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: not survived: {}; the logs of the last are in {}", failed.join(", "), folder.display());
    Ok(ExitCode::FAILURE)
}

/// Runs something that has its own deadlines, and ends this command should one of them not hold: the guard
/// then stops what it had started.
pub fn within<T>(deadline: Duration, name: &str, work: impl FnOnce() -> T) -> T {
    let (done, end) = std::sync::mpsc::channel::<()>();
    let name = name.to_owned();
    std::thread::spawn(move || {
        if end.recv_timeout(deadline) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("error: {name} hangs: no end within {} s", deadline.as_secs());
            std::process::exit(1);
        }
    });
    let outcome = work();
    drop(done);
    outcome
}

/// What a fault works on.
pub struct Scene {
    pub lab: Lab,
    pub dice: Dice,
    rate: u32,
    load: Option<Load>,
    earlier: Vec<Earlier>,
}

impl Scene {
    fn open(mut lab: Lab, seed: u64, rate: u32) -> anyhow::Result<Scene> {
        let load = Load::start(&mut lab, Plan::at_rate(rate))?;
        lab.pass(QUIET)?;
        Ok(Scene { lab, dice: Dice::new(seed), rate, load: Some(load), earlier: Vec::new() })
    }

    /// Ends the load. What it was told is part of the count at the end, but for the endpoint whose points are
    /// destroyed on purpose.
    pub fn end_load(&mut self, destroyed: Option<&'static str>) -> anyhow::Result<Told> {
        let load = self.load.take().context("nothing is posted")?;
        let told = load.finish(&mut self.lab)?;
        self.earlier.push(Earlier { ledger: told.ledger.clone(), destroyed });
        Ok(told)
    }

    /// Ends the load and waits until all of it is stored, exactly.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        let told = self.end_load(None)?;
        let verdict = oracle::judge(&mut self.lab, &told, &self.earlier[..self.earlier.len() - 1])?;
        ensure!(verdict.is_good(), "before the fault: {verdict}");
        Ok(())
    }

    /// Posts again, other points than before.
    pub fn begin_load(&mut self, plan: impl FnOnce(Plan) -> Plan) -> anyhow::Result<()> {
        let plan = plan(Plan::at_rate(self.rate));
        self.load = Some(Load::start(&mut self.lab, plan)?);
        self.lab.pass(QUIET)
    }

    /// Heals, and compares what the fleet was told with what is stored.
    fn close(mut self, rejected: u64) -> anyhow::Result<()> {
        let load = self.load.take().context("nothing is posted at the end")?;
        self.lab.heal()?;
        self.lab.pass(QUIET)?;
        let told = load.finish(&mut self.lab)?;
        println!("    healed; {} points answered OK; waiting until all is stored", told.report.points_ok);
        let verdict = oracle::judge(&mut self.lab, &told, &self.earlier)?;
        println!("    {verdict}, restarts {}", self.lab.restarts);
        ensure!(verdict.is_good(), "the sinks are not what the ledger promises");
        ensure!(
            verdict.rejected == rejected,
            "{} records are in the table of the rejected, not {rejected}",
            verdict.rejected
        );
        Ok(())
    }
}

fn cause(fault: &Fault, folder: &Path, binaries: &Path, seed: u64, rate: u32) -> anyhow::Result<()> {
    let lab = Lab::start(folder.to_owned(), binaries.to_owned(), fault.brokers)?;
    let mut scene = Scene::open(lab, seed, rate)?;
    fault.run(&mut scene)?;
    scene.close(fault.rejected)
}
