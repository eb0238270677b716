//! The fleet that posts while things break.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::lab::{DEVICES, FLEET_SEED, Lab};
use crate::demo::account::FleetReport;

const NAME: &str = "fleet";
const GATEWAYS: &str = "16";
/// Days in the past, so that the fleet does not run out of time to report.
const HOURS_BACK: u32 = 800;
/// The fleet is told when to stop.
const SECONDS: &str = "86400";
/// As long as there is time to resend, it does.
const RESENDS: &str = "1000000";
const DRAIN: Duration = Duration::from_secs(60);
/// From the end of the drain to the end of the process, which writes a line for each point.
const END_GRACE: Duration = Duration::from_secs(60);

/// How the fleet posts.
#[derive(Clone, Copy)]
pub struct Plan {
    pub points_per_s: u32,
    /// Where the batteries' time begins. Loads with different beginnings send different points.
    pub hours_back: u32,
    /// How long the last points are sent again at the end.
    pub drain: Duration,
}

impl Plan {
    pub fn at_rate(points_per_s: u32) -> Plan {
        Plan { points_per_s, hours_back: HOURS_BACK, drain: DRAIN }
    }
}

pub struct Load {
    plan: Plan,
    ledger: PathBuf,
    report: PathBuf,
}

/// What the fleet was told.
pub struct Told {
    pub ledger: PathBuf,
    pub report: FleetReport,
}

impl Load {
    pub fn start(lab: &mut Lab, plan: Plan) -> anyhow::Result<Load> {
        let Plan { points_per_s, hours_back, drain } = plan;
        let file = |name: String| lab.folder().join(name);
        let ledger = file(format!("ledger-{hours_back}.jsonl"));
        let report = file(format!("fleet-{hours_back}.json"));
        let load = Load { plan, ledger, report };
        let mut command = lab.fleet();
        command
            .args(["run", "--url", lab.site.url(), "--devices", DEVICES, "--seed", FLEET_SEED])
            .args(["--gateways", GATEWAYS, "--seconds", SECONDS, "--hours-back", &hours_back.to_string()])
            .args(["--resend-max", RESENDS, "--drain-seconds", &drain.as_secs().to_string()])
            .args(["--rate", &points_per_s.to_string(), "--token-file"])
            .arg(lab.site.token_file())
            .arg("--ledger")
            .arg(&load.ledger)
            .arg("--report")
            .arg(&load.report)
            .stdin(Stdio::null());
        lab.stack.start_again(NAME, &mut command)?;
        Ok(load)
    }

    /// Ends the fleet's posting, and returns when it has an answer for everything.
    pub fn finish(self, lab: &mut Lab) -> anyhow::Result<Told> {
        if !lab.is_running(NAME) {
            bail!("the fleet ended by itself:\n{}", lab.log_tail(NAME));
        }
        lab.signal(NAME, Signal::TERM)?;
        let status = lab.ended(NAME, self.plan.drain + END_GRACE)?;
        let text = fs::read_to_string(&self.report)
            .with_context(|| format!("the fleet ended with {status}:\n{}", lab.log_tail(NAME)))?;
        let report: FleetReport = serde_json::from_str(&text).context("reading the fleet's report")?;
        if !status.success() {
            bail!("the fleet's account is not sound:\n{}", lab.log_tail(NAME));
        }
        if report.points_ok == 0 {
            bail!("no point was answered OK:\n{}", lab.log_tail(NAME));
        }
        Ok(Told { ledger: self.ledger, report })
    }
}

/// How many points the fleet has got an OK for, as its log tells about every second.
pub fn ok_so_far(lab: &Lab) -> anyhow::Result<u64> {
    let log = lab.stack.log(NAME);
    let text = fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
    let count = |line: &str| line.split_once(" OK ")?.1.split_whitespace().next()?.parse().ok();
    Ok(text.lines().rev().find_map(count).unwrap_or(0))
}
