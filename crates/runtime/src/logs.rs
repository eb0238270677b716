use std::io::IsTerminal as _;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Human,
    Json,
}

/// Writes logs to standard error. `filter` is a level, or directives such as `info,wattline_worker=debug`.
pub fn init_logs(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).context("log.level is no level and no list of directives")?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A log that cannot be written, on a full disk, would be told of on standard error too, by a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let done = match format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
    done.map_err(|error| anyhow::anyhow!("logs: {error}"))
}
