//! The outcome of an audit as a file for the textfile collector of Prometheus' node exporter.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, process};

use anyhow::Context as _;
use jiff::Timestamp;
use metrics::{Unit, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use wattline_audit::Report;

/// Puts the file into its place whole, since the collector may read at any time. An audit that could not
/// be made leaves the file as it was: its age tells.
pub fn write(file: &Path, report: &Report, at: Timestamp, took: Duration) -> anyhow::Result<()> {
    // The collector reads files that end in .prom, so it does not see the temporary one.
    let temporary = file.with_extension(format!("{}.tmp", process::id()));
    let put = || -> std::io::Result<()> {
        let mut new = fs::File::create(&temporary)?;
        new.write_all(text(report, at, took).as_bytes())?;
        // The exporter is another user.
        new.set_permissions(fs::Permissions::from_mode(0o644))?;
        new.sync_all()?;
        fs::rename(&temporary, file)
    };
    put()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .with_context(|| format!("cannot write {} (--prometheus)", file.display()))
}

fn text(report: &Report, at: Timestamp, took: Duration) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || record(report, at, took));
    recorder.handle().render()
}

fn record(report: &Report, at: Timestamp, took: Duration) {
    describe_gauge!(
        "wattline_audit_exact",
        "Whether the last audit found nothing missing and nothing too much."
    );
    describe_gauge!(
        "wattline_audit_partitions_inexact",
        "Partitions in which the last audit found a problem."
    );
    describe_gauge!(
        "wattline_audit_points",
        "Points that the last audit counted, by where they are or why they are not there."
    );
    describe_gauge!(
        "wattline_audit_intervals",
        "Derived intervals that the last audit counted, by where they are."
    );
    describe_gauge!(
        "wattline_audit_timestamp_seconds",
        Unit::Seconds,
        "When the last audit ended, in seconds since 1970."
    );
    describe_gauge!("wattline_audit_duration_seconds", Unit::Seconds, "How long the last audit took.");

    gauge!("wattline_audit_exact").set(f64::from(u8::from(report.exact)));
    let inexact = report.partitions.iter().filter(|partition| !partition.exact).count();
    gauge!("wattline_audit_partitions_inexact").set(inexact as f64);
    let totals = &report.totals;
    for (at, points) in [
        ("kafka", totals.kafka_points),
        ("clickhouse", totals.clickhouse_points),
        ("parquet", totals.parquet_points),
        ("rejected", totals.rejected),
        ("duplicates", totals.duplicates),
        ("pending_clickhouse", totals.pending_clickhouse),
        ("pending_parquet", totals.pending_parquet),
    ] {
        gauge!("wattline_audit_points", "at" => at).set(points as f64);
    }
    for (at, intervals) in [
        ("expected", totals.intervals_expected),
        ("clickhouse", totals.intervals_clickhouse),
        ("parquet", totals.intervals_parquet),
    ] {
        gauge!("wattline_audit_intervals", "at" => at).set(intervals as f64);
    }
    gauge!("wattline_audit_timestamp_seconds").set(at.as_second() as f64);
    gauge!("wattline_audit_duration_seconds").set(took.as_secs_f64());
}
