//! Small libraries in C that a process loads before its own, and that answer it in the C library's place.
//!
//! They are compiled when a fault needs them, by the compiler that building Wattline needs anyway. Debian's
//! libfaketime does less than a step of the clock does: waits that have begun do not notice it.

use std::fmt;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::lab::{Lab, Role};
use crate::{prerequisites, process};

const CLOCK: &str = include_str!("shim/clock.c");
const DISK: &str = include_str!("shim/disk.c");

/// A library under one role's processes, and the number by which it is told what to do. It begins with 0, which
/// means that nothing is different.
struct Shim {
    control: File,
}

impl Shim {
    fn load(
        lab: &mut Lab,
        role: Role,
        name: &str,
        source: &str,
        more: &[(&'static str, String)],
    ) -> anyhow::Result<Shim> {
        prerequisites::for_shims()?;
        let folder = lab.folder().join("shim");
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let library = compile(&folder, name, source)?;
        let path = folder.join(format!("{name}-{}", role.name()));
        let control = File::options().create(true).truncate(true).write(true).open(&path);
        let shim = Shim { control: control.with_context(|| format!("creating {}", path.display()))? };
        shim.tell(0)?;
        lab.equip(role, "LD_PRELOAD", library.display().to_string());
        lab.equip(role, "SHIM_CONTROL", path.display().to_string());
        for (name, value) in more {
            lab.equip(role, name, value.clone());
        }
        Ok(shim)
    }

    fn tell(&self, number: i64) -> anyhow::Result<()> {
        self.control.write_all_at(&number.to_ne_bytes(), 0).context("telling a library what to do")
    }
}

fn compile(folder: &Path, name: &str, source: &str) -> anyhow::Result<PathBuf> {
    let file = folder.join(format!("{name}.c"));
    fs::write(&file, source).with_context(|| format!("writing {}", file.display()))?;
    let library = folder.join(format!("{name}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(&file);
    process::run(cc.arg("-ldl"))?;
    Ok(library)
}

/// The time of day as the processes of a role see it.
pub struct Clock(Shim);

impl Clock {
    /// For the processes that are started from now on.
    pub fn load(lab: &mut Lab, role: Role) -> anyhow::Result<Clock> {
        Shim::load(lab, role, "clock", CLOCK, &[]).map(Clock)
    }

    /// Steps to so many milliseconds ahead of the machine's clock, or behind it.
    pub fn step_to(&self, ahead_ms: i64) -> anyhow::Result<()> {
        self.0.tell(ahead_ms)
    }
}

/// What answers EIO. The numbers are the library's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    Writes = 1,
    SyncsOfFiles = 2,
    SyncsOfFolders = 3,
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failing::Writes => "writes",
            Failing::SyncsOfFiles => "syncs of files",
            Failing::SyncsOfFolders => "syncs of folders",
        })
    }
}

/// The disk under a folder, as the processes of a role find it.
pub struct Disk(Shim);

impl Disk {
    /// For the processes that are started from now on.
    pub fn load(lab: &mut Lab, role: Role, folder: &Path) -> anyhow::Result<Disk> {
        // It may be too early for a file, and so for its folder.
        let found = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
        let folder = found.with_context(|| format!("finding {}", folder.display()))?;
        let folder = ("SHIM_FOLDER", folder.display().to_string());
        Shim::load(lab, role, "disk", DISK, &[folder]).map(Disk)
    }

    pub fn fail(&self, what: Failing) -> anyhow::Result<()> {
        self.0.tell(what as i64)
    }

    pub fn mend(&self) -> anyhow::Result<()> {
        self.0.tell(0)
    }
}
