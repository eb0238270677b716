//! Cargo, as these commands call it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use crate::{paths, process};

#[derive(Debug, Clone, Copy)]
pub enum Profile {
    Release,
    Dev,
}

/// The cargo that runs these commands, in the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(paths::root());
    command
}

/// Builds binaries of a package and returns the folder they are in.
pub fn build(arguments: &[&str], profile: Profile) -> anyhow::Result<PathBuf> {
    let mut command = cargo();
    command.arg("build").args(arguments);
    let folder = match profile {
        Profile::Release => {
            command.arg("--release");
            "release"
        }
        Profile::Dev => "debug",
    };
    process::run(&mut command).context("building")?;
    Ok(paths::target()?.join(folder))
}
