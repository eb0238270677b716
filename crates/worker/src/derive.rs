//! From the points of a batch to its rows.
//!
//! The rows that a record gives depend on the log before it and on nothing else: not on how the log is cut
//! into batches, not on what happens to be remembered. Within a record the order of the points does not
//! matter either.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use wattline_clickhouse_sink::{Around, DisplacedReading, StoredReading};
use wattline_counters::{Chain, Inserted, Last, LastReadings, Link, Reading, pair};
use wattline_model::{Kind, Limits, Mode, Point, Position, Quantities, Quantity, RejectReason};
use wattline_wire::record::{self, Header};

use crate::columns::{DerivedIntervals, DerivedRow, End, Readings, Rejected, Rows};
use crate::gathered::{Devices, Gathered, GatheredReadings, GatheredRows, Seen};

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
    /// How many devices the batch before had, or half as many as those before it: the next one will hardly have more.
    devices_before: usize,
    /// Devices are remembered by a hash; with a secret seed nobody can make two collide.
    seed: u64,
}

impl Deriver {
    pub fn new(kind: Kind, topic: Arc<str>, partition: i32, cache_devices_max: usize, seed: u64) -> Self {
        let last = LastReadings::new(cache_devices_max);
        Deriver { kind, topic, partition, last, devices_before: 0, seed }
    }

    pub(crate) fn remembered(&self) -> &LastReadings {
        &self.last
    }

    /// For a batch of about so many points.
    pub fn gather<'a>(&self, points: usize) -> Gathered<'a> {
        Gathered::new(self.kind, &self.topic, self.partition, points, self.devices_before, self.seed)
    }

    /// Of a batch that is whole, the devices whose neighbours have to be looked up.
    pub fn wanted<'b>(&self, batch: &'b mut Gathered<'_>) -> Vec<Around<'b>> {
        batch.wanted(&self.last)
    }

    /// The rows of a batch. `looked_up` is what was found for the devices whose neighbours are wanted.
    pub fn rows(
        &mut self,
        batch: Gathered<'_>,
        looked_up: LookedUp,
    ) -> Result<(Rows, Counts), arrow_schema::ArrowError> {
        let Gathered { rows, mut rejected, points } = batch;
        let mut counts = Counts { points: points as u64, ..Counts::default() };
        let (intervals, readings) = match rows {
            GatheredRows::Intervals(intervals) => (intervals.finish()?, None),
            GatheredRows::Readings(gathered) => {
                self.devices_before = gathered.devices.all.len().max(self.devices_before / 2);
                let mut derivation = Derivation::new(self, gathered, looked_up, &mut rejected, &mut counts);
                derivation.run();
                derivation.remember(&mut self.last);
                derivation.finish()?
            }
        };
        counts.rejected = rejected.rows() as u64;
        Ok((Rows { intervals, readings, rejected: rejected.finish()? }, counts))
    }
}

/// What is known of each device before the first reading of the batch.
fn known(devices: &Devices, stored: &[Stored]) -> Vec<Known> {
    let mut found: HashMap<usize, Vec<_>> = HashMap::new();
    for (at, reading) in stored.iter().enumerate() {
        let device = devices.find(&reading.client_id, &reading.point.device_id);
        // What was displaced is looked up for the whole partition, whatever the batch has.
        if let (Some(device), Some(counters)) = (device, reading.point.quantities.counters()) {
            let Point { time_ms, limits, .. } = reading.point;
            let payload = Origin { position: reading.position, row: Row::Stored(at) };
            let link = Link { reading: Reading { time_ms, counters, limits }, payload };
            found.entry(device).or_default().push(link);
        }
    }
    let known = |(device, seen): (usize, &Seen)| match seen.last {
        Some(_) if !seen.is_wanted() && seen.is_in_order => Known::InOrder(None),
        Some(last) if !seen.is_wanted() => Known::Chain(Box::new(Chain::new(vec![remembered(last)]))),
        _ => Known::Chain(Box::new(chain_of(found.remove(&device).unwrap_or_default()))),
    };
    devices.all.iter().enumerate().map(known).collect()
}

/// What is known of a device as the readings of a batch come by.
enum Known {
    /// Its readings come in their order, so that its last one is all that the next one needs: the row of it, or none where
    /// it is the one that was remembered before the batch.
    InOrder(Option<u32>),
    /// Any reading may come anywhere.
    Chain(Box<Chain<Origin>>),
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

/// A row of the batch.
fn link(readings: &Readings, row: usize) -> Link<Origin> {
    let payload = Origin { position: readings.position(row), row: Row::Batch(row) };
    Link { reading: readings.reading(row), payload }
}

/// The interval between two readings, the second of which has that row.
fn derived(previous: &Link<Origin>, next: &Link<Origin>, row: usize, received_at_ms: i64) -> DerivedRow {
    DerivedRow {
        interval: pair(&previous.reading, &next.reading),
        reading: row as u32,
        received_at_ms,
        position: previous.payload.position.max(next.payload.position),
    }
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
    /// In this batch.
    Batch(usize),
    /// Among the readings that were looked up.
    Stored(usize),
    /// Only its time and its counters are known. It is the first of its chain, so it ends no interval.
    Remembered,
}

/// The readings of a batch give intervals, and some of them are out.
struct Derivation<'a> {
    batch: GatheredReadings<'a>,
    /// Rows of the batch. Those behind them are of readings that were looked up …
    count: usize,
    stored: Vec<Stored>,
    /// … which get a row where an interval ends with them.
    rows_of_stored: HashMap<usize, usize>,
    known: Vec<Known>,
    /// Devices whose chains the record has changed, each with the row that did: their intervals are known when all rows of
    /// the record are.
    changed: Vec<(usize, usize)>,
    intervals: DerivedIntervals,
    /// Rows that their chains have already, or will not have.
    out: Vec<usize>,
    rejected: &'a mut Rejected,
    counts: &'a mut Counts,
}

impl<'a> Derivation<'a> {
    fn new(
        deriver: &Deriver,
        batch: GatheredReadings<'a>,
        looked_up: LookedUp,
        rejected: &'a mut Rejected,
        counts: &'a mut Counts,
    ) -> Self {
        let displaced = looked_up.displaced.iter().filter_map(Stored::of_displaced);
        let stored: Vec<Stored> = looked_up.stored.into_iter().map(Stored::from).chain(displaced).collect();
        let count = batch.readings.rows();
        Derivation {
            known: known(&batch.devices, &stored),
            count,
            stored,
            rows_of_stored: HashMap::new(),
            changed: Vec::new(),
            intervals: DerivedIntervals::new(&deriver.topic, deriver.partition, count),
            out: Vec::new(),
            batch,
            rejected,
            counts,
        }
    }

    /// Each reading gives the intervals that it ends or begins.
    fn run(&mut self) {
        let mut offset = None;
        for row in 0..self.count {
            let position = self.batch.readings.position(row);
            if offset.replace(position.offset) != Some(position.offset) {
                self.derive_changed();
            }
            let Some(device) = self.batch.devices.of_row(row) else { continue };
            let readings = &self.batch.readings;
            let link = link(readings, row);
            match &mut self.known[device] {
                Known::InOrder(last) => {
                    let previous = match last.replace(row as u32) {
                        Some(last) => Some(self::link(readings, last as usize)),
                        None => self.batch.devices.all[device].last.map(remembered),
                    };
                    if let Some(previous) = previous {
                        let received_at_ms = readings.received_at_ms(row);
                        self.intervals.push(derived(&previous, &link, row, received_at_ms));
                    }
                }
                Known::Chain(chain) => {
                    self.counts.late += u64::from(
                        chain.last().is_some_and(|last| link.reading.time_ms < last.reading.time_ms),
                    );
                    let inserted = chain.insert(link);
                    self.inserted(inserted, link.payload, device);
                }
            }
        }
        self.derive_changed();
    }

    /// What becomes of a row and of the one it is compared with.
    fn inserted(&mut self, inserted: Inserted<Origin>, origin: Origin, device: usize) {
        let Row::Batch(row) = origin.row else { return };
        match inserted {
            Inserted::New => self.changed.push((device, row)),
            Inserted::Same => {
                self.counts.repeated += 1;
                self.out.push(row);
            }
            Inserted::Refused => {
                self.conflict(origin, origin.position);
                self.out.push(row);
            }
            Inserted::Replaced(loser) => {
                // The loser is a row of its own.
                self.conflict(loser.payload, origin.position);
                self.changed.push((device, row));
            }
        }
    }

    /// The intervals of the chains that a record has changed.
    fn derive_changed(&mut self) {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_by_key(|(device, _)| *device);
        changed.dedup_by_key(|(device, _)| *device);
        for (device, cause) in changed {
            let Known::Chain(chain) = &mut self.known[device] else { continue };
            let readings = &mut self.batch.readings;
            let received_at_ms = readings.received_at_ms(cause);
            for (previous, next) in chain.take_changed() {
                let row = match next.payload.row {
                    Row::Batch(row) => row,
                    Row::Stored(at) => *self.rows_of_stored.entry(at).or_insert_with(|| {
                        readings.block(&[self.stored[at].end()]);
                        readings.rows() - 1
                    }),
                    Row::Remembered => continue,
                };
                self.intervals.push(derived(previous, next, row, received_at_ms));
            }
        }
    }

    /// The reading loses against another one at the same time; it is kept as a record of its own.
    fn conflict(&mut self, loser: Origin, cause: Position) {
        let (header, point) = match loser.row {
            Row::Batch(row) => {
                let readings = &self.batch.readings;
                let header = Header {
                    client_id: readings.client_id(row),
                    request_id: self.batch.request_id(row),
                    received_at_ms: readings.received_at_ms(row),
                };
                (header, &readings.point(row))
            }
            Row::Stored(at) => {
                let stored = &self.stored[at];
                (
                    Header {
                        client_id: &stored.client_id,
                        request_id: "",
                        received_at_ms: stored.received_at_ms,
                    },
                    &stored.point,
                )
            }
            // It is younger than everything it is compared with, or it would have been looked up.
            Row::Remembered => return,
        };
        let mut bytes = Vec::new();
        record::begin(&mut bytes, &header);
        record::push(&mut bytes, Kind::BatteryCounter, point);
        let reason = RejectReason::EqualTimestampConflict;
        self.rejected.push(reason, header.received_at_ms, &bytes, loser.position, cause);
    }

    /// Remembers the last reading of each device of the batch, where the batch can tell which that is.
    fn remember(&self, memory: &mut LastReadings) {
        let mut forgotten = Vec::new();
        let last = |(seen, known): (&Seen, &Known)| {
            let youngest = match known {
                Known::InOrder(row) => self.batch.readings.reading((*row)? as usize),
                Known::Chain(chain) => chain.last()?.reading,
            };
            let youngest = (youngest.time_ms, youngest.counters);
            match seen.last {
                Some(last) if last.0 > youngest.0 => Some((seen.key, last)),
                // A chain that was looked up lacks no reading up to the youngest of the batch.
                _ if !seen.is_wanted() || youngest.0 <= seen.max_ms => Some((seen.key, youngest)),
                // The nearest reading behind the batch's own, which need not be the last one.
                _ => {
                    forgotten.push(seen.key);
                    None
                }
            }
        };
        memory.put_all(self.batch.devices.all.iter().zip(&self.known).filter_map(last));
        forgotten.into_iter().for_each(|key| memory.forget(key));
    }

    /// The rows of the tables of intervals and of readings.
    fn finish(self) -> Result<(Option<RecordBatch>, Option<RecordBatch>), arrow_schema::ArrowError> {
        self.batch.readings.finish(self.count, &self.out, self.intervals)
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
    /// As the row that an interval ends with.
    fn end(&self) -> End<'_> {
        let Stored { client_id, received_at_ms, position, point } = self;
        End { client_id, point, received_at_ms: *received_at_ms, position: *position }
    }

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
    use wattline_model::COUNTERS;

    use super::*;
    use crate::inputs::Inputs;

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
            let mut gathered = deriver.gather(0);
            gathered.add(&inputs);
            deriver.wanted(&mut gathered);
            last = deriver.rows(gathered, LookedUp::default()).unwrap().0;
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

    /// Records with numbers of points that fit no block; one is no record.
    #[test]
    fn a_batch_in_parts_gives_what_it_gives_whole() {
        let names: Vec<String> = (0..150).map(|number| format!("device-{number}")).collect();
        let points = |range: std::ops::Range<usize>| {
            names[range].iter().map(|name| (name.as_str(), 5)).collect::<Vec<_>>()
        };
        let records =
            [record(&points(0..7)), b"no record".to_vec(), record(&points(7..75)), record(&points(75..150))];
        let rows_of = |kind, records_a_part: usize| {
            let mut deriver = Deriver::new(kind, Arc::from("t"), 3, 100, 7);
            let mut gathered = deriver.gather(0);
            for (number, records) in records.chunks(records_a_part).enumerate() {
                let mut part = Inputs::default();
                for (at, bytes) in records.iter().enumerate() {
                    part.push((number * records_a_part + at) as i64, 0, bytes);
                }
                gathered.add(&part);
            }
            deriver.wanted(&mut gathered);
            deriver.rows(gathered, LookedUp::default()).unwrap()
        };
        for kind in [Kind::Battery, Kind::BatteryCounter] {
            let (whole, counts) = rows_of(kind, records.len());
            assert_eq!(counts, Counts { points: 150, rejected: 1, ..Counts::default() });
            let (in_parts, counts_in_parts) = rows_of(kind, 1);
            assert_eq!(counts_in_parts, counts);
            assert_eq!(in_parts.intervals, whole.intervals);
            assert_eq!(in_parts.readings, whole.readings);
            assert_eq!(in_parts.rejected, whole.rejected);
            let table = if kind == Kind::Battery { whole.intervals } else { whole.readings };
            assert_eq!(table.unwrap().num_rows(), 150);
        }
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
