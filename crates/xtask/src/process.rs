//! Processes: steps that run to their end, and services that are started, watched and stopped.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

/// How long a process may take to end by itself after SIGTERM.
const STOP_GRACE: Duration = Duration::from_secs(15);
const KILL_GRACE: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Runs a command to its end; its output goes where ours goes.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("starting `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// The same for a step that uses the network, which may hang.
pub fn run_within(deadline: Duration, command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    let mut child = command.stdin(Stdio::null()).spawn().with_context(|| format!("starting `{shown}`"))?;
    let status = wait_for(&format!("`{shown}`"), deadline, || Ok(child.try_wait()?)).inspect_err(|_| {
        let _ = child.kill();
        let _ = child.wait();
    })?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs a command to its end and returns what it printed to standard output.
pub fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("starting `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` ended with {}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("the output of `{shown}`"))
}

/// Whether a command exists and succeeds; its output is nobody's business.
pub fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A command as one would type it, with the folders of a path cut off its program.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// Calls `probe` until it returns something, or the deadline passes, or it fails for good.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let started = Instant::now();
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if started.elapsed() > deadline {
            bail!("{what}: not within {} s", deadline.as_secs());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A process of ours that outlives the function that started it. The start time makes it the same
/// process still: a process id alone may have gone to somebody else since.
#[derive(Debug, Serialize, Deserialize)]
pub struct Service {
    pub name: String,
    pub pid: i32,
    started_ticks: u64,
    pub log: PathBuf,
    /// Only in the process that started it; needed to reap it.
    #[serde(skip)]
    child: Option<Child>,
}

impl Service {
    /// Starts a process in a group of its own, so that it and its children can be stopped together and
    /// a Ctrl-C at the terminal is not theirs. Its output goes to the log file.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> anyhow::Result<Service> {
        let file = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Self::start_attached(name, command, log)
    }

    /// The same, with input and output where the command says.
    pub fn start_attached(name: &str, command: &mut Command, log: PathBuf) -> anyhow::Result<Service> {
        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}: `{}`", shown(command)))?;
        let pid = i32::try_from(child.id()).context("a process id")?;
        // Not yet reaped, so the entry is there even when the process has ended already.
        let (_, started_ticks) = stat(pid).with_context(|| format!("finding the process of {name}"))?;
        Ok(Service { name: name.to_owned(), pid, started_ticks, log, child: Some(child) })
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        if let Some(child) = &mut self.child {
            return matches!(child.try_wait(), Ok(None));
        }
        stat(self.pid).is_some_and(|(state, started)| started == self.started_ticks && state != "Z")
    }

    /// An error with the end of the log when the process is gone.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if self.is_alive() {
            return Ok(());
        }
        bail!("{} ended. The end of {}:\n{}", self.name, self.log.display(), log_tail(&self.log));
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, deadline: Duration) -> anyhow::Result<std::process::ExitStatus> {
        let name = self.name.clone();
        let child = self.child.as_mut().with_context(|| format!("{name} is not a child of this process"))?;
        wait_for(&format!("the end of {name}"), deadline, || Ok(child.try_wait()?))
    }

    /// Sends a signal to the process and its children.
    pub fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.pid) {
            // It may end by itself between a question and the signal.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Whether it stands still after a SIGSTOP.
    pub fn is_stopped(&self) -> bool {
        stat(self.pid).is_some_and(|(state, started)| started == self.started_ticks && state == "T")
    }

    /// SIGTERM, and SIGKILL where that is not enough.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for (signal, grace) in [(Signal::TERM, STOP_GRACE), (Signal::KILL, KILL_GRACE)] {
            if !self.is_alive() {
                return Ok(());
            }
            self.signal(signal);
            // One that stands still hears nothing else.
            self.signal(Signal::CONT);
            if wait_for("", grace, || Ok((!self.is_alive()).then_some(()))).is_ok() {
                return Ok(());
            }
        }
        bail!("{} (process {}) does not end", self.name, self.pid);
    }
}

/// State and start time, in the kernel's ticks, of a process.
fn stat(pid: i32) -> Option<(String, u64)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything; the fields after it have no spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

pub fn log_tail(log: &Path) -> String {
    const LINES: usize = 30;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Free ports of 127.0.0.1, different from each other and from those given out before. They lie below the
/// range that the kernel takes the ports of outgoing connections from, so that a service that is killed finds
/// its port free when it comes back. Another program may take one before it is used; the service then fails
/// to start and says so.
pub fn free_ports<const N: usize>() -> anyhow::Result<[u16; N]> {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 16_000;
    static GIVEN_OUT: AtomicU16 = AtomicU16::new(0);
    // Commands that run at the same time begin in different places.
    let begin = (std::process::id() * 61 % u32::from(COUNT)) as u16;
    let mut ports = [0; N];
    for port in &mut ports {
        *port = (0..COUNT)
            .map(|_| FIRST + (begin + GIVEN_OUT.fetch_add(1, Relaxed)) % COUNT)
            .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
            .context("finding a free port")?;
    }
    Ok(ports)
}
