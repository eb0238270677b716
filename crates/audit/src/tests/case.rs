//! A partition that a small worker has stored: the real one's rules once more, without its care for memory,
//! batches and failures.

use std::borrow::Cow;
use std::collections::BTreeMap;

use wattline_counters::{Reading, pair};
use wattline_model::{COUNTERS, Counters, Kind, Limits, Point, Position, Quantities};
use wattline_wire::record::{self, Header};

use crate::devices::Devices;
use crate::intervals::{self, Intervals};
use crate::key::{IntervalRow, Key, Row};
use crate::log::LogBuilder;
use crate::points::{self, CLICKHOUSE, Counts, Demanded, PARQUET, Stored};
use crate::problems::Problems;

/// 2026-11-24T00:00:00Z.
pub(super) const T0: i64 = 1_795_478_400_000;
const MINUTES_5: i64 = 300_000;

/// A point of a device at a multiple of five minutes, with a value of all four counters in Wh, or none.
pub(super) type P = (&'static str, i64, Option<i64>);

pub(super) fn encode(kind: Kind, points: &[P]) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::begin(&mut bytes, &Header { client_id: "demo", request_id: "r", received_at_ms: T0 });
    for (device, at, value) in points {
        let mut quantities = Quantities::default();
        for (quantity, wh) in COUNTERS.into_iter().zip(value.iter().cycle()) {
            quantities.set(quantity, wh * 1_000);
        }
        let is_reading = kind == Kind::BatteryCounter;
        let point = Point {
            device_id: Cow::Borrowed(device),
            time_ms: T0 + (at - i64::from(!is_reading)) * MINUTES_5,
            duration_ms: if is_reading { 0 } else { MINUTES_5 as u32 },
            last_is_online: value.is_some(),
            last_is_grid_online: None,
            last_mode: None,
            quantities,
            oem_raw_data: None,
            limits: LIMITS,
        };
        record::push(&mut bytes, kind, &point);
    }
    bytes
}

const LIMITS: Limits = Limits {
    battery_charge_w: 5_000,
    battery_discharge_w: 5_000,
    home_w: 5_000,
    solar_w: 5_000,
    modulus_mwh: 0,
};

/// An interval row that owns what it holds.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub key: Key,
    pub start_ms: i64,
    pub energy_mwh: [Option<i64>; 4],
    pub quality: [&'static str; 4],
    pub gap: bool,
    pub position: Position,
}

/// A partition, and what the sinks have of it.
pub(super) struct Case {
    pub kind: Kind,
    pub low: i64,
    pub records: Vec<Vec<u8>>,
    pub demanded: Demanded,
    pub devices: Devices,
    pub stored: Stored,
    pub clickhouse: Vec<Interval>,
    pub parquet: Vec<Interval>,
}

impl Case {
    /// All records are stored; an empty one is not a record of ours.
    pub fn new(kind: Kind, records: &[&[P]]) -> Case {
        let to = records.len() as i64;
        Case::stored_to(kind, records, to, to)
    }

    /// The first so many records are stored in each sink, and no more is demanded.
    pub fn stored_to(kind: Kind, records: &[&[P]], clickhouse: i64, parquet: i64) -> Case {
        let mut case = Case {
            kind,
            low: 0,
            records: Vec::new(),
            demanded: Demanded { clickhouse, parquet },
            devices: Devices::default(),
            stored: Stored::default(),
            clickhouse: Vec::new(),
            parquet: Vec::new(),
        };
        let mut chains = BTreeMap::new();
        for (offset, points) in (0..).zip(records) {
            let bytes = if points.is_empty() { b"\xff".to_vec() } else { encode(kind, points) };
            case.records.push(bytes);
            let written = case.work(offset, points, &mut chains);
            if offset < clickhouse {
                case.stored.clickhouse.extend(&written.rows);
                case.clickhouse.extend(written.intervals.clone());
                case.stored.rejected.extend(written.rejected);
            }
            if offset < parquet {
                case.stored.parquet.extend(written.rows);
                case.parquet.extend(written.intervals);
            }
        }
        // Under FINAL the highest version of a key is left.
        let rows = case.stored.clickhouse.iter().map(|row| (row.key, *row));
        case.stored.clickhouse = rows.collect::<BTreeMap<_, _>>().into_values().collect();
        let intervals = std::mem::take(&mut case.clickhouse).into_iter().map(|row| (row.key, row));
        case.clickhouse = intervals.collect::<BTreeMap<_, _>>().into_values().collect();
        case
    }

    /// What a worker makes of a record.
    fn work(
        &mut self,
        offset: i64,
        points: &[P],
        chains: &mut BTreeMap<Key, (Counters, Position)>,
    ) -> Written {
        let mut written = Written::default();
        if points.is_empty() {
            written.rejected.push(Position { offset, index: 0 });
        }
        let mut ends = Vec::new();
        for (index, (device, at, value)) in (0..).zip(points) {
            let position = Position { offset, index };
            let in_chain = self.kind == Kind::BatteryCounter && value.is_some();
            let key = self.key(device, *at, in_chain);
            if in_chain {
                let counters = [value.unwrap() * 1_000; 4];
                match chains.get(&key) {
                    Some((known, _)) if *known == counters => continue,
                    Some((known, _)) if *known > counters => {
                        written.rejected.push(position);
                        continue;
                    }
                    Some((_, loser)) => written.rejected.push(*loser),
                    None => {}
                }
                chains.insert(key, (counters, position));
                ends.push(key);
                let later = Key { time_ms: key.time_ms + 1, ..key }..=Key { time_ms: i64::MAX, ..key };
                ends.extend(chains.range(later).next().map(|(key, _)| *key));
            }
            written.rows.push(Row { key, position });
        }
        ends.sort();
        ends.dedup();
        for end in ends {
            let earlier = Key { time_ms: i64::MIN, ..end }..end;
            let Some((start, previous)) = chains.range(earlier).next_back() else { continue };
            let next = &chains[&end];
            let reading = |key: &Key, of: &(Counters, Position)| Reading {
                time_ms: key.time_ms,
                counters: of.0,
                limits: LIMITS,
            };
            let interval = pair(&reading(start, previous), &reading(&end, next));
            written.intervals.push(Interval {
                key: end,
                start_ms: interval.start_ms,
                energy_mwh: interval.energy_mwh,
                quality: interval.quality.map(|quality| quality.name()),
                gap: interval.gap,
                position: previous.1.max(next.1),
            });
        }
        written
    }

    pub fn key(&mut self, device: &str, at: i64, in_chain: bool) -> Key {
        Key { device: self.devices.number("demo", device), in_chain, time_ms: T0 + at * MINUTES_5 }
    }

    /// Kafka forgets what is older.
    pub fn forget_below(mut self, low: i64) -> Case {
        self.low = low;
        self
    }

    pub fn run(mut self) -> (Counts, [u64; 3], Vec<String>) {
        let mut problems = Problems::default();
        let mut builder = LogBuilder::new(self.kind, self.stored.put_aside.clone());
        for (offset, bytes) in (0..).zip(&self.records).filter(|(offset, _)| *offset >= self.low) {
            builder.record(offset, bytes, &mut self.devices);
        }
        let mut log = builder.finish(self.low, self.records.len() as i64);
        for row in &self.stored.clickhouse {
            if let Some(key) =
                log.find(row.key).filter(|_| row.key.in_chain && row.position.offset < self.low)
            {
                log.set_known_before(key);
            }
        }
        let counts = points::compare(&log, &mut self.stored, self.demanded, &self.devices, &mut problems);
        let mut found = |sink, rows: &[Interval], end| {
            let mut intervals = Intervals::new(&log, sink);
            for row in rows {
                let Interval { key, start_ms, energy_mwh, quality, gap, position } = row.clone();
                let row = IntervalRow { key, start_ms, energy_mwh, quality, gap, position };
                intervals.row(&row, &self.devices, &mut problems);
            }
            intervals.finish(end, &self.devices, &mut problems)
        };
        let clickhouse = found(CLICKHOUSE, &self.clickhouse, self.demanded.clickhouse);
        let parquet = found(PARQUET, &self.parquet, self.demanded.parquet);
        (counts, [intervals::expected(&log), clickhouse, parquet], problems.into_texts())
    }

    #[track_caller]
    pub fn check_exact(self, counts: [u64; 7], intervals: [u64; 3]) {
        let (found, pairs, problems) = self.run();
        assert_eq!(problems, Vec::<String>::new());
        let Counts { kafka, clickhouse, parquet, rejected, duplicates, pending_clickhouse, pending_parquet } =
            found;
        let found = [kafka, clickhouse, parquet, rejected, duplicates, pending_clickhouse, pending_parquet];
        assert_eq!((found, pairs), (counts, intervals));
    }

    #[track_caller]
    pub fn check_told(self, problems: &[&str]) {
        assert_eq!(self.run().2, problems);
    }
}

#[derive(Default)]
struct Written {
    rows: Vec<Row>,
    intervals: Vec<Interval>,
    rejected: Vec<Position>,
}
