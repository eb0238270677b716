//! From a POST to the point being readable in ClickHouse, with everything on this machine and under load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustix::process::Signal;
use serde::Deserialize;

use super::figures::{cpu_s, quantile};
use super::ground::{Ground, Place};
use super::replay::Target;
use super::row::Row;
use crate::process::log_tail;

const DEVICES: u32 = 20_000;
const POINTS_PER_S: f64 = 30_000.0;
/// The load that has to be there for the figure to count.
const LOAD_SHARE_MIN: f64 = 0.98;
const P99_S_MAX: f64 = 3.0;
const PROBE_EVERY: Duration = Duration::from_millis(500);
const POLL_EVERY: Duration = Duration::from_millis(50);
const WARM_UP: Duration = Duration::from_secs(10);
const FLEET: &str = "fleet";
const FLEET_END_DEADLINE: Duration = Duration::from_secs(90);
const LAST_DEADLINE: Duration = Duration::from_secs(60);
const POST_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct FleetReport {
    points_sent: u64,
    points_ok: u64,
    seconds: f64,
    latency_ms: LatencyMs,
}

#[derive(Deserialize)]
struct LatencyMs {
    p99: f64,
}

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    // One more device than the fleet has: the probe's.
    let place = Place::new(ground, "fresh", DEVICES + 1)?;
    let gateway = place.start_gateway(ground)?;
    let worker = place.start_worker(ground)?;
    let report = ground.stack.folder().join("fleet-fresh.json");
    let seconds = ground.or_quick(300u64, 60);
    let mut fleet = Command::new(ground.binaries.join("wattline-fleet"));
    fleet
        .args(["run", "--url", &gateway.url, "--devices", &DEVICES.to_string(), "--hours-back", "800"])
        .args(["--rate", &POINTS_PER_S.to_string(), "--gateways", "32", "--bad-permille", "0"])
        .args(["--seconds", &(seconds + 120).to_string(), "--token-file"])
        .arg(&gateway.token_file)
        .arg("--report")
        .arg(&report)
        .stdin(Stdio::null());
    ground.stack.start(FLEET, &mut fleet)?;
    std::thread::sleep(WARM_UP);
    let before = [cpu_s(gateway.pid)?, cpu_s(worker)?];
    let began = Instant::now();
    let ages = probe(ground, &place, &gateway, Duration::from_secs(seconds))?;
    let took = began.elapsed().as_secs_f64();
    let cores = [(cpu_s(gateway.pid)? - before[0]) / took, (cpu_s(worker)? - before[1]) / took];

    let service = ground.stack.service(FLEET).context("the fleet")?;
    service.signal(Signal::TERM);
    let status = service.wait(FLEET_END_DEADLINE)?;
    ground.stack.forget(FLEET)?;
    ensure!(status.success(), "the fleet ended with {status}:\n{}", log_tail(&ground.stack.log(FLEET)));
    let report: FleetReport = serde_json::from_str(&fs::read_to_string(&report)?)?;
    ground.end(&place.worker())?;
    ground.end(&place.gateway())?;

    let load = report.points_ok as f64 / report.seconds;
    let note = format!("{} probes in {seconds} s", ages.len());
    Ok(vec![
        Row::new("freshness_p99", quantile(ages.clone(), 0.99), "s").at_most(P99_S_MAX).note(note),
        Row::new("freshness_p50", quantile(ages, 0.5), "s"),
        Row::new("freshness_load", load, "points/s").at_least(LOAD_SHARE_MIN * POINTS_PER_S).note(format!(
            "{} of {} points OK, requests p99 {:.0} ms; gateway {:.2} cores, worker {:.2} cores",
            report.points_ok, report.points_sent, report.latency_ms.p99, cores[0], cores[1]
        )),
    ])
}

/// Posts a point now and then, and asks for all that cannot be read yet.
fn probe(ground: &mut Ground, place: &Place, gateway: &Target, time: Duration) -> anyhow::Result<Vec<f64>> {
    let device_id = format!("bat-{:06}", DEVICES + 1);
    let token = fs::read_to_string(&gateway.token_file).context("reading the token")?;
    let probes = time.as_millis() / PROBE_EVERY.as_millis();
    let mut times = start_times(ground, probes)?.into_iter();
    let question = format!(
        "SELECT formatDateTime(start_time, '%Y-%m-%dT%H:%i:%SZ', 'UTC') FROM {}.intervals \
         WHERE client_id = 'demo' AND device_id = '{device_id}'",
        place.database()
    );
    let began = Instant::now();
    let (mut waiting, mut readable, mut ages) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    let mut next = times.next();
    while next.is_some() || !waiting.is_empty() {
        ground.stack.check()?;
        let due = began + PROBE_EVERY * (ages.len() + waiting.len()) as u32;
        if let Some(start_time) = next.take_if(|_| Instant::now() >= due) {
            let posted = Instant::now();
            post(gateway, &token, &device_id, &start_time)?;
            waiting.insert(start_time, posted);
            next = times.next();
        }
        let answer = ground.sql(&question)?;
        readable.extend(answer.lines().map(str::to_owned));
        waiting.retain(|start_time, posted| {
            let is_readable = readable.contains(start_time);
            if is_readable {
                ages.push(posted.elapsed().as_secs_f64());
            }
            !is_readable
        });
        ensure!(began.elapsed() < time + LAST_DEADLINE, "{} points cannot be read", waiting.len());
        std::thread::sleep(POLL_EVERY);
    }
    Ok(ages)
}

/// One every five minutes, up to the present. The engine has a calendar; these commands have none.
fn start_times(ground: &Ground, count: u128) -> anyhow::Result<Vec<String>> {
    let query = format!(
        "SELECT formatDateTime(now('UTC') - 600 - 300 * number, '%Y-%m-%dT%H:%i:%SZ') FROM numbers({count})"
    );
    Ok(ground.sql(&query)?.lines().map(str::to_owned).collect())
}

fn post(gateway: &Target, token: &str, device_id: &str, start_time: &str) -> anyhow::Result<()> {
    let point = serde_json::json!({"telemetry": [{
        "start_time": start_time,
        "duration_s": 300,
        "device_id": device_id,
        "last_is_online": false,
    }]});
    let agent: ureq::Agent =
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(POST_TIMEOUT)).build().into();
    let mut answer = agent
        .post(format!("{}/v1/telemetry/BATTERY", gateway.url))
        .header("Authorization", format!("Bearer {}", token.trim()))
        .header("Content-Type", "application/json")
        .send(point.to_string())
        .context("posting the probe")?;
    let answer = answer.body_mut().read_to_string()?;
    ensure!(answer.contains("\"OK\""), "the probe was answered {answer}");
    Ok(())
}
