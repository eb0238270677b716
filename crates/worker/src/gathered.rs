//! The points of a batch as columns, before anything is derived from them.

use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use wattline_clickhouse_sink::Around;
use wattline_counters::{Last, LastReadings};
use wattline_model::{COUNTERS, Kind, Point, Position, RejectReason};
use wattline_wire::record::{Header, RecordError};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::bits::BLOCK;
use crate::columns::{End, Readings, Rejected, ReportedIntervals};
use crate::inputs::{Input, Inputs};

/// A batch that comes in parts: the points of a part are in a near cache when they become rows, and then they are done
/// with. Those of a whole batch would be in none.
pub struct Gathered<'a> {
    pub(crate) rows: GatheredRows<'a>,
    pub(crate) rejected: Rejected,
    pub(crate) points: usize,
}

pub(crate) enum GatheredRows<'a> {
    /// Points of interval data are rows as they are.
    Intervals(ReportedIntervals),
    Readings(GatheredReadings<'a>),
}

pub(crate) struct GatheredReadings<'a> {
    pub readings: Readings,
    pub devices: Devices,
    /// The ids of the requests, each with its first row.
    request_ids: Vec<(usize, &'a str)>,
}

/// What a batch of counter readings has of each of its devices.
pub(crate) struct Devices {
    pub all: Vec<Seen>,
    /// The device of each row, which is `NONE` for a row that lacks a counter.
    of_rows: Vec<u32>,
    /// Where in `all` each device is, by its key.
    at: HashTable<u32>,
    seed: u64,
}

/// No device.
const NONE: u32 = u32::MAX;

pub(crate) struct Seen {
    pub key: u128,
    /// Its last reading, as it was remembered before the batch.
    pub last: Option<Last>,
    /// Any of its rows.
    row: u32,
    /// Earliest and latest time of its readings.
    min_ms: i64,
    pub max_ms: i64,
    /// Whether each of its readings is younger than the one before it in the batch.
    pub is_in_order: bool,
}

impl Seen {
    pub fn is_wanted(&self) -> bool {
        self.last.is_none_or(|(last_ms, _)| self.min_ms <= last_ms)
    }
}

impl<'a> Gathered<'a> {
    /// For about so many points, of about so many devices.
    pub(crate) fn new(
        kind: Kind,
        topic: &Arc<str>,
        partition: i32,
        points: usize,
        devices: usize,
        seed: u64,
    ) -> Self {
        let rows = match kind {
            Kind::Battery => GatheredRows::Intervals(ReportedIntervals::new(topic, partition, points)),
            Kind::BatteryCounter => GatheredRows::Readings(GatheredReadings {
                readings: Readings::new(topic, partition, points),
                devices: Devices::new(points, devices, seed),
                request_ids: Vec::new(),
            }),
        };
        Gathered { rows, rejected: Rejected::new(topic, partition), points: 0 }
    }

    pub fn add(&mut self, part: &Inputs<'a>) {
        self.points += part.count();
        let mut block = Vec::with_capacity(BLOCK);
        for request in part.requests() {
            let header = match &request.header {
                Ok(header) => header,
                Err(error) => {
                    reject_record(&mut self.rejected, request, error);
                    continue;
                }
            };
            if let GatheredRows::Readings(gathered) = &mut self.rows {
                gathered.begin_request(block.len(), header, &part.points()[request.points.clone()]);
            }
            for (position, point) in part.points_of(request) {
                block.push(End {
                    client_id: header.client_id,
                    point,
                    received_at_ms: header.received_at_ms,
                    position,
                });
                if block.len() == BLOCK {
                    self.rows.block(&block);
                    block.clear();
                }
            }
        }
        self.rows.block(&block);
    }

    /// The devices whose neighbours have to be looked up, at positions before the batch: those that are not remembered,
    /// and those with a reading that is not younger than the last one.
    pub(crate) fn wanted(&mut self, remembered: &LastReadings) -> Vec<Around<'_>> {
        let GatheredRows::Readings(GatheredReadings { readings, devices, .. }) = &mut self.rows else {
            return Vec::new();
        };
        // One right behind the other, so that their waits for memory overlap.
        for seen in &mut devices.all {
            seen.last = remembered.get(seen.key).copied();
        }
        let around = |seen: &Seen| Around {
            client_id: readings.client_id(seen.row as usize),
            device_id: readings.device_id(seen.row as usize),
            min_ms: seen.min_ms,
            max_ms: seen.max_ms,
        };
        devices.all.iter().filter(|seen| seen.is_wanted()).map(around).collect()
    }
}

impl GatheredRows<'_> {
    fn block(&mut self, rows: &[End<'_>]) {
        match self {
            GatheredRows::Intervals(intervals) => intervals.block(rows),
            GatheredRows::Readings(gathered) => gathered.readings.block(rows),
        }
    }
}

impl<'a> GatheredReadings<'a> {
    /// The points of the request become rows behind those that `wait`.
    fn begin_request(&mut self, wait: usize, header: &Header<'a>, points: &[Point<'_>]) {
        let first = self.readings.rows() + wait;
        self.request_ids.push((first, header.request_id));
        let of_client = self.devices.of_client(header.client_id);
        for (row, point) in (first..).zip(points) {
            self.devices.add(row, of_client, point);
        }
    }

    pub fn request_id(&self, row: usize) -> &'a str {
        let at = self.request_ids.partition_point(|(first, _)| *first <= row);
        at.checked_sub(1).map_or("", |at| self.request_ids[at].1)
    }
}

impl Devices {
    fn new(points: usize, devices: usize, seed: u64) -> Self {
        Devices {
            all: Vec::with_capacity(devices),
            of_rows: Vec::with_capacity(points),
            at: HashTable::with_capacity(devices),
            seed,
        }
    }

    fn add(&mut self, row: usize, of_client: DevicesOf, point: &Point<'_>) {
        if !point.quantities.has_all(&COUNTERS) {
            self.of_rows.push(NONE);
            return;
        }
        let device = self.find_or_add(of_client.key(&point.device_id), row, point.time_ms);
        self.of_rows.push(device);
        let seen = &mut self.all[device as usize];
        seen.is_in_order &= seen.max_ms < point.time_ms;
        seen.min_ms = seen.min_ms.min(point.time_ms);
        seen.max_ms = seen.max_ms.max(point.time_ms);
    }

    fn find_or_add(&mut self, key: u128, row: usize, time_ms: i64) -> u32 {
        let Devices { all, at, .. } = self;
        let is = |&at: &u32| all[at as usize].key == key;
        match at.entry(hash(key), is, |&at| hash(all[at as usize].key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let at = all.len() as u32;
                free.insert(at);
                let row = row as u32;
                all.push(Seen { key, last: None, row, min_ms: time_ms, max_ms: i64::MIN, is_in_order: true });
                at
            }
        }
    }

    pub fn of_row(&self, row: usize) -> Option<usize> {
        self.of_rows.get(row).filter(|&&device| device != NONE).map(|&device| device as usize)
    }

    pub fn find(&self, client_id: &str, device_id: &str) -> Option<usize> {
        let key = self.of_client(client_id).key(device_id);
        self.at.find(hash(key), |&at| self.all[at as usize].key == key).map(|&at| at as usize)
    }

    /// The devices of a client, each by a hash that nobody else can foresee.
    fn of_client(&self, client_id: &str) -> DevicesOf {
        DevicesOf(xxh3_64_with_seed(client_id.as_bytes(), self.seed))
    }
}

#[derive(Clone, Copy)]
struct DevicesOf(u64);

impl DevicesOf {
    fn key(self, device_id: &str) -> u128 {
        xxh3_128_with_seed(device_id.as_bytes(), self.0)
    }
}

/// Half of a key is as good a hash as any.
fn hash(key: u128) -> u64 {
    key as u64
}

fn reject_record(rejected: &mut Rejected, input: &Input<'_>, error: &RecordError) {
    let reason = match error {
        RecordError::UnknownVersion(_) => RejectReason::UnknownVersion,
        RecordError::Undecodable(_) => RejectReason::UndecodableRecord,
    };
    let position = Position { offset: input.offset, index: 0 };
    rejected.push(reason, input.time_ms, input.bytes, position, position);
}
