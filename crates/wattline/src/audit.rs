use std::io::{Write as _, stdout};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use wattline_audit::Settings;
use wattline_clickhouse_sink::ClickHouse;

use crate::config::Config;
use crate::rebuild;

mod textfile;

/// Prints what the audit found, and says by the exit code whether all is exact.
pub async fn run(
    config: Config,
    as_json: bool,
    complete: bool,
    prometheus: Option<&Path>,
) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let settings = Settings {
        kafka: config.kafka.connection()?,
        group: config.worker.group.clone(),
        topic_intervals: config.kafka.topic_intervals.clone(),
        topic_counters: config.kafka.topic_counters.clone(),
        complete,
    };
    let clickhouse = ClickHouse::new(config.clickhouse.settings()?)?;
    let files = config.store()?;
    rebuild::refuse_moved(&files).await?;
    let report = wattline_audit::audit(&settings, &clickhouse, &files).await?;
    if let Some(file) = prometheus {
        textfile::write(file, &report, jiff::Timestamp::now(), began.elapsed())?;
    }
    if as_json {
        writeln!(stdout(), "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(stdout(), "{report}")?;
    }
    Ok(if report.exact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
