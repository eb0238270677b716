//! What goes on after the count, for somebody who wants to look: a fleet that posts for an hour, and a page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::site::Site;
use super::{FLEET_GATEWAYS, FLEET_SEED, POINTS_PER_DEVICE, fleet};
use crate::http;
use crate::process::{free_ports, output, run, wait_for};
use crate::services::Services;
use crate::stack::Stack;

/// Another client than that of the count, whose numbers stay as they were printed.
const CLIENT: &str = "live";
/// How long the fleet posts; a day passes for it meanwhile.
const SECONDS: u32 = 3_600;
/// Small requests, so that some come in every second.
const BATCH: &str = "20";
const READY_DEADLINE: Duration = Duration::from_secs(30);
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// A client with a token and devices, before the gateway begins: it then knows them at once.
pub fn set_up(site: &Site, binaries: &Path, devices: u32) -> anyhow::Result<()> {
    fs::write(token_file(site), output(&mut site.command(&["token", "create", "--client", CLIENT]))?)
        .context("keeping the token of the live fleet")?;
    let lines = site.folder().join("live-devices.jsonl");
    run(fleet(binaries)
        .args(["devices", "--count", &devices.to_string(), "--seed", FLEET_SEED, "--client", CLIENT])
        .stdout(fs::File::create(&lines).with_context(|| format!("creating {}", lines.display()))?))?;
    site.import_devices(&lines)
}

/// Starts both and returns the URL of the page.
pub fn start(
    stack: &mut Stack,
    site: &Site,
    services: &Services,
    binaries: &Path,
    devices: u32,
) -> anyhow::Result<String> {
    let count = devices.to_string();
    let rate = f64::from(devices) * f64::from(POINTS_PER_DEVICE) / f64::from(SECONDS);
    let mut posting = fleet(binaries);
    posting
        .args([
            "run",
            "--url",
            site.url(),
            "--devices",
            &count,
            "--seed",
            FLEET_SEED,
            "--gateways",
            FLEET_GATEWAYS,
        ])
        .args([
            "--batch",
            BATCH,
            "--seconds",
            &SECONDS.to_string(),
            "--rate",
            &rate.to_string(),
            "--token-file",
        ])
        .arg(token_file(site))
        .arg("--report")
        .arg(site.folder().join("live-fleet.json"));
    stack.start("live-fleet", &mut posting)?;

    let [port] = free_ports()?;
    let [gateway, worker] = site.operations();
    let mut page = Command::new(binaries.join("wattline-live"));
    page.args(["--listen", &format!("127.0.0.1:{port}"), "--gateway", gateway, "--worker", worker])
        .args(["--clickhouse", &services.clickhouse, "--client", CLIENT])
        .args(["--fleet-batteries", &count, "--fleet-seconds", &SECONDS.to_string()]);
    stack.start("live", &mut page)?;
    let url = format!("http://127.0.0.1:{port}/");
    wait_for("the live page", READY_DEADLINE, || {
        stack.check()?;
        Ok(http::get(&url, READY_TIMEOUT).ok().map(|_| ()))
    })?;
    Ok(url)
}

fn token_file(site: &Site) -> PathBuf {
    site.folder().join("live-token")
}
