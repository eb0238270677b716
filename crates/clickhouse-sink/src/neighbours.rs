//! The readings around those of a batch: what a late reading falls between, and what a device's
//! first reading after a restart follows.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::Range;
use std::time::Instant;

use clickhouse::query::Query;
use serde::{Deserialize, Serialize};

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::insert::QUERY_BYTES_MAX;
use crate::metrics;

/// Devices asked for in one query. More are asked in turn.
const DEVICES_PER_QUERY_MAX: usize = 5_000;
/// The readings before and after one are nearly always less than this away. Looking further reads
/// more parts and months.
const NEAR_MS: i64 = 6 * 3_600 * 1_000;
/// Times so far apart are asked for apart: some twenty queries at most, as readings are taken for
/// 35 days.
const FAR_APART_MS: i64 = 48 * 3_600 * 1_000;
/// Beyond every time of a reading, within those that ClickHouse knows: the year 2100.
const TIME_MS_MAX: i64 = 4_102_444_800_000;

/// A device and the times of its readings in a batch: earliest and latest, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around<'a> {
    pub client_id: &'a str,
    pub device_id: &'a str,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// A quantity in 0.001 of its unit: `Decimal(18, 3)` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Thousandths(pub i64);

/// A reading with counters as the table holds it: all that is needed to derive from it, and to
/// write again the interval that ends at it.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct StoredReading {
    pub client_id: String,
    pub device_id: String,
    pub timestamp_ms: i64,
    pub battery_total_energy_charge_wh: Option<Thousandths>,
    pub battery_total_energy_discharge_wh: Option<Thousandths>,
    pub home_total_energy_wh: Option<Thousandths>,
    pub solar_total_energy_wh: Option<Thousandths>,
    pub last_is_online: bool,
    pub last_is_grid_online: Option<bool>,
    pub last_mode: Option<String>,
    pub battery_last_power_charge_w: Option<Thousandths>,
    pub battery_last_power_discharge_w: Option<Thousandths>,
    pub battery_last_stored_energy_wh: Option<Thousandths>,
    pub battery_last_capacity_energy_wh: Option<Thousandths>,
    pub home_last_power_w: Option<Thousandths>,
    pub solar_last_power_w: Option<Thousandths>,
    pub battery_last_state_of_charge_percentage: Option<Thousandths>,
    pub battery_last_state_of_health_percentage: Option<Thousandths>,
    pub battery_last_backup_reserve_percentage: Option<Thousandths>,
    pub oem_raw_data: Option<String>,
    pub limit_battery_charge_w: i64,
    pub limit_battery_discharge_w: i64,
    pub limit_home_w: i64,
    pub limit_solar_w: i64,
    pub counter_modulus_wh: Option<Thousandths>,
    pub received_at_ms: i64,
    pub offset: i64,
    pub index: i32,
}

/// A reading that is among the rejected, as the record of its own that it is kept as.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct DisplacedReading {
    pub offset: i64,
    pub index: i32,
    #[serde(with = "bytes_of_string")]
    pub record: Vec<u8>,
}

/// A `String` column holds any bytes.
pub(crate) mod bytes_of_string {
    use serde::{Deserialize as _, Deserializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(<&[u8]>::deserialize(deserializer)?.to_vec())
    }
}

impl StoredReading {
    fn device(&self) -> Device<'_> {
        (&self.client_id, &self.device_id)
    }

    /// Battery charge, battery discharge, home, solar, in 0.001 Wh. Readings of the chain carry all four.
    pub fn counters(&self) -> [i64; 4] {
        [
            self.battery_total_energy_charge_wh,
            self.battery_total_energy_discharge_wh,
            self.home_total_energy_wh,
            self.solar_total_energy_wh,
        ]
        .map(|counter| counter.unwrap_or_default().0)
    }
}

impl ClickHouse {
    /// For each device, of its readings with counters at `_offset < before_offset`: the newest
    /// before `min_ms`, all within `min_ms..=max_ms`, and the oldest after `max_ms`. One reading a
    /// time: of several the lexicographically largest, as the chain has it. Ordered by client,
    /// device and time.
    ///
    /// Not under FINAL: rows at later offsets may lie there from an attempt that was cut short, and
    /// the answer must depend on nothing but the log before the batch. One thing such an attempt can
    /// do: when it stored a larger reading of the same time, a merge may have taken the smaller one.
    /// [`ClickHouse::displaced`] finds those, as long as rejected rows are inserted before readings.
    pub async fn neighbours(
        &self,
        topic: &str,
        partition: i32,
        before_offset: i64,
        devices: &[Around<'_>],
    ) -> Result<Vec<StoredReading>, ClickHouseError> {
        let started = Instant::now();
        let place = Place { topic, partition, before_offset };
        // Devices of like age are asked together, so that one old straggler does not make the
        // query of all others read far back.
        let mut ordered: Vec<&Around<'_>> = devices.iter().collect();
        ordered.sort_unstable_by_key(|device| device.min_ms);
        let mut found = Vec::new();
        for like in ordered.chunk_by(|older, newer| newer.min_ms - older.min_ms < FAR_APART_MS) {
            for devices in like.chunks(DEVICES_PER_QUERY_MAX) {
                found.append(&mut self.readings_around_all(place, devices).await?);
            }
        }
        // Of several readings at a time the larger comes first, and stays.
        let order = |reading: &StoredReading| (reading.timestamp_ms, Reverse(reading.counters()));
        found.sort_unstable_by(|a, b| (a.device(), order(a)).cmp(&(b.device(), order(b))));
        found.dedup_by(|next, kept| next.device() == kept.device() && next.timestamp_ms == kept.timestamp_ms);
        metrics::looked_up(devices.len(), started.elapsed());
        Ok(found)
    }

    /// The readings at `_offset < first` that a record at `first` or later displaced: they were part of
    /// their chains before `first`, and are among the rejected now. For a batch that is written again.
    pub async fn displaced(
        &self,
        topic: &str,
        partition: i32,
        first: i64,
    ) -> Result<Vec<DisplacedReading>, ClickHouseError> {
        let first_version = wattline_model::Position { offset: first, index: 0 }.version();
        let query = self
            .client
            .query(
                "SELECT _offset AS offset, _index AS index, record FROM rejected \
                 WHERE _topic = ? AND _partition = ? AND _offset < ? AND _version >= ? AND reason = ?",
            )
            .bind(topic)
            .bind(partition)
            .bind(first)
            .bind(first_version)
            .bind(wattline_model::RejectReason::EqualTimestampConflict.name());
        self.fetch_all("look up displaced readings", query).await
    }

    /// Looks near the times of all devices first, and only for the devices that have nothing near
    /// on one side in all the time on that side.
    async fn readings_around_all(
        &self,
        place: Place<'_>,
        devices: &[&Around<'_>],
    ) -> Result<Vec<StoredReading>, ClickHouseError> {
        let since_ms = devices.iter().map(|device| device.min_ms).min().unwrap_or(0) - NEAR_MS;
        let until_ms = devices.iter().map(|device| device.max_ms).max().unwrap_or(0) + NEAR_MS;
        let mut found = self.readings_around(place, devices, since_ms..until_ms).await?;
        let (without_older, without_newer) = one_sided(devices, &found);
        for (lone, times_ms) in [(without_older, 0..since_ms), (without_newer, until_ms..TIME_MS_MAX)] {
            if !lone.is_empty() {
                found.append(&mut self.readings_around(place, &lone, times_ms).await?);
            }
        }
        Ok(found)
    }

    /// One query: the times of the readings that are wanted, then the readings at those times.
    async fn readings_around(
        &self,
        place: Place<'_>,
        devices: &[&Around<'_>],
        times_ms: Range<i64>,
    ) -> Result<Vec<StoredReading>, ClickHouseError> {
        let column = |value: fn(&Around<'_>) -> i64| devices.iter().map(|device| value(device)).collect();
        let (min_ms, max_ms): (Vec<i64>, Vec<i64>) = (column(|d| d.min_ms), column(|d| d.max_ms));
        let ids: Vec<Device<'_>> = devices.iter().map(|device| device.id()).collect();
        let (clients, names): (Vec<&str>, Vec<&str>) = ids.iter().copied().unzip();
        let query = self
            .client
            .query(READINGS_AROUND)
            .bind_place(place)
            .bind(&clients)
            .bind(&names)
            .bind(&min_ms)
            .bind(&max_ms)
            .bind_place(place)
            .bind(&ids)
            .bind(times_ms.start)
            .bind(times_ms.end)
            .with_setting("max_query_size", QUERY_BYTES_MAX);
        self.fetch_all("look up neighbours", query).await
    }
}

/// The inner part finds the times, reading the columns of the key only; the outer part reads whole
/// rows at these times. Both find their granules by the sorting key. Ordering is left to the caller:
/// here it would make the engine read in order of the key, at twice the time.
const READINGS_AROUND: &str = "
SELECT ?fields FROM (
    SELECT *, toUnixTimestamp64Milli(timestamp) AS timestamp_ms,
        toUnixTimestamp64Milli(received_at) AS received_at_ms, _offset AS offset, _index AS index
    FROM readings
    WHERE _topic = ? AND _partition = ? AND _offset < ? AND in_chain
      AND (client_id, device_id, timestamp) IN (
        SELECT client, device, arrayJoin(arrayConcat(
            if(countIf(timestamp < low) = 0, [], [maxIf(timestamp, timestamp < low)]),
            groupUniqArrayIf(timestamp, timestamp BETWEEN low AND high),
            if(countIf(timestamp > high) = 0, [], [minIf(timestamp, timestamp > high)])))
        FROM readings
        INNER JOIN (
            SELECT w.1 AS client, w.2 AS device,
                fromUnixTimestamp64Milli(toInt64(w.3), 'UTC') AS low,
                fromUnixTimestamp64Milli(toInt64(w.4), 'UTC') AS high
            FROM (SELECT arrayJoin(arrayZip(?, ?, ?, ?)) AS w)
        ) AS wanted ON client_id = client AND device_id = device
        WHERE _topic = ? AND _partition = ? AND _offset < ? AND in_chain
          AND (client_id, device_id) IN ?
          AND timestamp >= fromUnixTimestamp64Milli(toInt64(?), 'UTC')
          AND timestamp < fromUnixTimestamp64Milli(toInt64(?), 'UTC')
        GROUP BY client, device))";

/// Of which partition, and before which offset.
#[derive(Clone, Copy)]
struct Place<'a> {
    topic: &'a str,
    partition: i32,
    before_offset: i64,
}

trait BindPlace {
    fn bind_place(self, place: Place<'_>) -> Self;
}

impl BindPlace for Query {
    fn bind_place(self, place: Place<'_>) -> Self {
        self.bind(place.topic).bind(place.partition).bind(place.before_offset)
    }
}

type Device<'a> = (&'a str, &'a str);

impl<'a> Around<'a> {
    fn id(&self) -> Device<'a> {
        (self.client_id, self.device_id)
    }
}

/// The devices of which no reading was found before their own, and those of which none after.
fn one_sided<'a>(
    devices: &[&'a Around<'a>],
    found: &[StoredReading],
) -> (Vec<&'a Around<'a>>, Vec<&'a Around<'a>>) {
    let mut times_ms: HashMap<Device<'_>, (i64, i64)> = HashMap::with_capacity(devices.len());
    for reading in found {
        let (oldest, newest) = times_ms.entry(reading.device()).or_insert((i64::MAX, i64::MIN));
        *oldest = reading.timestamp_ms.min(*oldest);
        *newest = reading.timestamp_ms.max(*newest);
    }
    let times_ms = |device: &Around<'_>| times_ms.get(&device.id()).copied().unwrap_or((i64::MAX, i64::MIN));
    let without = |is_lone: &dyn Fn(&Around<'_>) -> bool| {
        devices.iter().copied().filter(|device| is_lone(device)).collect()
    };
    (
        without(&|device| times_ms(device).0 >= device.min_ms),
        without(&|device| times_ms(device).1 <= device.max_ms),
    )
}
