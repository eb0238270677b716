//! What the values of keys of several sections are checked by.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};

pub(super) fn address(key: &str, value: &str) -> anyhow::Result<SocketAddr> {
    value.parse().with_context(|| format!("{key} must be an address and a port, such as 0.0.0.0:8080"))
}

pub(super) fn size(key: &str, value: u64) -> anyhow::Result<usize> {
    ensure!(value > 0, "{key} must be more than 0");
    usize::try_from(value).with_context(|| format!("{key} is too large"))
}

/// A secret that is given by itself or in a file, but not both ways.
pub(super) fn secret(key: &str, value: &str, file_key: &str, file: &str) -> anyhow::Result<String> {
    ensure!(value.is_empty() || file.is_empty(), "set {key} or {file_key}, not both");
    if file.is_empty() {
        return Ok(value.to_owned());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file} ({file_key})"))?;
    Ok(text.trim().to_owned())
}
