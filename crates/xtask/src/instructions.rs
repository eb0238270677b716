//! `instructions`: how many instructions each stage of the hot path takes, by callgrind, against the counts that the
//! repository keeps.
//!
//! The counts hardly depend on the machine or on what else it does: Valgrind shows every program the same
//! processor, and no address is random. They do depend on the compiler.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::bench::machine::locked_version;
use crate::cargo::cargo;
use crate::{paths, prerequisites, process};

const KEPT: &str = "benches/stages/instructions.json";
/// How much more a stage may take than is kept.
const MORE_PERCENT_MAX: u64 = 3;
const RUNNER: &str = "gungraun-runner";
const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);

#[derive(Args, Default)]
pub struct Options {
    /// Keep the counts of this run.
    #[arg(long)]
    update: bool,
}

/// Counts, and what they were made with.
#[derive(Debug, Serialize, Deserialize)]
struct Counts {
    rustc: String,
    valgrind: String,
    /// Of one run of a stage over the points that its name tells.
    instructions: BTreeMap<String, u64>,
}

pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    if !cfg!(target_arch = "x86_64") {
        println!("The counts are those of x86-64; here nothing is compared");
        return Ok(ExitCode::SUCCESS);
    }
    let counts = count()?;
    let path = paths::root().join(KEPT);
    if options.update {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        println!("{KEPT} has the counts of {} stages", counts.instructions.len());
        return Ok(ExitCode::SUCCESS);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let kept: Counts = serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    let compared = compare(&kept.instructions, &counts.instructions);
    print!("{}", table(&compared));
    if compared.iter().all(Compared::is_ok) {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "error: a stage takes more than {MORE_PERCENT_MAX} % more instructions than {KEPT} keeps, or is in one of \
         both only; where that is meant, type: cargo xtask instructions --update"
    );
    for (of, then, now) in
        [("rustc", &kept.rustc, &counts.rustc), ("valgrind", &kept.valgrind, &counts.valgrind)]
    {
        if then != now {
            eprintln!("what is kept was counted with another {of}: {then}, not {now}");
        }
    }
    Ok(ExitCode::FAILURE)
}

fn count() -> anyhow::Result<Counts> {
    prerequisites::for_build()?;
    prerequisites::for_instructions()?;
    let runner = install_runner()?;
    let folder = paths::local()?.join("instructions");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    let mut bench = cargo();
    bench
        .args(["bench", "--quiet", "-p", "wattline-stages", "--bench", "instructions"])
        .env("GUNGRAUN_RUNNER", runner)
        .env("GUNGRAUN_HOME", &folder)
        .env("GUNGRAUN_SAVE_SUMMARY", "json")
        .env_remove("RUST_BACKTRACE");
    process::output(&mut bench)?;
    let mut instructions = BTreeMap::new();
    collect(&folder, &mut instructions)?;
    ensure!(!instructions.is_empty(), "no counts in {}", folder.display());
    let version = |program: &str| {
        let text = process::output(Command::new(program).arg("--version").current_dir(paths::root()))?;
        anyhow::Ok(text.trim().to_owned())
    };
    Ok(Counts { rustc: version("rustc")?, valgrind: version("valgrind")?, instructions })
}

/// The program that the bench has itself run by, in the version of its library.
fn install_runner() -> anyhow::Result<PathBuf> {
    let version = locked_version(RUNNER);
    let root = paths::cache()?.join(format!("{RUNNER}-{version}"));
    let program = root.join("bin").join(RUNNER);
    if !program.is_file() {
        println!("Building {RUNNER} from crates.io (about a minute, once) …");
        let mut install = cargo();
        install
            .args(["install", "--quiet", "--locked", "--debug", RUNNER, "--version"])
            .arg(format!("={version}"))
            .arg("--root")
            .arg(&root);
        process::run_within(INSTALL_DEADLINE, &mut install)?;
    }
    Ok(program)
}

#[derive(Deserialize)]
struct Summary {
    function_name: String,
    id: Option<String>,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    metrics: BTreeMap<String, Metric>,
}

#[derive(Deserialize)]
struct Metric {
    values: Values,
}

#[derive(Deserialize)]
struct Values {
    new: f64,
}

/// The counts of all summaries below a folder.
fn collect(folder: &Path, counts: &mut BTreeMap<String, u64>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, counts)?;
        } else if path.file_name().is_some_and(|name| name == "summary.json") {
            let (name, count) = read(&path).with_context(|| format!("reading {}", path.display()))?;
            counts.insert(name, count);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<(String, u64)> {
    /// Instructions read.
    const INSTRUCTIONS: &str = "Ir";
    let summary: Summary = serde_json::from_str(&fs::read_to_string(path)?)?;
    let [profile] = &summary.profiles[..] else { bail!("{} profiles", summary.profiles.len()) };
    let count = profile.data.total.metrics.get(INSTRUCTIONS).context("no instructions")?.values.new;
    let name = match summary.id {
        Some(id) => format!("{} {id}", summary.function_name),
        None => summary.function_name,
    };
    Ok((name, count as u64))
}

/// A stage's count here and in the repository.
#[derive(Debug)]
struct Compared {
    name: String,
    kept: Option<u64>,
    now: Option<u64>,
}

impl Compared {
    fn percent(&self) -> Option<f64> {
        self.kept.zip(self.now).map(|(kept, now)| (now as f64 / kept as f64 - 1.0) * 100.0)
    }

    fn is_ok(&self) -> bool {
        self.kept.zip(self.now).is_some_and(|(kept, now)| now * 100 <= kept * (100 + MORE_PERCENT_MAX))
    }
}

fn compare(kept: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<Compared> {
    let mut names: Vec<&String> = kept.keys().chain(now.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |name: &String| Compared {
        name: name.clone(),
        kept: kept.get(name).copied(),
        now: now.get(name).copied(),
    };
    names.into_iter().map(of).collect()
}

fn table(compared: &[Compared]) -> String {
    let width = compared.iter().map(|stage| stage.name.len()).max().unwrap_or(0);
    let mut table = format!("{:<width$}  {:>12}  {:>12}\n", "instructions", "kept", "now");
    let figure = |count: Option<u64>| count.map_or("–".to_owned(), |count| count.to_string());
    for stage in compared {
        let Compared { name, kept, now } = stage;
        let change = stage.percent().map_or(String::new(), |percent| format!("{percent:+.1} %"));
        let verdict = match stage.percent() {
            _ if !stage.is_ok() => "NOT OK",
            Some(percent) if percent < -(MORE_PERCENT_MAX as f64) => "less: --update keeps it",
            _ => "ok",
        };
        let _ = writeln!(
            table,
            "{name:<width$}  {:>12}  {:>12}  {change:>9}  {verdict}",
            figure(*kept),
            figure(*now)
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_may_take_three_percent_more() {
        let kept = BTreeMap::from([("gone", 7), ("less", 1_000), ("more", 1_000), ("same", 1_000)]);
        let now = BTreeMap::from([("less", 500), ("more", 1_031), ("new", 7), ("same", 1_030)]);
        let owned = |counts: BTreeMap<&str, u64>| {
            counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
        };
        let compared = compare(&owned(kept), &owned(now));
        let wrong: Vec<&str> =
            compared.iter().filter(|stage| !stage.is_ok()).map(|stage| stage.name.as_str()).collect();
        assert_eq!(wrong, ["gone", "more", "new"]);
        let table = table(&compared);
        let line = table.lines().find(|line| line.starts_with("more")).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["more", "1000", "1031", "+3.1", "%", "NOT", "OK"]);
    }
}
