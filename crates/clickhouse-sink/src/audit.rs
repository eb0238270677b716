//! What the audit asks: which points and which derived intervals of a partition a reader sees, and
//! what was rejected. Rows are handed over as they come, in no order.

use std::ops::RangeInclusive;

use clickhouse::RowRead;
use clickhouse::query::Query;
use serde::Deserialize;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::neighbours::Thousandths;

/// The place in its Kafka partition of what was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clickhouse::Row, Deserialize)]
pub struct RejectedPosition {
    pub offset: i64,
    pub index: i32,
    /// The record could not be read, and none of its points were taken from it; else it is one point.
    pub is_whole_record: bool,
}

/// What tells a point apart, and where it stands in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clickhouse::Row, Deserialize)]
pub struct StoredPoint<'a> {
    pub client_id: &'a str,
    pub device_id: &'a str,
    /// The time of a reading, the end of an interval.
    pub time_ms: i64,
    /// False for an interval.
    pub in_chain: bool,
    pub offset: i64,
    pub index: i32,
}

/// An interval that was derived from two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct StoredInterval<'a> {
    pub client_id: &'a str,
    pub device_id: &'a str,
    pub start_ms: i64,
    pub end_ms: i64,
    battery_total_energy_charge_wh: Option<Thousandths>,
    battery_total_energy_discharge_wh: Option<Thousandths>,
    home_total_energy_wh: Option<Thousandths>,
    solar_total_energy_wh: Option<Thousandths>,
    battery_total_energy_charge_quality: &'a str,
    battery_total_energy_discharge_quality: &'a str,
    home_total_energy_quality: &'a str,
    solar_total_energy_quality: &'a str,
    pub gap: bool,
    /// Of the younger reading.
    pub offset: i64,
    pub index: i32,
}

impl<'a> StoredInterval<'a> {
    /// Battery charge, battery discharge, home, solar, in 0.001 Wh.
    pub fn energies(&self) -> [Option<i64>; 4] {
        [
            self.battery_total_energy_charge_wh,
            self.battery_total_energy_discharge_wh,
            self.home_total_energy_wh,
            self.solar_total_energy_wh,
        ]
        .map(|energy| energy.map(|thousandths| thousandths.0))
    }

    /// In the order of the energies.
    pub fn qualities(&self) -> [&'a str; 4] {
        [
            self.battery_total_energy_charge_quality,
            self.battery_total_energy_discharge_quality,
            self.home_total_energy_quality,
            self.solar_total_energy_quality,
        ]
    }
}

/// The month that a table is partitioned by is in its key (a rejected record has but one time), so
/// that rows of one key never lie in two months, and FINAL needs no merge across them.
const ONE_MONTH_A_KEY: &str = "1";

/// The request timeout holds for so many rows.
const ROWS_PER_DEADLINE: usize = 65_536;

/// What every question begins with; the conditions follow.
const REPORTED: &str = "SELECT client_id, device_id, toUnixTimestamp64Milli(end_time) AS time_ms, \
     false AS in_chain, _offset AS offset, _index AS index \
     FROM intervals FINAL WHERE source = 'REPORTED' AND _topic = ? AND _partition = ?";
const READINGS: &str = "SELECT client_id, device_id, toUnixTimestamp64Milli(timestamp) AS time_ms, \
     in_chain, _offset AS offset, _index AS index \
     FROM readings FINAL WHERE _topic = ? AND _partition = ?";
const DERIVED: &str = "SELECT client_id, device_id, toUnixTimestamp64Milli(start_time) AS start_ms, \
     toUnixTimestamp64Milli(end_time) AS end_ms, \
     battery_total_energy_charge_wh, battery_total_energy_discharge_wh, \
     home_total_energy_wh, solar_total_energy_wh, \
     battery_total_energy_charge_quality, battery_total_energy_discharge_quality, \
     home_total_energy_quality, solar_total_energy_quality, \
     gap, _offset AS offset, _index AS index \
     FROM intervals FINAL WHERE source = 'COUNTER' AND _topic = ? AND _partition = ?";
const REJECTED: &str = "SELECT _offset AS offset, _index AS index, \
     toBool(toString(reason) != 'EQUAL_TIMESTAMP_CONFLICT') AS is_whole_record \
     FROM rejected FINAL WHERE _topic = ? AND _partition = ?";

impl ClickHouse {
    /// The reported intervals of a partition that a reader sees, at offsets of at least `from`.
    pub async fn reported_intervals(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(StoredPoint<'_>),
    ) -> Result<(), ClickHouseError> {
        let query = self.seen(REPORTED, "_offset >= ?", topic, partition).bind(from);
        self.stream::<StoredPoint<'_>>(query, each).await
    }

    /// The readings of a partition that a reader sees, at offsets of at least `from`.
    pub async fn readings(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(StoredPoint<'_>),
    ) -> Result<(), ClickHouseError> {
        let query = self.seen(READINGS, "_offset >= ?", topic, partition).bind(from);
        self.stream::<StoredPoint<'_>>(query, each).await
    }

    /// The readings with counters that a reader sees at offsets below `before`, within these times.
    pub async fn older_readings(
        &self,
        topic: &str,
        partition: i32,
        before: i64,
        times_ms: RangeInclusive<i64>,
        each: impl FnMut(StoredPoint<'_>),
    ) -> Result<(), ClickHouseError> {
        const OLDER: &str = "_offset < ? AND in_chain \
             AND timestamp BETWEEN fromUnixTimestamp64Milli(toInt64(?), 'UTC') \
                               AND fromUnixTimestamp64Milli(toInt64(?), 'UTC')";
        let query = self
            .seen(READINGS, OLDER, topic, partition)
            .bind(before)
            .bind(times_ms.start())
            .bind(times_ms.end());
        self.stream::<StoredPoint<'_>>(query, each).await
    }

    /// The derived intervals of a partition that a reader sees, at offsets of at least `from`.
    pub async fn derived_intervals(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        each: impl FnMut(StoredInterval<'_>),
    ) -> Result<(), ClickHouseError> {
        let query = self.seen(DERIVED, "_offset >= ?", topic, partition).bind(from);
        self.stream::<StoredInterval<'_>>(query, each).await
    }

    /// The positions of what was rejected of a partition, at offsets of at least `from`.
    pub async fn rejected_positions(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
    ) -> Result<Vec<RejectedPosition>, ClickHouseError> {
        let query = self.seen(REJECTED, "_offset >= ?", topic, partition).bind(from);
        let mut positions = Vec::new();
        self.stream::<RejectedPosition>(query, |position| positions.push(position)).await?;
        Ok(positions)
    }

    /// Rows of a partition under FINAL; the values of the condition are still to be bound.
    fn seen(&self, select: &str, condition: &str, topic: &str, partition: i32) -> Query {
        self.client
            .query(&format!("{select} AND {condition}"))
            .bind(topic)
            .bind(partition)
            .with_setting("do_not_merge_across_partitions_select_final", ONE_MONTH_A_KEY)
    }

    async fn stream<T: RowRead>(
        &self,
        query: Query,
        mut each: impl FnMut(T::Value<'_>),
    ) -> Result<(), ClickHouseError> {
        let mut cursor = query.fetch::<T>().map_err(|error| ClickHouseError::classify("audit", error))?;
        loop {
            let read = async {
                for _ in 0..ROWS_PER_DEADLINE {
                    match cursor.next().await? {
                        Some(row) => each(row),
                        None => return Ok(false),
                    }
                }
                Ok(true)
            };
            if !self.answered("audit", read).await? {
                return Ok(());
            }
        }
    }
}
