//! The count of every point, from the fleet's ledger to the sinks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the fleet counted.
#[derive(Debug, Deserialize)]
pub struct FleetReport {
    pub points_sent: u64,
    pub points_ok: u64,
    pub points_failed: u64,
    /// Without an OK, and perhaps stored: "not confirmed" was the last answer.
    pub points_maybe_stored: u64,
    pub failed_by_reason: BTreeMap<String, u64>,
}

/// What `wattline audit` counted.
#[derive(Debug, Deserialize)]
pub struct Audit {
    pub exact: bool,
    pub kafka_points: u64,
    pub clickhouse_points: u64,
    pub parquet_points: u64,
    pub rejected: u64,
    /// Points in Kafka that repeat an earlier one.
    pub duplicates: u64,
}

/// Whether both sinks hold each OK point once and nothing that no OK or doubt accounts for.
pub fn is_exact(fleet: &FleetReport, audit: &Audit) -> bool {
    let promised = fleet.points_ok..=fleet.points_ok + fleet.points_maybe_stored;
    audit.exact
        && audit.clickhouse_points == audit.parquet_points
        && audit.kafka_points == audit.clickhouse_points + audit.duplicates + audit.rejected
        && audit.rejected == 0
        && promised.contains(&audit.clickhouse_points)
}

/// The report for machines.
#[derive(Debug, Serialize)]
pub struct Report {
    pub points_sent: u64,
    pub points_ok: u64,
    pub points_failed: u64,
    pub kafka_points: u64,
    pub clickhouse_points: u64,
    pub parquet_points: u64,
    pub exact: bool,
    /// From the first post to the last point stored.
    pub seconds: f64,
}

pub struct Account {
    pub report: Report,
    failed_by_reason: BTreeMap<String, u64>,
    points_maybe_stored: u64,
    duplicates: u64,
    rejected: u64,
}

impl Account {
    pub fn new(fleet: FleetReport, audit: Audit, took: Duration) -> Account {
        Account {
            report: Report {
                points_sent: fleet.points_sent,
                points_ok: fleet.points_ok,
                points_failed: fleet.points_failed,
                kafka_points: audit.kafka_points,
                clickhouse_points: audit.clickhouse_points,
                parquet_points: audit.parquet_points,
                exact: is_exact(&fleet, &audit),
                seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            },
            failed_by_reason: fleet.failed_by_reason,
            points_maybe_stored: fleet.points_maybe_stored,
            duplicates: audit.duplicates,
            rejected: audit.rejected,
        }
    }

    pub fn table(&self) -> String {
        let report = &self.report;
        let mut rows = vec![
            ("sent by the fleet".to_owned(), report.points_sent),
            ("  answered OK".to_owned(), report.points_ok),
            ("  answered FAILED".to_owned(), report.points_failed),
        ];
        let reasons = self.failed_by_reason.iter();
        rows.extend(reasons.map(|(reason, points)| (format!("    {reason}"), *points)));
        rows.push(("in Kafka".to_owned(), report.kafka_points));
        // Rare, so only shown when there is something to show.
        let rare = [
            ("  of them sent again", self.duplicates),
            ("  of them rejected by the worker", self.rejected),
            ("  not answered OK, yet perhaps stored", self.points_maybe_stored),
        ];
        rows.extend(
            rare.into_iter()
                .filter(|(_, points)| *points > 0)
                .map(|(name, points)| (name.to_owned(), points)),
        );
        rows.push(("in ClickHouse".to_owned(), report.clickhouse_points));
        rows.push(("in Parquet".to_owned(), report.parquet_points));

        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let mut table = format!("{:<width$}  {:>12}\n{}\n", "", "points", "─".repeat(width + 14));
        for (name, points) in &rows {
            let _ = writeln!(table, "{name:<width$}  {:>12}", grouped(*points));
        }
        let exact = if report.exact { "yes" } else { "NO" };
        let _ = writeln!(table, "{}\n{:<width$}  {exact:>12}", "─".repeat(width + 14), "exact");
        let _ = writeln!(table, "{:<width$}  {:>12.1}", "seconds", report.seconds);
        table
    }
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(points_ok: u64, points_maybe_stored: u64) -> FleetReport {
        FleetReport {
            points_sent: points_ok + 10,
            points_ok,
            points_failed: 10,
            points_maybe_stored,
            failed_by_reason: BTreeMap::from([("unknown device".to_owned(), 10)]),
        }
    }

    fn audit(clickhouse_points: u64, parquet_points: u64, duplicates: u64) -> Audit {
        Audit {
            exact: clickhouse_points == parquet_points,
            kafka_points: clickhouse_points + duplicates,
            clickhouse_points,
            parquet_points,
            rejected: 0,
            duplicates,
        }
    }

    #[test]
    fn exact_is_every_ok_point_once_in_both() {
        assert!(is_exact(&fleet(1000, 0), &audit(1000, 1000, 0)));
        assert!(is_exact(&fleet(1000, 0), &audit(1000, 1000, 7)), "what was sent again is stored once");
        assert!(is_exact(&fleet(1000, 3), &audit(1002, 1002, 0)), "a doubtful point may be there");
        assert!(!is_exact(&fleet(1000, 0), &audit(999, 999, 0)), "lost");
        assert!(!is_exact(&fleet(1000, 0), &audit(1001, 1001, 0)), "twice");
        assert!(!is_exact(&fleet(1000, 3), &audit(1001, 1002, 0)), "the sinks differ");
        assert!(!is_exact(&fleet(1000, 0), &Audit { exact: false, ..audit(1000, 1000, 0) }));
    }

    #[test]
    fn the_table_counts_each_stage() {
        let account =
            Account::new(fleet(1_234_567, 0), audit(1_234_567, 1_234_567, 7), Duration::from_secs(21));
        let lines: Vec<String> = account
            .table()
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        for line in [
            "sent by the fleet 1,234,577",
            "answered OK 1,234,567",
            "unknown device 10",
            "in Kafka 1,234,574",
            "of them sent again 7",
            "in Parquet 1,234,567",
            "exact yes",
            "seconds 21.0",
        ] {
            assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
        }
    }
}
