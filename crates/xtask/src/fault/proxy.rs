//! A proxy that stands before a service.

use std::fs::{self, File};
use std::io::{PipeWriter, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::process::wait_for;
use crate::stack::Stack;

const START_DEADLINE: Duration = Duration::from_secs(20);

/// A running `wattline-proxy`. It ends when this is dropped.
pub struct Proxy {
    name: String,
    pub port: u16,
    orders: PipeWriter,
}

impl Proxy {
    pub fn start(stack: &mut Stack, binaries: &Path, name: &str, target: u16) -> anyhow::Result<Proxy> {
        let log = stack.log(name);
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let (input, orders) = std::io::pipe()?;
        let mut command = Command::new(binaries.join("wattline-proxy"));
        command
            .args(["--target", &format!("127.0.0.1:{target}")])
            .stdin(input)
            .stdout(output.try_clone()?)
            .stderr(output);
        stack.start_attached(name, &mut command)?;
        let port = wait_for(&format!("the port of {name}"), START_DEADLINE, || {
            stack.check()?;
            let text = fs::read_to_string(&log).unwrap_or_default();
            Ok(text.split_inclusive('\n').next().and_then(|line| line.strip_suffix('\n')?.parse().ok()))
        })?;
        Ok(Proxy { name: name.to_owned(), port, orders })
    }

    pub fn order(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.orders, "{line}").with_context(|| format!("telling {}: {line}", self.name))
    }
}
