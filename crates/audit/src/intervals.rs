//! The derived intervals of a partition: the pairs of Kafka's chains against what a sink has.

use std::collections::BTreeMap;

use wattline_model::{COUNTERS, Position};

use crate::devices::Devices;
use crate::key::{IntervalRow, Key, place, time};
use crate::log::{Log, Pair};
use crate::problems::Problems;

/// So many wrong rows are remembered with what is wrong.
const DESCRIBED_MAX: usize = 100;

/// Compares the rows of one sink with the chains, as they come. Of several rows of a key the one of the
/// highest position counts; they come in the order of their positions.
pub(crate) struct Intervals<'a> {
    log: &'a Log,
    sink: &'static str,
    /// By key.
    newest: Vec<Option<Newest>>,
    described: BTreeMap<usize, String>,
}

#[derive(Clone, Copy)]
struct Newest {
    position: Position,
    verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Right,
    Wrong,
    /// It rests on a reading that Kafka no longer has, or did not have yet.
    Unknown,
}

impl<'a> Intervals<'a> {
    pub(crate) fn new(log: &'a Log, sink: &'static str) -> Self {
        Intervals { log, sink, newest: vec![None; log.key_count()], described: BTreeMap::new() }
    }

    pub(crate) fn row(&mut self, row: &IntervalRow<'_>, devices: &Devices, problems: &mut Problems) {
        if row.position.offset < self.log.low {
            return;
        }
        let name = || format!("{}, from {}", row.key.describe(devices), place(row.position));
        let Some(key) = self.log.find(row.key) else {
            // A late reading before one that Kafka no longer has gives a row that ends at that one. And a
            // reading that came after Kafka was read may be anything.
            let is_older = self.log.low > 0 && self.log.find(at(row.key, row.start_ms)).is_some();
            if !is_older && row.position.offset < self.log.high {
                problems.add(self.sink, "interval without its reading in Kafka", name);
            }
            return;
        };
        if self.newest[key].is_some_and(|newest| newest.position >= row.position) {
            problems.add(self.sink, "interval stored twice", name);
            return;
        }
        let (verdict, how) = self.judge(key, row);
        self.described.remove(&key);
        if let Some(how) = how.filter(|_| self.described.len() < DESCRIBED_MAX) {
            self.described.insert(key, how);
        }
        self.newest[key] = Some(Newest { position: row.position, verdict });
    }

    /// Whether the row is what the log up to its own record makes it, and what is wrong with it.
    fn judge(&self, key: usize, row: &IntervalRow<'_>) -> (Verdict, Option<String>) {
        if row.position.offset >= self.log.high || self.log.is_known_before(key) {
            return (Verdict::Unknown, None);
        }
        let seen_at = row.position.offset + 1;
        let pair = self.log.pair(key, seen_at);
        let start = self.log.find(at(row.key, row.start_ms));
        let starts_before_kafka = self.log.low > 0
            && start.and_then(|start| self.log.standing(start, seen_at)).is_none()
            && pair.is_none_or(|pair| row.start_ms > pair.interval.start_ms);
        let wrong = match pair {
            _ if starts_before_kafka => return (Verdict::Unknown, None),
            Some(pair) if self.log.is_known_before(pair.previous) => return (Verdict::Unknown, None),
            None => Some("no reading before it".to_owned()),
            Some(pair) => difference(row, &pair),
        };
        (if wrong.is_none() { Verdict::Right } else { Verdict::Wrong }, wrong)
    }

    /// What is missing, stale or wrong; returns how many of the log's pairs the sink has.
    pub(crate) fn finish(self, end: i64, devices: &Devices, problems: &mut Problems) -> u64 {
        let mut found = 0;
        for (key, newest) in self.newest.iter().enumerate() {
            if !self.log.key(key).in_chain {
                continue;
            }
            found += u64::from(newest.is_some() && is_expected(self.log, key));
            let demanded = self.log.pair(key, end).filter(|_| is_expected(self.log, key));
            let name = || self.log.key(key).describe(devices);
            match (newest, demanded) {
                (Some(newest), _) if newest.verdict == Verdict::Wrong => {
                    let how = self.described.get(&key).map_or("differs", String::as_str);
                    let from = place(newest.position);
                    problems
                        .add(self.sink, "interval is wrong", || format!("{}, from {from}: {how}", name()));
                }
                (Some(newest), Some(pair))
                    if newest.verdict == Verdict::Right && newest.position < pair.position =>
                {
                    let from = place(newest.position);
                    let due = place(pair.position);
                    problems.add(self.sink, "interval is not the newest", || {
                        format!("{}, from {from}, which is at {due}", name())
                    });
                }
                (None, Some(pair)) => {
                    problems.add(self.sink, "interval is missing", || {
                        format!("{}, from {}", name(), place(pair.position))
                    });
                }
                _ => {}
            }
        }
        found
    }
}

/// How many pairs the chains of the log have.
pub(crate) fn expected(log: &Log) -> u64 {
    (0..log.key_count()).filter(|&key| is_expected(log, key)).count() as u64
}

fn is_expected(log: &Log, key: usize) -> bool {
    log.key(key).in_chain && !log.is_known_before(key) && log.pair(key, log.high).is_some()
}

fn at(key: Key, time_ms: i64) -> Key {
    Key { time_ms, ..key }
}

/// The first thing in which a row differs from its pair.
fn difference(row: &IntervalRow<'_>, pair: &Pair) -> Option<String> {
    let right = &pair.interval;
    if row.start_ms != right.start_ms {
        return Some(format!("starts at {}, should at {}", time(row.start_ms), time(right.start_ms)));
    }
    for (at, quantity) in COUNTERS.iter().enumerate() {
        let is = (row.energy_mwh[at], row.quality[at]);
        let should = (right.energy_mwh[at], right.quality[at].name());
        if is != should {
            return Some(format!("{} is {}, should be {}", quantity.name(), energy(is), energy(should)));
        }
    }
    (row.gap != right.gap).then(|| format!("gap is {}, should be {}", row.gap, right.gap))
}

fn energy((mwh, quality): (Option<i64>, &str)) -> String {
    match mwh {
        None => format!("null {quality}"),
        Some(mwh) => {
            let sign = if mwh < 0 { "-" } else { "" };
            let mwh = mwh.unsigned_abs();
            format!("{sign}{}.{:03} {quality}", mwh / 1_000, mwh % 1_000)
        }
    }
}
