//! What the tables and the files have to be: the log once more, in the plainest words.

use std::collections::{BTreeMap, BTreeSet};

use wattline_clickhouse_sink::Table;
use wattline_counters::{Reading, pair};
use wattline_model::{Counters, Kind, Position};
use wattline_wire::record;

use super::log::Entry;
use super::world::{Row, State, newest};

type Device = (String, String);

#[derive(Default)]
struct Expected {
    /// The readings that stay, by device and time.
    chain: BTreeMap<(Device, i64), (Reading, Position)>,
    rejected: BTreeSet<Position>,
    /// The keys of the rows that are no part of a chain: reported intervals and offline readings.
    others: BTreeSet<String>,
}

fn expect(log: &[Entry], kind: Kind) -> Expected {
    let mut expected = Expected::default();
    for entry in log {
        let Ok(record) = record::decode(&entry.value) else {
            expected.rejected.insert(Position { offset: entry.offset, index: 0 });
            continue;
        };
        for (index, (header, point)) in (0..).zip(record.points()) {
            let position = Position { offset: entry.offset, index };
            let client = header.client_id;
            let device = (client.to_owned(), point.device_id.clone().into_owned());
            match (kind, point.quantities.counters()) {
                (Kind::Battery, _) => {
                    let end_ms = point.end_ms();
                    expected.others.insert(format!("{client}|{}|REPORTED|{end_ms}", point.device_id));
                }
                (Kind::BatteryCounter, None) => {
                    expected.others.insert(format!("{client}|{}|{}|false", point.device_id, point.time_ms));
                }
                (Kind::BatteryCounter, Some(counters)) => {
                    let reading = Reading { time_ms: point.time_ms, counters, limits: point.limits };
                    expected.take(device, reading, position);
                }
            }
        }
    }
    expected
}

impl Expected {
    fn take(&mut self, device: Device, reading: Reading, position: Position) {
        let stays = self.chain.entry((device, reading.time_ms)).or_insert((reading, position));
        let known: Counters = stays.0.counters;
        if reading.counters < known {
            self.rejected.insert(position);
        } else if reading.counters > known {
            self.rejected.insert(stays.1);
            *stays = (reading, position);
        }
    }

    /// The text of every derived interval, by its key.
    fn intervals(&self) -> BTreeMap<String, String> {
        let chain: Vec<_> = self.chain.iter().collect();
        chain
            .windows(2)
            .filter(|two| two[0].0.0 == two[1].0.0)
            .map(|two| {
                let ((client, device), _) = two[1].0;
                let interval = pair(&two[0].1.0, &two[1].1.0);
                let energy =
                    interval.energy_mwh.map(|energy| energy.map_or("null".into(), |mwh| mwh.to_string()));
                let quality = interval.quality.map(|quality| quality.name());
                let key = format!("{client}|{device}|COUNTER|{}", interval.end_ms);
                (key, format!("{} {energy:?} {quality:?} {}", interval.start_ms, interval.gap))
            })
            .collect()
    }
}

pub(super) fn check(world: &State, log: &[Entry], kind: Kind) {
    let expected = expect(log, kind);
    let tables = (world.newest(Table::Intervals), world.newest(Table::Readings));
    compare("ClickHouse", &expected, kind, tables);

    let rejected: BTreeSet<Position> = world
        .newest(Table::Rejected)
        .values()
        .map(|row| Position { offset: row.offset, index: row.index })
        .collect();
    assert_eq!(rejected, expected.rejected, "what is in the table of the rejected");

    let mut places = BTreeSet::new();
    for (name, row) in world.files.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (name, row))) {
        let is_readings = name.contains("readings");
        let is_new = places.insert((is_readings, row.offset, row.index, row.time_ms));
        assert!(is_new, "{name} has a row a second time: {row:?}");
    }
    let rows = |is_readings: bool| {
        let files = world.files.iter().filter(move |(name, _)| name.contains("readings") == is_readings);
        newest(files.flat_map(|(_, rows)| rows))
    };
    compare("Parquet", &expected, kind, (rows(false), rows(true)));
}

fn compare(
    sink: &str,
    expected: &Expected,
    kind: Kind,
    (intervals, readings): (BTreeMap<&str, &Row>, BTreeMap<&str, &Row>),
) {
    if kind == Kind::Battery {
        let keys: BTreeSet<String> = intervals.keys().map(|key| (*key).to_owned()).collect();
        assert_eq!(keys, expected.others, "the reported intervals in {sink}");
        assert!(readings.is_empty(), "{sink} has readings of interval data");
        return;
    }
    let keys: BTreeSet<String> = readings.keys().map(|key| (*key).to_owned()).collect();
    let chain =
        expected.chain.keys().map(|((client, device), time_ms)| format!("{client}|{device}|{time_ms}|true"));
    let want: BTreeSet<String> = chain.chain(expected.others.iter().cloned()).collect();
    assert_eq!(keys, want, "the readings in {sink}");
    for (key, row) in &readings {
        let Some(counters) = row.counters() else { continue };
        let (_, (reading, _)) = expected
            .chain
            .iter()
            .find(|(((client, device), time_ms), _)| format!("{client}|{device}|{time_ms}|true") == **key)
            .expect("its key is expected");
        assert_eq!(counters, reading.counters, "the reading {key} in {sink}");
    }
    let got: BTreeMap<String, String> =
        intervals.iter().map(|(key, row)| ((*key).to_owned(), row.interval_text())).collect();
    assert_eq!(got, expected.intervals(), "the derived intervals in {sink}");
}
