//! A stack: the services that one command runs, with their data, logs and roster in one folder.
//!
//! The roster names every process, so that a later command can stop what an earlier one left behind. A
//! guard, a process of its own, watches the command: however that ends (Ctrl-C, a panic, SIGKILL), the
//! guard's standard input ends with it, and the guard stops what is still in the roster.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use crate::process::Service;

const ROSTER: &str = "services.json";
/// What the guard hears when the services are to outlive the command.
const KEEP: &[u8] = b"keep";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Roster {
    /// Addresses by name, for people, scripts and the next command.
    addresses: BTreeMap<String, String>,
    services: Vec<Service>,
}

impl Roster {
    fn read(folder: &Path) -> anyhow::Result<Roster> {
        let path = folder.join(ROSTER);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Roster::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let path = folder.join(ROSTER);
        // Renamed into place: the guard may read at any moment.
        let aside = path.with_extension("new");
        fs::write(&aside, serde_json::to_string_pretty(self)?)
            .and_then(|()| fs::rename(&aside, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Stops all, the last started first, and forgets them. One that does not end is reported when the
    /// others are gone.
    fn stop_all(&mut self, folder: &Path) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for mut service in self.services.drain(..).rev() {
            if let Err(error) = service.stop() {
                outcome = Err(error);
            }
        }
        self.addresses.clear();
        match fs::remove_file(folder.join(ROSTER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the roster")
            }
            _ => outcome,
        }
    }
}

/// An open stack. Dropping it stops its services, unless they are kept.
pub struct Stack {
    folder: PathBuf,
    roster: Roster,
    guard: Child,
    /// Held for as long as the command runs: two commands never use one folder.
    _lock: File,
}

impl Stack {
    /// Opens the stack in a folder, which is made when absent. Services that an earlier command left
    /// there are in it.
    pub fn open(folder: PathBuf) -> anyhow::Result<Stack> {
        fs::create_dir_all(folder.join("logs")).with_context(|| format!("creating {}", folder.display()))?;
        let Some(lock) = try_lock(&folder)? else {
            bail!("another command is at work in {}; stop it or let it end first", folder.display());
        };
        let roster = Roster::read(&folder)?;
        // Not by its path: building the workspace may have replaced the file since.
        let guard = Command::new("/proc/self/exe")
            .arg("guard")
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("starting the guard")?;
        Ok(Stack { folder, roster, guard, _lock: lock })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// A folder of data that is empty at the start of the command.
    pub fn fresh_folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts a service of this stack, with its output in its log.
    pub fn start(&mut self, name: &str, command: &mut Command) -> anyhow::Result<&mut Service> {
        let log = self.log(name);
        self.admit(Service::start(name, command, log)?)
    }

    /// The same for a process that comes and goes: its log goes on.
    pub fn start_again(&mut self, name: &str, command: &mut Command) -> anyhow::Result<&mut Service> {
        let log = self.log(name);
        let file = File::options().create(true).append(true).open(&log);
        let file = file.with_context(|| format!("opening {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        self.start_attached(name, command)
    }

    /// The same, with its input and output where the command says.
    pub fn start_attached(&mut self, name: &str, command: &mut Command) -> anyhow::Result<&mut Service> {
        let log = self.log(name);
        self.admit(Service::start_attached(name, command, log)?)
    }

    fn admit(&mut self, service: Service) -> anyhow::Result<&mut Service> {
        self.roster.services.push(service);
        self.roster.write(&self.folder)?;
        self.roster.services.last_mut().context("the service just started")
    }

    /// An error with the end of the log when a service of the stack has ended.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.roster.services.iter_mut().try_for_each(Service::check)
    }

    pub fn service(&mut self, name: &str) -> Option<&mut Service> {
        self.roster.services.iter_mut().find(|service| service.name == name)
    }

    pub fn services(&self) -> &[Service] {
        &self.roster.services
    }

    /// Whether there are services and all of them run.
    pub fn is_up(&mut self) -> bool {
        !self.roster.services.is_empty() && self.roster.services.iter_mut().all(Service::is_alive)
    }

    pub fn address(&self, name: &str) -> Option<&str> {
        self.roster.addresses.get(name).map(String::as_str)
    }

    pub fn set_address(&mut self, name: &str, address: &str) -> anyhow::Result<()> {
        self.roster.addresses.insert(name.to_owned(), address.to_owned());
        self.roster.write(&self.folder)
    }

    /// Stops one service whose work is done.
    pub fn end(&mut self, name: &str) -> anyhow::Result<()> {
        if let Some(service) = self.service(name) {
            service.stop()?;
        }
        self.forget(name)
    }

    /// Forgets a service that has ended by itself.
    pub fn forget(&mut self, name: &str) -> anyhow::Result<()> {
        self.roster.services.retain(|service| service.name != name);
        self.roster.write(&self.folder)
    }

    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.roster.stop_all(&self.folder)
    }

    /// Lets the services outlive this command.
    pub fn keep(mut self) -> anyhow::Result<()> {
        if let Some(pipe) = &mut self.guard.stdin {
            pipe.write_all(KEEP).context("telling the guard")?;
        }
        self.roster.services.clear();
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !self.roster.services.is_empty()
            && let Err(error) = self.stop()
        {
            eprintln!("error: {error:#}");
        }
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// None when another command holds it. The lock ends with the process that took it.
fn try_lock(folder: &Path) -> anyhow::Result<Option<File>> {
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
    }
}

/// The guard of a stack.
pub fn guard(folder: &Path) -> anyhow::Result<ExitCode> {
    let mut heard = Vec::new();
    std::io::stdin().read_to_end(&mut heard)?;
    if heard == KEEP || !folder.join(ROSTER).exists() {
        return Ok(ExitCode::SUCCESS);
    }
    // Whoever holds the lock by now has found the same roster and deals with it.
    if let Some(_lock) = try_lock(folder)? {
        eprintln!("\nStopping the services …");
        Roster::read(folder)?.stop_all(folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops what is left in a folder. False when a running command owns it.
pub fn stop_left_behind(folder: &Path) -> anyhow::Result<bool> {
    if !folder.join(ROSTER).exists() {
        return Ok(true);
    }
    let Some(_lock) = try_lock(folder)? else {
        return Ok(false);
    };
    let mut roster = Roster::read(folder)?;
    for service in roster.services.iter().rev() {
        println!("Stopping {} (process {})", service.name, service.pid);
    }
    roster.stop_all(folder)?;
    Ok(true)
}
