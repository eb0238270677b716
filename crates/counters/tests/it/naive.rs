//! The rules once more, in the plainest words: keep everything, sort it, pair it.

use std::collections::BTreeMap;

use wattline_counters::{Chain, Inserted, Link, Reading, pair};
use wattline_model::{Counters, Interval, Limits};

/// The intervals of a set of readings, from scratch.
pub fn intervals(readings: &[Reading]) -> Vec<Interval> {
    let mut by_time = BTreeMap::<i64, Reading>::new();
    for reading in readings {
        let stays = by_time.entry(reading.time_ms).or_insert(*reading);
        if reading.counters > stays.counters {
            *stays = *reading;
        }
    }
    let chain: Vec<Reading> = by_time.into_values().collect();
    chain.windows(2).map(|two| pair(&two[0], &two[1])).collect()
}

/// A table as a reader sees it: the rows by their key, the newest of each.
#[derive(Default, Debug)]
pub struct Table {
    pub rows: BTreeMap<i64, (u64, Interval)>,
    pub rows_emitted: usize,
    pub rejected: Vec<(i64, Counters)>,
}

impl Table {
    pub fn intervals(&self) -> Vec<Interval> {
        self.rows.values().map(|(_, interval)| *interval).collect()
    }
}

/// One device's chain over its whole life, batch by batch, as the worker drives it.
pub struct Device {
    chain: Chain<u64>,
    position: u64,
    pub table: Table,
}

impl Default for Device {
    fn default() -> Self {
        Device { chain: Chain::new(Vec::new()), position: 0, table: Table::default() }
    }
}

impl Device {
    pub fn batch(&mut self, readings: &[Reading]) {
        for reading in readings {
            self.position += 1;
            match self.chain.insert(Link { reading: *reading, payload: self.position }) {
                Inserted::New | Inserted::Same => {}
                Inserted::Refused => self.table.rejected.push((reading.time_ms, reading.counters)),
                Inserted::Replaced(link) => {
                    self.table.rejected.push((link.reading.time_ms, link.reading.counters));
                }
            }
        }
        for (previous, next) in self.chain.take_changed() {
            let version = previous.payload.max(next.payload);
            let interval = pair(&previous.reading, &next.reading);
            self.table.rows_emitted += 1;
            let row = self.table.rows.entry(interval.end_ms).or_insert((version, interval));
            assert!(version >= row.0, "a row that replaces another is newer");
            *row = (version, interval);
        }
    }
}

pub fn reading(time_ms: i64, counters: Counters, limits: Limits) -> Reading {
    Reading { time_ms, counters, limits }
}
