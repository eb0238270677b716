//! A server that speaks S3, as a process: moto from PyPI, with its objects in memory. It keeps to conditional
//! puts, and lets everybody in.

use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::process::{free_ports, wait_for};
use crate::python::Packages;
use crate::stack::Stack;

const READY_DEADLINE: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
const SERVICE: &str = "s3";

const PACKAGES: Packages = Packages {
    name: "s3",
    what: "a server for S3 from PyPI (about 140 MB, once)",
    requirements: "deploy/local/s3/requirements.txt",
    python_minor_min: 11,
};

/// Starts it, unless the stack has it, waits until it answers, and returns its URL.
pub fn start(stack: &mut Stack) -> anyhow::Result<String> {
    if let Some(url) = stack.address(SERVICE) {
        return Ok(url.to_owned());
    }
    let programs = PACKAGES.install()?;
    let [port] = free_ports()?;
    let url = format!("http://127.0.0.1:{port}");
    // Not by its script, which knows its interpreter by a path that no longer holds where the folder was moved.
    let mut server = Command::new(programs.join("python"));
    stack.start(SERVICE, server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]))?;
    wait_for("an answer of the server for S3", READY_DEADLINE, || {
        stack.check()?;
        Ok(http::get(&format!("{url}/moto-api/"), PING_TIMEOUT).is_ok().then_some(()))
    })?;
    stack.set_address(SERVICE, &url)?;
    Ok(url)
}
