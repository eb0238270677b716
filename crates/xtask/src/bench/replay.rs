//! The client of the measurements: `wattline-fleet replay`, which is asked for one round after the other.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::figures::least;

#[derive(Clone, Serialize)]
pub struct Plan {
    pub targets: Vec<Target>,
    pub seed: u64,
    pub kinds: &'static [&'static str],
    /// Points a body, bodies a round, and how often each is sent in a round.
    pub points: u32,
    pub bodies: usize,
    pub passes: usize,
    /// New bodies for each round, with the points that come next.
    pub fresh: bool,
    pub connections: usize,
    pub points_per_s: Option<f64>,
    pub hours_back: u32,
    pub threads: usize,
}

#[derive(Clone, Serialize)]
pub struct Target {
    pub name: String,
    pub url: String,
    pub pid: i32,
    pub token_file: PathBuf,
    pub devices: u32,
}

pub const BOTH_KINDS: &[&str] = &["BATTERY", "BATTERY_COUNTER"];
pub const COUNTERS: &[&str] = &["BATTERY_COUNTER"];

impl Plan {
    /// Both kinds, from devices all over the fleet, as fast as the answers come.
    pub fn new(targets: Vec<Target>, points: u32, bodies: usize) -> Plan {
        Plan {
            targets,
            seed: 7,
            kinds: BOTH_KINDS,
            points,
            bodies,
            passes: 1,
            fresh: true,
            connections: 16,
            points_per_s: None,
            hours_back: 800,
            threads: 1,
        }
    }
}

#[derive(Debug, Deserialize)]
pub struct Round {
    pub points: u64,
    pub points_ok: u64,
    pub cpu_s: f64,
    pub seconds: f64,
    pub refusal: Option<String>,
}

impl Round {
    pub fn us_per_point(&self) -> f64 {
        self.cpu_s * 1e6 / self.points as f64
    }
}

/// That of the cheapest round.
pub fn least_us_per_point(rounds: &[Round]) -> f64 {
    least(&rounds.iter().map(Round::us_per_point).collect::<Vec<_>>())
}

pub struct Replay {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Replay {
    pub fn start(binaries: &Path, folder: &Path, plan: &Plan) -> anyhow::Result<Replay> {
        // It is read before the first round is answered, so one name is enough for all.
        let path = folder.join(format!("replay-{}-{}.json", plan.targets[0].name, plan.points));
        std::fs::write(&path, serde_json::to_string(plan)?)
            .with_context(|| format!("writing {}", path.display()))?;
        let mut child = Command::new(binaries.join("wattline-fleet"))
            .arg("replay")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the client")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the output of the client")?);
        Ok(Replay { child, orders, answers })
    }

    /// One round, in which every point has to be answered OK.
    pub fn round(&mut self, target: &str) -> anyhow::Result<Round> {
        let round = self.ask(target)?;
        ensure!(
            round.points_ok == round.points,
            "{target}: {} of {} points are OK; {}",
            round.points_ok,
            round.points,
            round.refusal.as_deref().unwrap_or_default()
        );
        Ok(round)
    }

    /// One round on what says nothing of points: every request has to be answered 200 or 202.
    pub fn round_of_another(&mut self, target: &str) -> anyhow::Result<Round> {
        let round = self.ask(target)?;
        match round.refusal.as_deref().map(str::trim) {
            None | Some("HTTP 202") => Ok(round),
            Some(refusal) => bail!("{target}: {refusal}"),
        }
    }

    fn ask(&mut self, target: &str) -> anyhow::Result<Round> {
        let orders = self.orders.as_mut().context("the client has ended")?;
        writeln!(orders, "{target}").context("the client has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line).context("reading the client's answer")?;
        serde_json::from_str(&line).context("the client has ended by itself")
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        // It ends with its input, and is helped where it does not.
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
