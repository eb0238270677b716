//! The points of one partition as Kafka has them, and what has to become of them.

use std::collections::HashSet;

use wattline_counters::{Reading, pair};
use wattline_model::{Counters, Interval, Kind, Limits, Position};
use wattline_wire::record;

use crate::devices::Devices;
use crate::key::Key;

/// A point in Kafka.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub key: Key,
    pub position: Position,
    /// Where its counters are; not used by points outside a chain.
    reading: u32,
}

/// Takes the records of a partition, in their order.
pub(crate) struct LogBuilder {
    kind: Kind,
    points: Vec<Point>,
    readings: Vec<(Counters, Limits)>,
    undecodable: Vec<Position>,
    /// Offsets of records that a worker could not read, perhaps one of an earlier version than this.
    put_aside: HashSet<i64>,
}

impl LogBuilder {
    pub(crate) fn new(kind: Kind, put_aside: HashSet<i64>) -> Self {
        LogBuilder { kind, points: Vec::new(), readings: Vec::new(), undecodable: Vec::new(), put_aside }
    }

    pub(crate) fn record(&mut self, offset: i64, bytes: &[u8], devices: &mut Devices) {
        let record = record::decode(bytes).ok().filter(|_| !self.put_aside.contains(&offset));
        let Some(record) = record else {
            // As a whole it counts as one point.
            self.undecodable.push(Position { offset, index: 0 });
            return;
        };
        for (index, (header, point)) in (0..).zip(record.points()) {
            let device = devices.number(header.client_id, &point.device_id);
            let counters = point.quantities.counters().filter(|_| self.kind == Kind::BatteryCounter);
            let reading = self.readings.len() as u32;
            self.readings.extend(counters.map(|counters| (counters, point.limits)));
            self.points.push(Point {
                key: Key { device, in_chain: counters.is_some(), time_ms: point.end_ms() },
                position: Position { offset, index },
                reading,
            });
        }
    }

    /// `low..high` are the offsets that the records were read from.
    pub(crate) fn finish(self, low: i64, high: i64) -> Log {
        let LogBuilder { mut points, readings, undecodable, .. } = self;
        points.sort_unstable_by_key(|point| (point.key, point.position));
        let mut starts = Vec::new();
        for (at, point) in points.iter().enumerate() {
            if at == 0 || points[at - 1].key != point.key {
                starts.push(at);
            }
        }
        let known_before = vec![false; starts.len()];
        Log { low, high, points, readings, undecodable, starts, known_before }
    }
}

/// All points of a partition, those of one key together, in their order.
///
/// Much is asked of a prefix of the log, given by the offset where it ends: a sink that has stored all below
/// an offset shows what the log up to there amounts to, whatever follows.
pub(crate) struct Log {
    pub low: i64,
    pub high: i64,
    pub undecodable: Vec<Position>,
    points: Vec<Point>,
    readings: Vec<(Counters, Limits)>,
    /// Where the points of each key begin. A key is known by its place here.
    starts: Vec<usize>,
    /// The reading that stays at this time is older than all that Kafka still has.
    known_before: Vec<bool>,
}

/// A reading that is not to be stored, because of another one at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Loser {
    pub position: Position,
    /// Where it turned out.
    pub since: Position,
}

/// Two consecutive readings, and the row that they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub interval: Interval,
    pub position: Position,
    /// The place of the key of the earlier one.
    pub previous: usize,
}

impl Log {
    pub(crate) fn point_count(&self) -> u64 {
        (self.points.len() + self.undecodable.len()) as u64
    }

    pub(crate) fn key_count(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn points_of(&self, key: usize) -> &[Point] {
        let end = self.starts.get(key + 1).copied().unwrap_or(self.points.len());
        &self.points[self.starts[key]..end]
    }

    pub(crate) fn key(&self, key: usize) -> Key {
        self.points[self.starts[key]].key
    }

    pub(crate) fn find(&self, key: Key) -> Option<usize> {
        self.starts.binary_search_by_key(&key, |&start| self.points[start].key).ok()
    }

    pub(crate) fn set_known_before(&mut self, key: usize) {
        self.known_before[key] = true;
    }

    pub(crate) fn is_known_before(&self, key: usize) -> bool {
        self.known_before[key]
    }

    /// The point of a key that a reader sees when everything below `end` is stored: of readings with
    /// counters the largest, else the last one.
    pub(crate) fn standing(&self, key: usize, end: i64) -> Option<&Point> {
        let points = self.points_of(key);
        let below = &points[..points.partition_point(|point| point.position.offset < end)];
        below.iter().reduce(|stays, next| {
            let is_replaced = !next.key.in_chain || self.counters(next) > self.counters(stays);
            if is_replaced { next } else { stays }
        })
    }

    /// Tells the losers among the points of a key, and counts those that repeat what was there.
    pub(crate) fn repeated(&self, key: usize, mut loser: impl FnMut(Loser)) -> u64 {
        let points = self.points_of(key);
        let mut repeated = 0;
        let mut stays = &points[0];
        for next in &points[1..] {
            if !next.key.in_chain || self.counters(next) == self.counters(stays) {
                repeated += 1;
            } else if self.counters(next) < self.counters(stays) {
                loser(Loser { position: next.position, since: next.position });
            } else {
                loser(Loser { position: stays.position, since: next.position });
                stays = next;
            }
        }
        repeated
    }

    /// The pair of the chain that ends with a key, as the log up to `end` has it.
    pub(crate) fn pair(&self, key: usize, end: i64) -> Option<Pair> {
        let next = self.standing(key, end)?;
        let of_device = |key: &usize| {
            let Key { device, in_chain, .. } = self.key(*key);
            (device, in_chain) == (next.key.device, true)
        };
        let (previous_key, previous) = (0..key)
            .rev()
            .take_while(of_device)
            .find_map(|key| self.standing(key, end).map(|point| (key, point)))?;
        Some(Pair {
            interval: pair(&self.reading(previous), &self.reading(next)),
            position: previous.position.max(next.position),
            previous: previous_key,
        })
    }

    fn counters(&self, point: &Point) -> &Counters {
        &self.readings[point.reading as usize].0
    }

    fn reading(&self, point: &Point) -> Reading {
        let (counters, limits) = self.readings[point.reading as usize];
        Reading { time_ms: point.key.time_ms, counters, limits }
    }
}
