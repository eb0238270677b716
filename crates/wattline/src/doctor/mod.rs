//! `wattline doctor`: is everything that is configured there, does it fit, and what is to be done where it does not?
//!
//! Nothing is changed. A check that others stand on comes first, and where it fails those are not made.

mod bucket;
mod check;
mod clickhouse;
mod directory;
mod kafka;
mod machine;
mod parquet;

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;

use crate::config::Config;
use check::Status;

/// The longest that a check may take.
const DEADLINE: Duration = Duration::from_secs(15);

pub async fn run(config: Config, file: Option<&Path>, as_json: bool) -> anyhow::Result<ExitCode> {
    let (config, file) = (Arc::new(config), file.map(Path::to_owned));
    // All at once: what is away takes its time, and need not take it after one another.
    let areas = [
        tokio::spawn(async { vec![machine::version()] }),
        tokio::spawn(kafka::examine(Arc::clone(&config))),
        tokio::spawn(clickhouse::examine(Arc::clone(&config))),
        tokio::spawn(directory::examine(Arc::clone(&config))),
        tokio::spawn(parquet::examine(Arc::clone(&config))),
        tokio::spawn(machine::examine(config, file)),
    ];
    let mut all = Vec::new();
    for area in areas {
        let checks = area.await.context("a check ended without a word")?;
        if !as_json {
            for check in &checks {
                write!(stdout(), "{check}")?;
            }
        }
        all.extend(checks);
    }
    let count = |status| all.iter().filter(|check| check.status == status).count();
    let failed = count(Status::Failed);
    if as_json {
        let report = json!({ "healthy": failed == 0, "checks": all });
        writeln!(stdout(), "{report:#}")?;
    } else {
        writeln!(stdout(), "{} ok, {} warnings, {failed} failed", count(Status::Ok), count(Status::Warning))?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits for an answer no longer than a check may take.
async fn within<T>(answer: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let outcome = tokio::time::timeout(DEADLINE, answer).await;
    outcome.unwrap_or_else(|_| Err(anyhow!("no answer within {DEADLINE:?}")))
}

/// The same of a call that blocks. One that never returns is left behind.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    within(async { tokio::task::spawn_blocking(call).await? }).await
}

/// An error in one line, without what each cause repeats of the one above it.
fn words(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{}", cause.trim());
        }
    }
    text.replace('\n', " ")
}

fn shown(path: &Path) -> String {
    let absolute: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.display().to_string()
}
