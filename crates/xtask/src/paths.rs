//! Where things lie.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// Cargo's target folder: the one this very binary was built into, wherever that was set.
pub fn target() -> anyhow::Result<PathBuf> {
    let exe = std::env::current_exe().context("finding the running binary")?;
    exe.ancestors().nth(2).map(Path::to_path_buf).context("the running binary is not in a target folder")
}

/// Everything the development commands keep.
pub fn local() -> anyhow::Result<PathBuf> {
    Ok(target()?.join("local"))
}

/// Downloads, which outlive the data.
pub fn cache() -> anyhow::Result<PathBuf> {
    Ok(local()?.join("cache"))
}
