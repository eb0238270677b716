//! The oracle: the fleet's ledger against what a reader sees in both sinks, and the audit.
//!
//! The ledger is compared by the engine itself, in SQL, so that it shares no code with Wattline.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Serialize;

use super::lab::Lab;
use super::load::Told;

/// A loaded machine with two cores needs its time to catch up.
const STORED_DEADLINE: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is left when all is healed and stored.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    pub points_ok: u64,
    pub points_failed: u64,
    /// Points answered OK that are missing in a sink.
    pub lost: u64,
    pub lost_in_clickhouse: u64,
    pub lost_in_parquet: u64,
    /// Points that a reader sees twice in a sink.
    pub duplicated: u64,
    /// Points in a sink that the fleet did not send.
    pub unknown: u64,
    /// Records and points in the table of the rejected.
    pub rejected: u64,
    pub audit_exact: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} points OK, lost {} (ClickHouse {}, Parquet {}), duplicated {}, unknown {}, rejected {}, audit {}",
            self.points_ok,
            self.lost,
            self.lost_in_clickhouse,
            self.lost_in_parquet,
            self.duplicated,
            self.unknown,
            self.rejected,
            if self.audit_exact { "exact" } else { "NOT EXACT" },
        )
    }
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.unknown == 0 && self.audit_exact
    }
}

/// A ledger of a load that ended before the last one.
pub struct Earlier {
    pub ledger: PathBuf,
    /// The endpoint whose points may be lost: their topic was destroyed before they were stored.
    pub destroyed: Option<&'static str>,
}

/// Waits until everything is stored, or the deadline passes: then the last verdict stands.
pub fn judge(lab: &mut Lab, told: &Told, earlier: &[Earlier]) -> anyhow::Result<Verdict> {
    let started = Instant::now();
    let ledger = Ledger::create(lab)?;
    for earlier in earlier {
        ledger.add(lab, &earlier.ledger, earlier.destroyed)?;
    }
    ledger.add(lab, &told.ledger, None)?;
    loop {
        lab.supervise()?;
        let is_late = started.elapsed() > STORED_DEADLINE;
        let mut verdict = match ledger.verdict(lab, told) {
            Ok(verdict) => verdict,
            // On a busy machine a question may time out just after everything was healed.
            Err(cause) if !is_late => {
                println!("    asked again: {cause:#}");
                std::thread::sleep(LOOK_EVERY);
                continue;
            }
            Err(cause) => return Err(cause),
        };
        if verdict.lost == 0 || is_late {
            verdict.audit_exact = lab.site.audit(true)?.exact;
        }
        if verdict.is_good() || is_late {
            return Ok(verdict);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

struct Ledger {
    parquet: String,
}

const INTERVALS: &str = "SELECT 'BATTERY' AS endpoint, device_id, start_time AS time";
const READINGS: &str = "SELECT 'BATTERY_COUNTER' AS endpoint, device_id, timestamp AS time";

impl Ledger {
    fn create(lab: &Lab) -> anyhow::Result<Ledger> {
        lab.sql("CREATE DATABASE IF NOT EXISTS oracle")?;
        lab.sql(
            "CREATE OR REPLACE TABLE oracle.ledger (endpoint LowCardinality(String), device_id String, \
             time DateTime64(3, 'UTC'), is_ok Bool, is_possible Bool) \
             ENGINE = MergeTree ORDER BY (endpoint, device_id, time)",
        )?;
        Ok(Ledger { parquet: lab.parquet().display().to_string() })
    }

    fn add(&self, lab: &Lab, path: &Path, destroyed: Option<&str>) -> anyhow::Result<()> {
        lab.sql(&format!(
            "INSERT INTO oracle.ledger SELECT endpoint, device_id, parseDateTime64BestEffort(time, 3, 'UTC'), \
             status = 'OK' AND endpoint != '{}', status = 'OK' OR maybe_stored \
             FROM file('{}', JSONEachRow, 'endpoint String, device_id String, time String, \
             status String, maybe_stored Bool') WHERE status = 'OK' OR maybe_stored",
            destroyed.unwrap_or_default(),
            path.display()
        ))?;
        Ok(())
    }

    /// The files of a kind as a table, with columns of its own. The structure is given, as there may be no file
    /// yet to read it from.
    fn files(&self, kind: &str, columns: &str) -> String {
        format!(
            "file('{}/kind={kind}/*/*.parquet', Parquet, 'device_id String, {columns}, _topic String, \
             _partition Int32, _offset Int64, _index Int32')",
            self.parquet
        )
    }

    fn verdict(&self, lab: &Lab, told: &Told) -> anyhow::Result<Verdict> {
        let tables = format!(
            "{INTERVALS} FROM wattline.intervals FINAL WHERE source = 'REPORTED' UNION ALL \
             {READINGS} FROM wattline.readings FINAL"
        );
        let intervals = self.files("intervals", "source String, start_time DateTime64(3, \\'UTC\\')");
        let readings = self.files("readings", "timestamp DateTime64(3, \\'UTC\\')");
        let files = format!(
            "{INTERVALS} FROM {intervals} WHERE source = 'REPORTED' UNION ALL {READINGS} FROM {readings}"
        );
        let places = format!(
            "SELECT _topic, _partition, _offset, _index FROM {intervals} WHERE source = 'REPORTED' UNION ALL \
             SELECT _topic, _partition, _offset, _index FROM {readings}"
        );
        let (lost_in_clickhouse, lost_in_parquet) = (lost(lab, &tables)?, lost(lab, &files)?);
        Ok(Verdict {
            points_ok: told.report.points_ok,
            points_failed: told.report.points_failed,
            lost: lost_in_clickhouse.max(lost_in_parquet),
            lost_in_clickhouse,
            lost_in_parquet,
            // A point that was sent again is twice in Kafka and so in the files, whose readers take the last
            // one; no place of Kafka may be twice. In ClickHouse FINAL is the reader.
            duplicated: number(
                lab,
                &format!("SELECT count() - uniqExact(endpoint, device_id, time) FROM ({tables})"),
            )? + number(
                lab,
                &format!("SELECT count() - uniqExact(_topic, _partition, _offset, _index) FROM ({places})"),
            )?,
            unknown: unknown(lab, &tables)?.max(unknown(lab, &files)?),
            rejected: number(lab, "SELECT count() FROM wattline.rejected FINAL")?,
            audit_exact: false,
        })
    }
}

fn lost(lab: &Lab, stored: &str) -> anyhow::Result<u64> {
    number(
        lab,
        &format!(
            "SELECT uniqExact(endpoint, device_id, time) FROM oracle.ledger \
             WHERE is_ok AND (endpoint, device_id, time) NOT IN ({stored})"
        ),
    )
}

fn unknown(lab: &Lab, stored: &str) -> anyhow::Result<u64> {
    number(
        lab,
        &format!(
            "SELECT uniqExact(endpoint, device_id, time) FROM ({stored}) \
             WHERE (endpoint, device_id, time) NOT IN \
             (SELECT endpoint, device_id, time FROM oracle.ledger WHERE is_possible)"
        ),
    )
}

fn number(lab: &Lab, query: &str) -> anyhow::Result<u64> {
    let answer = lab.sql(query)?;
    answer.trim().parse().with_context(|| format!("{query} gave {answer:?}"))
}
