//! The points of a partition: Kafka's against what each sink has, and against the rejected.

use std::collections::HashSet;

use wattline_model::Position;

use crate::devices::Devices;
use crate::key::{Row, place};
use crate::log::{Log, Loser};
use crate::problems::Problems;

pub(crate) const CLICKHOUSE: &str = "ClickHouse";
pub(crate) const PARQUET: &str = "Parquet";
const REJECTED: &str = "rejected";

/// The offset below which each sink has to have everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demanded {
    pub clickhouse: i64,
    pub parquet: i64,
}

/// What the sinks have of a partition, as far as Kafka still has it too.
#[derive(Default)]
pub(crate) struct Stored {
    /// Under FINAL: a row a key.
    pub clickhouse: Vec<Row>,
    /// All rows of all files.
    pub parquet: Vec<Row>,
    pub rejected: Vec<Position>,
    /// The offsets of the rejected that are whole records.
    pub put_aside: HashSet<i64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub kafka: u64,
    pub clickhouse: u64,
    pub parquet: u64,
    pub rejected: u64,
    pub duplicates: u64,
    pub pending_clickhouse: u64,
    pub pending_parquet: u64,
}

/// Compares the points. Every point in Kafka is one of: stored, pending, rejected, or a duplicate.
pub(crate) fn compare(
    log: &Log,
    stored: &mut Stored,
    demanded: Demanded,
    devices: &Devices,
    problems: &mut Problems,
) -> Counts {
    stored.clickhouse.sort_unstable();
    stored.parquet.sort_unstable();
    let fates = Fates::of(log);
    let rejected = compare_rejected(log, &fates, &stored.rejected, demanded.clickhouse, problems);
    let mut sink = |name, rows: &[Row], end| compare_sink(log, name, rows, end, devices, problems);
    let clickhouse = sink(CLICKHOUSE, &stored.clickhouse, demanded.clickhouse);
    let parquet = sink(PARQUET, &stored.parquet, demanded.parquet);
    let counts = Counts {
        kafka: log.point_count(),
        clickhouse: clickhouse.stored,
        parquet: parquet.stored,
        rejected: rejected.stored,
        duplicates: fates.duplicates + fates.either.len() as u64 - rejected.of_either,
        pending_clickhouse: clickhouse.pending + rejected.pending,
        pending_parquet: parquet.pending + rejected.pending,
    };
    if problems.is_empty() {
        let others = counts.rejected + counts.duplicates;
        for (name, sum) in [
            (CLICKHOUSE, counts.clickhouse + counts.pending_clickhouse + others),
            (PARQUET, counts.parquet + counts.pending_parquet + others),
        ] {
            if sum != counts.kafka {
                problems.add(name, "the sum is not that of Kafka", || format!("{sum}, not {}", counts.kafka));
            }
        }
    }
    counts
}

/// What becomes of the points of the log that are not the ones to be stored.
struct Fates {
    /// In order.
    losers: Vec<Loser>,
    duplicates: u64,
    /// Readings at a time whose reading is older than what Kafka has: what they lost against or repeat
    /// cannot be told from Kafka.
    either: HashSet<Position>,
}

impl Fates {
    fn of(log: &Log) -> Self {
        let whole = log.undecodable.iter().map(|&position| Loser { position, since: position });
        let mut fates = Fates { losers: whole.collect(), duplicates: 0, either: HashSet::new() };
        for key in 0..log.key_count() {
            if log.is_known_before(key) {
                fates.either.extend(log.points_of(key).iter().map(|point| point.position));
            } else {
                fates.duplicates += log.repeated(key, |loser| fates.losers.push(loser));
            }
        }
        fates.losers.sort_unstable();
        fates
    }
}

#[derive(Default)]
struct RejectedCounts {
    stored: u64,
    of_either: u64,
    pending: u64,
}

fn compare_rejected(
    log: &Log,
    fates: &Fates,
    rejected: &[Position],
    end: i64,
    problems: &mut Problems,
) -> RejectedCounts {
    let mut counts = RejectedCounts::default();
    let rejected: HashSet<Position> =
        rejected.iter().copied().filter(|position| position.offset >= log.low).collect();
    let mut explained = HashSet::new();
    for loser in &fates.losers {
        if rejected.contains(&loser.position) {
            explained.insert(loser.position);
        } else if loser.since.offset < end {
            problems.add(REJECTED, "missing", || place(loser.position));
        } else {
            counts.pending += 1;
        }
    }
    let mut others: Vec<Position> = rejected.difference(&explained).copied().collect();
    others.sort_unstable();
    for position in others {
        if fates.either.contains(&position) {
            counts.of_either += 1;
        } else {
            problems.add(REJECTED, "not a point of Kafka that loses", || place(position));
        }
    }
    counts.stored = rejected.len() as u64;
    counts
}

#[derive(Default)]
struct SinkCounts {
    stored: u64,
    pending: u64,
}

/// Both are ordered by key: goes through them side by side.
fn compare_sink(
    log: &Log,
    sink: &'static str,
    rows: &[Row],
    end: i64,
    devices: &Devices,
    problems: &mut Problems,
) -> SinkCounts {
    let mut counts = SinkCounts::default();
    let mut rows =
        rows.chunk_by(|a, b| a.key == b.key).filter_map(|rows| still_in_kafka(log, rows)).peekable();
    let unknown = |row: &Row, problems: &mut Problems| {
        let name = || format!("{}, from {}", row.key.describe(devices), place(row.position));
        problems.add(sink, "not in Kafka", name);
    };
    for key in 0..log.key_count() {
        while let Some(rows) = rows.next_if(|rows| rows[0].key < log.key(key)) {
            counts.stored += 1;
            unknown(&rows[0], problems);
        }
        match rows.next_if(|rows| rows[0].key == log.key(key)) {
            Some(rows) => {
                counts.stored += 1;
                compare_key(log, key, sink, rows, end, devices, problems);
            }
            None if log.is_known_before(key) => {}
            None => match log.standing(key, end) {
                Some(point) => problems.add(sink, "missing", || {
                    format!("{}, from {}", point.key.describe(devices), place(point.position))
                }),
                None => counts.pending += 1,
            },
        }
    }
    for rows in rows {
        counts.stored += 1;
        unknown(&rows[0], problems);
    }
    counts
}

/// The rows of a key, which are ordered, without those that are older than what Kafka has.
fn still_in_kafka<'a>(log: &Log, rows: &'a [Row]) -> Option<&'a [Row]> {
    let older = rows.partition_point(|row| row.position.offset < log.low);
    Some(&rows[older..]).filter(|rows| !rows.is_empty())
}

fn compare_key(
    log: &Log,
    key: usize,
    sink: &'static str,
    rows: &[Row],
    end: i64,
    devices: &Devices,
    problems: &mut Problems,
) {
    let points = log.points_of(key);
    let name = |row: &Row| format!("{}, from {}", row.key.describe(devices), place(row.position));
    for row in rows {
        if points.binary_search_by_key(&row.position, |point| point.position).is_err() {
            problems.add(sink, "not where Kafka has it", || name(row));
            return;
        }
    }
    for rows in rows.windows(2).filter(|rows| rows[0] == rows[1]) {
        problems.add(sink, "stored twice", || name(&rows[0]));
    }
    let Some(newest) = rows.last().filter(|_| !log.is_known_before(key)) else { return };
    // What is behind the demanded offset may be there already.
    let seen_at = end.max(newest.position.offset + 1);
    if let Some(right) = log.standing(key, seen_at).filter(|right| right.position != newest.position) {
        problems.add(sink, "not the point that stays", || {
            format!("{}, which is at {}", name(newest), place(right.position))
        });
    }
}
