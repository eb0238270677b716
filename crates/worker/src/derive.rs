//! From the records of a batch to its rows.
//!
//! The rows that a record gives depend on the log before it and on nothing else: not on how the log is cut
//! into batches, not on what happens to be remembered. Within a record the order of the points does not
//! matter either.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use wattline_clickhouse_sink::{Around, DisplacedReading, StoredReading};
use wattline_counters::{Chain, Inserted, Last, LastReadings, Link, Reading, pair};
use wattline_model::{
    COUNTERS, Kind, Limits, Mode, Point, Position, Quantities, Quantity, RejectReason, Source,
};
use wattline_wire::record::{self, Header, RecordError};
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::bits::BLOCK;
use crate::columns::{End, IntervalRow, Intervals, Readings, Rejected, Rows};
use crate::inputs::{Input, Inputs};

/// What a batch of counter readings has of each of its devices.
#[derive(Default)]
pub struct Devices<'a> {
    all: Vec<Seen<'a>>,
    /// Where in `all` each device is, by its key …
    at: HashTable<u32>,
    /// … and the device of each point that has all its counters, in the order of the batch.
    of_points: Vec<u32>,
}

struct Seen<'a> {
    key: u128,
    /// Its last reading, as it was remembered before the batch.
    last: Option<Last>,
    /// Its name, and the times of its readings.
    span: Around<'a>,
    /// Whether each of its readings is younger than the one before it in the batch.
    is_in_order: bool,
}

impl<'a> Devices<'a> {
    /// Where in `all` the device is; a new one comes last.
    fn find_or_add(&mut self, key: u128, new: impl FnOnce() -> Seen<'a>) -> u32 {
        let Devices { all, at, .. } = self;
        let is = |&at: &u32| all[at as usize].key == key;
        match at.entry(hash(key), is, |&at| hash(all[at as usize].key)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                let at = all.len() as u32;
                free.insert(at);
                all.push(new());
                at
            }
        }
    }

    fn find(&self, key: u128) -> Option<u32> {
        self.at.find(hash(key), |&at| self.all[at as usize].key == key).copied()
    }

    /// The devices whose neighbours have to be looked up.
    pub fn wanted(&self) -> impl Iterator<Item = Around<'_>> {
        self.all.iter().filter(|seen| seen.is_wanted()).map(|seen| seen.span)
    }
}

/// Half of a key is as good a hash as any.
fn hash(key: u128) -> u64 {
    key as u64
}

impl Seen<'_> {
    fn is_wanted(&self) -> bool {
        self.last.is_none_or(|(last_ms, _)| self.span.min_ms <= last_ms)
    }
}

/// What ClickHouse knows of the chains of a batch, at positions before it.
#[derive(Default)]
pub struct LookedUp {
    pub stored: Vec<StoredReading>,
    /// For a batch that was written before, in part: readings that it may have displaced then.
    pub displaced: Vec<DisplacedReading>,
}

/// How many points of a batch went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub points: u64,
    /// Readings that the chain had already.
    pub repeated: u64,
    pub rejected: u64,
    pub late: u64,
}

/// Turns the batches of one partition into rows, in the order of the log.
pub struct Deriver {
    kind: Kind,
    topic: Arc<str>,
    partition: i32,
    last: LastReadings,
    /// How many devices the batch before had: the next one will have about as many.
    devices_before: usize,
    /// Devices are remembered by a hash; with a secret seed nobody can make two collide.
    seed: u64,
}

impl Deriver {
    pub fn new(kind: Kind, topic: Arc<str>, partition: i32, cache_devices_max: usize, seed: u64) -> Self {
        let last = LastReadings::new(cache_devices_max);
        Deriver { kind, topic, partition, last, devices_before: 0, seed }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn remembered(&self) -> &LastReadings {
        &self.last
    }

    /// For the rows of a batch of interval data with about so many points.
    pub fn reported(&self, points: usize) -> Reported {
        Reported {
            intervals: Intervals::new(Source::Reported, &self.topic, self.partition, points),
            rejected: Rejected::new(&self.topic, self.partition),
            points: 0,
        }
    }

    /// What there is in a batch of each device, and which devices' neighbours have to be looked up, at positions
    /// before the batch: those that are not remembered, and those with a reading that is not younger than the last
    /// one.
    pub fn devices<'a>(&self, batch: &'a Inputs<'_>) -> Devices<'a> {
        if self.kind == Kind::Battery {
            return Devices::default();
        }
        let mut devices = Devices {
            all: Vec::with_capacity(self.devices_before),
            at: HashTable::with_capacity(self.devices_before),
            of_points: Vec::with_capacity(batch.points().len()),
        };
        for request in batch.requests() {
            let Ok(header) = &request.header else { continue };
            let hashed = self.devices_of(header.client_id);
            let points = &batch.points()[request.points.clone()];
            for point in points.iter().filter(|point| point.quantities.has_all(&COUNTERS)) {
                let key = hashed.key(&point.device_id);
                let at = devices.find_or_add(key, || Seen {
                    key,
                    last: None,
                    span: Around {
                        client_id: header.client_id,
                        device_id: &point.device_id,
                        min_ms: point.time_ms,
                        max_ms: i64::MIN,
                    },
                    is_in_order: true,
                });
                devices.of_points.push(at);
                let seen = &mut devices.all[at as usize];
                seen.is_in_order &= seen.span.max_ms < point.time_ms;
                seen.span.min_ms = seen.span.min_ms.min(point.time_ms);
                seen.span.max_ms = seen.span.max_ms.max(point.time_ms);
            }
        }
        // One right behind the other, so that their waits for memory overlap.
        for seen in &mut devices.all {
            seen.last = self.last.get(seen.key).copied();
        }
        devices
    }

    /// The rows of a batch. `looked_up` is what was found for the devices whose neighbours are wanted.
    pub fn rows(
        &mut self,
        batch: &Inputs<'_>,
        devices: &Devices<'_>,
        looked_up: LookedUp,
    ) -> Result<(Rows, Counts), arrow_schema::ArrowError> {
        let points = batch.points().len();
        if self.kind == Kind::Battery {
            let mut reported = self.reported(points);
            reported.add(batch);
            return reported.finish();
        }
        let displaced = looked_up.displaced.iter().filter_map(Stored::of_displaced);
        let stored: Vec<Stored> = looked_up.stored.into_iter().map(Stored::from).chain(displaced).collect();
        let mut known = self.known(devices, &stored);
        // Every point is a reading that ends an interval with the one before it.
        let are_pairs =
            devices.of_points.len() == points && known.iter().all(|known| matches!(known, Known::Last(_)));
        let mut out = Output {
            intervals: match are_pairs {
                true => Intervals::of_readings(points),
                false => Intervals::new(Source::Counter, &self.topic, self.partition, points),
            },
            readings: Readings::new(&self.topic, self.partition, points),
            rejected: Rejected::new(&self.topic, self.partition),
            counts: Counts::default(),
            changed: Vec::new(),
        };
        let mut of_points = devices.of_points.iter().map(|&at| at as usize);
        for (at, request) in batch.requests().iter().enumerate() {
            match &request.header {
                Err(error) => reject_record(&mut out.rejected, request, error),
                Ok(header) => {
                    out.counters(at, header, batch, &stored, &mut of_points, &mut known);
                }
            }
            if batch.requests().get(at + 1).is_none_or(|next| next.offset != request.offset) {
                out.derive_changed(batch, &stored, &mut known);
            }
        }
        self.remember(devices, &known);
        out.counts.rejected = out.rejected.rows() as u64;
        Ok((Rows::finish(out.intervals, out.readings, out.rejected)?, out.counts))
    }

    /// What is known of each device before the first point of the batch.
    fn known(&self, devices: &Devices<'_>, stored: &[Stored]) -> Vec<Known> {
        let mut found: HashMap<u32, Vec<_>> = HashMap::new();
        for (at, reading) in stored.iter().enumerate() {
            let key = self.devices_of(&reading.client_id).key(&reading.point.device_id);
            let link = link(&reading.point, reading.position, Row::Stored(at));
            // What was displaced is looked up for the whole partition, whatever the batch has.
            if let (Some(device), Some(link)) = (devices.find(key), link) {
                found.entry(device).or_default().push(link);
            }
        }
        let known = |(device, seen): (u32, &Seen<'_>)| match seen.last {
            Some(last) if !seen.is_wanted() && seen.is_in_order => Known::Last(remembered(last)),
            Some(last) if !seen.is_wanted() => Known::Chain(Chain::new(vec![remembered(last)])),
            _ => Known::Chain(chain_of(found.remove(&device).unwrap_or_default())),
        };
        (0..).zip(&devices.all).map(known).collect()
    }

    /// Remembers the last reading of each device of a batch, where the batch can tell which that is.
    fn remember(&mut self, devices: &Devices<'_>, known: &[Known]) {
        self.devices_before = devices.all.len();
        for (seen, known) in devices.all.iter().zip(known) {
            let youngest = match known {
                Known::Last(link) => link,
                Known::Chain(chain) => match chain.last() {
                    Some(link) => link,
                    None => continue,
                },
            };
            let youngest = (youngest.reading.time_ms, youngest.reading.counters);
            match seen.last {
                Some(last) if last.0 > youngest.0 => self.last.put(seen.key, last),
                // A chain that was looked up lacks no reading up to the youngest of the batch.
                _ if !seen.is_wanted() || youngest.0 <= seen.span.max_ms => self.last.put(seen.key, youngest),
                // The nearest reading behind the batch's own, which need not be the last one.
                _ => self.last.forget(seen.key),
            }
        }
    }

    /// The devices of a client, each by a hash that nobody else can foresee.
    fn devices_of(&self, client_id: &str) -> DevicesOf {
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

/// What is known of a device as the points of a batch come by.
enum Known {
    /// Its readings come in their order, so that its last one is all that the next one needs.
    Last(Link<Origin>),
    /// Any reading may come anywhere.
    Chain(Chain<Origin>),
}

fn remembered((time_ms, counters): Last) -> Link<Origin> {
    Link {
        reading: Reading { time_ms, counters, limits: Limits::default() },
        payload: Origin { position: Position::default(), row: Row::Remembered },
    }
}

fn chain_of(mut links: Vec<Link<Origin>>) -> Chain<Origin> {
    // Of several readings at one time the larger one is the chain's.
    links.sort_unstable_by_key(|link| (link.reading.time_ms, Reverse(link.reading.counters)));
    links.dedup_by_key(|link| link.reading.time_ms);
    Chain::new(links)
}

/// Where a reading of a chain comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    position: Position,
    row: Row,
}

/// Where the whole of a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    /// In this batch: which of its requests, and which of its points.
    Batch { request: usize, point: usize },
    /// Among the readings that were looked up.
    Stored(usize),
    /// Only its time and its counters are known. It is the first of its chain, so it ends no interval.
    Remembered,
}

fn link(point: &Point<'_>, position: Position, row: Row) -> Option<Link<Origin>> {
    let counters = point.quantities.counters()?;
    let reading = Reading { time_ms: point.time_ms, counters, limits: point.limits };
    Some(Link { reading, payload: Origin { position, row } })
}

fn row<'a>(row: Row, batch: &'a Inputs<'a>, stored: &'a [Stored]) -> Option<(Header<'a>, &'a Point<'a>)> {
    match row {
        Row::Batch { request, point } => {
            Some((batch.requests()[request].header.ok()?, batch.points().get(point)?))
        }
        Row::Stored(at) => {
            let stored = stored.get(at)?;
            let header = Header {
                client_id: &stored.client_id,
                request_id: "",
                received_at_ms: stored.received_at_ms,
            };
            Some((header, &stored.point))
        }
        Row::Remembered => None,
    }
}

fn end<'a>(header: &Header<'a>, point: &'a Point<'a>, position: Position) -> End<'a> {
    End { client_id: header.client_id, point, received_at_ms: header.received_at_ms, position }
}

/// The rows of a batch of interval data. Its points are intervals as they are and need nothing but themselves, so that it
/// may come in parts: those of a part are in a near cache when they become rows, and then they are done with.
pub struct Reported {
    intervals: Intervals<'static>,
    rejected: Rejected,
    points: usize,
}

impl Reported {
    pub fn add(&mut self, part: &Inputs<'_>) {
        self.points += part.points().len();
        let mut block = Vec::with_capacity(BLOCK);
        for request in part.requests() {
            let header = match &request.header {
                Ok(header) => header,
                Err(error) => {
                    reject_record(&mut self.rejected, request, error);
                    continue;
                }
            };
            for (_, position, point) in part.points_of(request) {
                block.push(end(header, point, position));
                if block.len() == BLOCK {
                    self.intervals.block_of_reported(&block);
                    block.clear();
                }
            }
        }
        if !block.is_empty() {
            self.intervals.block_of_reported(&block);
        }
    }

    pub fn finish(self) -> Result<(Rows, Counts), arrow_schema::ArrowError> {
        let rejected = self.rejected.rows() as u64;
        let counts = Counts { points: self.points as u64, rejected, ..Counts::default() };
        Ok((Rows::of_reported(self.intervals, self.rejected)?, counts))
    }
}

fn reject_record(rejected: &mut Rejected, input: &Input<'_>, error: &RecordError) {
    let reason = match error {
        RecordError::UnknownVersion(_) => RejectReason::UnknownVersion,
        RecordError::Undecodable(_) => RejectReason::UndecodableRecord,
    };
    let position = Position { offset: input.offset, index: 0 };
    rejected.push(reason, input.time_ms, input.bytes, position, position);
}

/// What the readings of a batch give.
struct Output<'a> {
    intervals: Intervals<'a>,
    readings: Readings<'a>,
    rejected: Rejected,
    counts: Counts,
    /// Devices whose chains the record has changed, each with the request that did: their intervals are known when all
    /// points of the record are.
    changed: Vec<(usize, &'a Header<'a>)>,
}

impl<'a> Output<'a> {
    /// The points of a request of counter readings are rows themselves, and each gives the intervals that it ends or
    /// begins. `devices` has the device of each that has all its counters.
    fn counters(
        &mut self,
        at: usize,
        header: &'a Header<'_>,
        batch: &'a Inputs<'a>,
        stored: &'a [Stored],
        devices: &mut impl Iterator<Item = usize>,
        known: &mut [Known],
    ) {
        for (number, position, point) in batch.points_of(&batch.requests()[at]) {
            self.counts.points += 1;
            if let Some(link) = link(point, position, Row::Batch { request: at, point: number })
                && let Some(device) = devices.next()
            {
                match &mut known[device] {
                    Known::Last(last) => {
                        self.derived(header, last, &link, point);
                        *last = link;
                    }
                    Known::Chain(chain) => {
                        if !self.insert(chain, link, header, point, batch, stored) {
                            continue;
                        }
                        self.changed.push((device, header));
                    }
                }
            }
            self.readings.push(end(header, point, position));
        }
    }

    /// The intervals of the chains that a record has changed.
    fn derive_changed(&mut self, batch: &'a Inputs<'a>, stored: &'a [Stored], known: &mut [Known]) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_by_key(|(device, _)| *device);
        changed.dedup_by_key(|(device, _)| *device);
        for (device, header) in changed {
            let Known::Chain(chain) = &mut known[device] else { continue };
            for (previous, next) in chain.take_changed() {
                let Some((_, end)) = row(next.payload.row, batch, stored) else { continue };
                self.derived(header, previous, next, end);
            }
        }
    }

    /// Whether the reading is new in its chain.
    fn insert(
        &mut self,
        chain: &mut Chain<Origin>,
        link: Link<Origin>,
        header: &Header<'_>,
        point: &Point<'_>,
        batch: &Inputs<'_>,
        stored: &[Stored],
    ) -> bool {
        let position = link.payload.position;
        self.counts.late += u64::from(chain.last().is_some_and(|last| point.time_ms < last.reading.time_ms));
        match chain.insert(link) {
            Inserted::New => true,
            Inserted::Same => {
                self.counts.repeated += 1;
                false
            }
            Inserted::Refused => {
                self.conflict(header, point, position, position);
                false
            }
            Inserted::Replaced(loser) => {
                // The loser is a row of its own: a reading that is only remembered is younger than everything it is
                // compared with, or it would have been looked up.
                if let Some((header, loser_point)) = row(loser.payload.row, batch, stored) {
                    self.conflict(&header, loser_point, loser.payload.position, position);
                }
                true
            }
        }
    }

    /// The interval between two readings, the second of which is that of the point.
    fn derived(
        &mut self,
        header: &Header<'a>,
        previous: &Link<Origin>,
        next: &Link<Origin>,
        point: &'a Point<'a>,
    ) {
        let position = previous.payload.position.max(next.payload.position);
        self.intervals.push(IntervalRow {
            interval: pair(&previous.reading, &next.reading),
            end: end(header, point, position),
        });
    }

    /// The reading loses against another one at the same time; it is kept as a record of its own.
    fn conflict(&mut self, header: &Header<'_>, point: &Point<'_>, position: Position, cause: Position) {
        let mut bytes = Vec::new();
        record::begin(&mut bytes, header);
        record::push(&mut bytes, Kind::BatteryCounter, point);
        let reason = RejectReason::EqualTimestampConflict;
        self.rejected.push(reason, header.received_at_ms, &bytes, position, cause);
    }
}

/// A reading of the table, as a point again.
struct Stored {
    client_id: String,
    received_at_ms: i64,
    position: Position,
    point: Point<'static>,
}

impl Stored {
    /// The one point of the record that a displaced reading is kept as; we wrote it, so it can be read.
    fn of_displaced(displaced: &DisplacedReading) -> Option<Self> {
        let record = record::decode(&displaced.record).ok()?;
        let header = record.requests.first()?.header;
        Some(Stored {
            client_id: header.client_id.to_owned(),
            received_at_ms: header.received_at_ms,
            position: Position { offset: displaced.offset, index: displaced.index },
            point: record.points.into_iter().next()?.into_owned(),
        })
    }
}

impl From<StoredReading> for Stored {
    fn from(stored: StoredReading) -> Self {
        let mut quantities = Quantities::default();
        for (quantity, value) in [
            (Quantity::EnergyCharge, stored.battery_total_energy_charge_wh),
            (Quantity::EnergyDischarge, stored.battery_total_energy_discharge_wh),
            (Quantity::HomeEnergy, stored.home_total_energy_wh),
            (Quantity::SolarEnergy, stored.solar_total_energy_wh),
            (Quantity::PowerCharge, stored.battery_last_power_charge_w),
            (Quantity::PowerDischarge, stored.battery_last_power_discharge_w),
            (Quantity::StoredEnergy, stored.battery_last_stored_energy_wh),
            (Quantity::CapacityEnergy, stored.battery_last_capacity_energy_wh),
            (Quantity::HomePower, stored.home_last_power_w),
            (Quantity::SolarPower, stored.solar_last_power_w),
            (Quantity::StateOfCharge, stored.battery_last_state_of_charge_percentage),
            (Quantity::StateOfHealth, stored.battery_last_state_of_health_percentage),
            (Quantity::BackupReserve, stored.battery_last_backup_reserve_percentage),
        ] {
            if let Some(value) = value {
                quantities.set(quantity, value.0);
            }
        }
        let watts = |limit_w: i64| u32::try_from(limit_w).unwrap_or(u32::MAX);
        Stored {
            client_id: stored.client_id,
            received_at_ms: stored.received_at_ms,
            position: Position { offset: stored.offset, index: stored.index },
            point: Point {
                device_id: stored.device_id.into(),
                time_ms: stored.timestamp_ms,
                duration_ms: 0,
                last_is_online: stored.last_is_online,
                last_is_grid_online: stored.last_is_grid_online,
                last_mode: stored.last_mode.and_then(|name| Mode::from_name(name.as_bytes())),
                quantities,
                oem_raw_data: stored.oem_raw_data.map(Into::into),
                limits: Limits {
                    battery_charge_w: watts(stored.limit_battery_charge_w),
                    battery_discharge_w: watts(stored.limit_battery_discharge_w),
                    home_w: watts(stored.limit_home_w),
                    solar_w: watts(stored.limit_solar_w),
                    modulus_mwh: stored.counter_modulus_wh.map_or(0, |modulus| modulus.0.max(0) as u64),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn record(readings: &[(&str, i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        record::begin(
            &mut bytes,
            &Header { client_id: "c", request_id: "r", received_at_ms: 1_800_000_000_000 },
        );
        for &(device, minute) in readings {
            let mut quantities = Quantities::default();
            for (quantity, rate) in COUNTERS.into_iter().zip(1..) {
                quantities.set(quantity, 1_000_000 + rate * 100 * minute);
            }
            quantities.set(Quantity::StateOfCharge, 50_000 + minute);
            let point = Point {
                device_id: device.into(),
                time_ms: 1_700_000_000_000 + minute * MINUTE_MS,
                duration_ms: 0,
                last_is_online: minute % 2 == 0,
                last_is_grid_online: Some(true),
                last_mode: None,
                quantities,
                oem_raw_data: None,
                limits: Limits {
                    battery_charge_w: 5_000,
                    battery_discharge_w: 5_000,
                    home_w: 20_000,
                    ..Limits::default()
                },
            };
            record::push(&mut bytes, Kind::BatteryCounter, &point);
        }
        bytes
    }

    /// The rows of the last of some batches, each of which is one record.
    fn rows_of_last(batches: &[Vec<u8>]) -> Rows {
        let mut deriver = Deriver::new(Kind::BatteryCounter, Arc::from("t"), 3, 100, 7);
        let mut last = Rows::default();
        for (offset, bytes) in (0..).zip(batches) {
            let mut inputs = Inputs::default();
            inputs.push(offset, 0, bytes);
            let devices = deriver.devices(&inputs);
            last = deriver.rows(&inputs, &devices, LookedUp::default()).unwrap().0;
        }
        last
    }

    #[test]
    fn readings_that_all_end_an_interval_give_what_they_give_in_any_company() {
        let names: Vec<String> = (0..100).map(|number| format!("device-{number}")).collect();
        let all = |minute| names.iter().map(|name| (name.as_str(), minute)).collect::<Vec<_>>();
        let mut later = [all(5), all(10)].concat();
        let alone = rows_of_last(&[record(&all(0)), record(&later)]);
        // The first reading of a device ends no interval.
        later.push(("a new one", 10));
        let in_company = rows_of_last(&[record(&all(0)), record(&later)]);

        let intervals = alone.intervals.unwrap();
        assert_eq!(intervals.num_rows(), 2 * names.len());
        assert_eq!(Some(intervals), in_company.intervals);
        let readings = alone.readings.unwrap();
        assert_eq!(readings, in_company.readings.unwrap().slice(0, readings.num_rows()));
    }

    /// Of a record each, with a number of points that fits no block; one is no record.
    #[test]
    fn interval_data_in_parts_gives_what_it_gives_whole() {
        let names: Vec<String> = (0..150).map(|number| format!("device-{number}")).collect();
        let points = |range: std::ops::Range<usize>| {
            names[range].iter().map(|name| (name.as_str(), 5)).collect::<Vec<_>>()
        };
        let records =
            [record(&points(0..7)), b"no record".to_vec(), record(&points(7..75)), record(&points(75..150))];
        let deriver = Deriver::new(Kind::Battery, Arc::from("t"), 3, 100, 7);
        let rows_of = |records_a_part: usize| {
            let mut reported = deriver.reported(0);
            for (number, records) in records.chunks(records_a_part).enumerate() {
                let mut part = Inputs::default();
                for (at, bytes) in records.iter().enumerate() {
                    part.push((number * records_a_part + at) as i64, 0, bytes);
                }
                reported.add(&part);
            }
            reported.finish().unwrap()
        };
        let (whole, counts) = rows_of(records.len());
        assert_eq!(counts, Counts { points: 150, rejected: 1, ..Counts::default() });
        assert_eq!(whole.intervals.as_ref().unwrap().num_rows(), 150);
        let (in_parts, counts_in_parts) = rows_of(1);
        assert_eq!(counts_in_parts, counts);
        assert_eq!(in_parts.intervals, whole.intervals);
        assert_eq!(in_parts.rejected, whole.rejected);
    }

    /// Late readings too: what a chain has become is told once, when all requests of the record are known.
    #[test]
    fn a_record_of_several_requests_gives_what_one_request_with_all_their_points_gives() {
        let before = record(&[("a", 0), ("b", 0), ("b", 30)]);
        let requests = [vec![("a", 5), ("b", 10)], vec![("c", 5), ("b", 20), ("a", 10)], vec![("b", 15)]];
        let mut joined = Vec::new();
        for request in &requests {
            record::join(&mut joined, &record(request));
        }
        let of_one = rows_of_last(&[before.clone(), record(&requests.concat())]);
        let of_several = rows_of_last(&[before, joined]);
        let intervals = of_several.intervals.unwrap();
        assert_eq!(Some(&intervals), of_one.intervals.as_ref());
        assert_eq!(of_several.readings, of_one.readings);
        // Of `a` two; of `b`, whose readings before were not looked up here, two between the three late ones.
        assert_eq!(intervals.num_rows(), 4);
    }
}
