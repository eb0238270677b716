//! The ClickHouse engine as a process: `chdb-core` in a Python environment of its own, behind
//! `deploy/local/clickhouse/server.py`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::Data;
use crate::process::{free_ports, run, run_within, wait_for};
use crate::stack::Stack;
use crate::{http, paths};

const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);
const READY_DEADLINE: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const SERVICE: &str = "clickhouse";

/// Installs the engine, unless the cache has it, and returns the interpreter to run it with.
pub fn install() -> anyhow::Result<PathBuf> {
    let requirements = paths::root().join("deploy/local/clickhouse/requirements.txt");
    let wanted = fs::read_to_string(&requirements).context("reading the engine's version")?;
    let folder = paths::cache()?.join("clickhouse");
    let python = folder.join("bin/python");
    let installed = folder.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    println!("Installing the ClickHouse engine from PyPI (about 150 MB, once) …");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--no-input", "-q", "-r"])
        .arg(&requirements);
    run_within(INSTALL_DEADLINE, &mut pip).context("installing the ClickHouse engine")?;
    fs::write(&installed, wanted).context("noting the installation")?;
    Ok(python)
}

/// Starts the engine and returns its URL; `wait_ready` waits for it.
pub fn start(stack: &mut Stack, python: &Path, data: Data) -> anyhow::Result<String> {
    let folder = match data {
        Data::Fresh => stack.fresh_folder(SERVICE)?,
        Data::Kept => stack.folder().join(SERVICE),
    };
    let [port] = free_ports()?;
    let mut command = Command::new(python);
    command
        .arg(paths::root().join("deploy/local/clickhouse/server.py"))
        .args(["--port", &port.to_string(), "--data"])
        .arg(folder);
    stack.start(SERVICE, &mut command)?;
    Ok(format!("http://127.0.0.1:{port}"))
}

pub fn wait_ready(stack: &mut Stack, url: &str) -> anyhow::Result<()> {
    let ping = format!("{url}/ping");
    wait_for("an answer of ClickHouse", READY_DEADLINE, || {
        stack.check()?;
        Ok(http::get(&ping, PING_TIMEOUT).ok().map(|_| ()))
    })
}
