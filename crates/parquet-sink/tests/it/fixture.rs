//! Readings of a small fleet over a day, as the worker hands them on.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal64Builder, StringBuilder, StringDictionaryBuilder, TimestampMillisecondBuilder,
};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};

pub fn day() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 24)
}

/// A fleet whose batteries each report once a batch, in random order, five minutes on from batch to
/// batch.
pub struct Fleet {
    devices: usize,
    step: i64,
    random: u64,
    counters: Vec<[i64; 4]>,
    charge: Vec<i64>,
}

impl Fleet {
    pub fn new(devices: usize) -> Self {
        let mut fleet = Fleet { devices, step: 0, random: 7, counters: Vec::new(), charge: Vec::new() };
        for _ in 0..devices {
            let counters = [0; 4].map(|_| (fleet.below(20_000_000) as i64) * 1_000);
            fleet.counters.push(counters);
            let charge = fleet.below(13_500) as i64 * 1_000;
            fleet.charge.push(charge);
        }
        fleet
    }

    pub fn schema(&self) -> SchemaRef {
        Fleet::new(1).batch().schema()
    }

    pub fn take(mut self, batches: usize) -> Vec<RecordBatch> {
        (0..batches).map(|_| self.batch()).collect()
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    pub fn batch(&mut self) -> RecordBatch {
        let (devices, step) = (self.devices, self.step);
        self.step += 1;
        let time = 1_795_000_000_000 + step * 300_000;
        let day_share = ((step % 288) as f64 / 288.0 - 0.5).abs() * 2.0;
        let mut order: Vec<usize> = (0..devices).collect();
        for n in (1..devices).rev() {
            let other = self.below(n as u64 + 1) as usize;
            order.swap(n, other);
        }
        let (mut powers, mut states): (Vec<[i64; 4]>, Vec<[i64; 4]>) = (Vec::new(), Vec::new());
        for &device in &order {
            let solar =
                ((1.0 - 2.0 * day_share).max(0.0) * 6_000.0) as i64 * (self.below(1_000) as i64) / 1_000;
            let home = 300 + (self.below(1_500) as i64);
            let charge = (solar - home).clamp(0, 5_000);
            let discharge = (home - solar).clamp(0, 5_000);
            let power = [charge, discharge, home, solar];
            for (counter, power) in self.counters[device].iter_mut().zip(power) {
                *counter += power * 1_000 / 12;
            }
            let stored = (self.charge[device] + (charge - discharge) * 1_000 / 12).clamp(0, 13_500_000);
            self.charge[device] = stored;
            powers.push(power.map(|power| power * 1_000));
            states.push([stored, 13_500_000, stored / 1_350 * 10, 98_500]);
        }

        let mut columns: Vec<(&str, bool, ArrayRef)> = Vec::new();
        let mut client = StringDictionaryBuilder::<Int32Type>::new();
        let (mut device, mut raw) = (StringBuilder::new(), StringBuilder::new());
        let mut mode = StringDictionaryBuilder::<Int8Type>::new();
        let mut topic = StringDictionaryBuilder::<Int32Type>::new();
        let mut timestamp = TimestampMillisecondBuilder::new().with_timezone("UTC");
        let mut received = TimestampMillisecondBuilder::new().with_timezone("UTC");
        let (mut yes, mut grid) = (BooleanBuilder::new(), BooleanBuilder::new());
        for (n, power) in powers.iter().enumerate() {
            let name = order[n];
            client.append_value("demo");
            device.append_value(format!("bat-{name:06}"));
            timestamp.append_value(time);
            received.append_value(time + 1_000 + (n as i64 / 100));
            mode.append_value(if power[0] > 0 { "CHARGE" } else { "SELF_CONSUMPTION" });
            topic.append_value("wattline.counters");
            raw.append_null();
            yes.append_value(true);
            grid.append_value(true);
        }
        let yes: ArrayRef = Arc::new(yes.finish());
        columns.push(("client_id", false, Arc::new(client.finish())));
        columns.push(("device_id", false, Arc::new(device.finish())));
        columns.push(("timestamp", false, Arc::new(timestamp.finish())));
        columns.push(("in_chain", false, yes.clone()));
        let decimals = |value: &dyn Fn(usize) -> Option<i64>| -> ArrayRef {
            let mut builder = Decimal64Builder::new().with_precision_and_scale(18, 3).unwrap();
            (0..devices).for_each(|n| builder.append_option(value(n)));
            Arc::new(builder.finish())
        };
        for (which, name) in [
            "battery_total_energy_charge_wh",
            "battery_total_energy_discharge_wh",
            "home_total_energy_wh",
            "solar_total_energy_wh",
        ]
        .into_iter()
        .enumerate()
        {
            columns.push((name, true, decimals(&|n| Some(self.counters[order[n]][which]))));
        }
        columns.push(("last_is_online", false, yes));
        columns.push(("last_is_grid_online", true, Arc::new(grid.finish())));
        columns.push(("last_mode", true, Arc::new(mode.finish())));
        for (which, name) in [
            "battery_last_power_charge_w",
            "battery_last_power_discharge_w",
            "home_last_power_w",
            "solar_last_power_w",
        ]
        .into_iter()
        .enumerate()
        {
            columns.push((name, true, decimals(&|n| Some(powers[n][which]))));
        }
        for (which, name) in [
            "battery_last_stored_energy_wh",
            "battery_last_capacity_energy_wh",
            "battery_last_state_of_charge_percentage",
            "battery_last_state_of_health_percentage",
        ]
        .into_iter()
        .enumerate()
        {
            columns.push((name, true, decimals(&|n| Some(states[n][which]))));
        }
        columns.push(("battery_last_backup_reserve_percentage", true, decimals(&|_| None)));
        columns.push(("oem_raw_data", true, Arc::new(raw.finish())));
        for name in ["limit_battery_charge_w", "limit_battery_discharge_w", "limit_home_w", "limit_solar_w"] {
            columns.push((name, false, Arc::new(Int64Array::from_iter_values((0..devices).map(|_| 5_000)))));
        }
        columns.push(("counter_modulus_wh", true, decimals(&|_| None)));
        columns.push(("received_at", false, Arc::new(received.finish())));
        columns.push(("_topic", false, Arc::new(topic.finish())));
        let count = devices as i32;
        columns.push(("_partition", false, Arc::new(Int32Array::from_iter_values((0..count).map(|_| 3)))));
        let offset = 1_000 + step;
        columns.push(("_offset", false, Arc::new(Int64Array::from_iter_values((0..count).map(|_| offset)))));
        columns.push(("_index", false, Arc::new(Int32Array::from_iter_values(0..count))));
        let version = |n: i32| offset as u64 * 1_024 + n as u64;
        columns.push(("_version", false, Arc::new(UInt64Array::from_iter_values((0..count).map(version)))));

        of_columns(columns)
    }
}

/// A batch of columns, each with its name and whether it may have nulls.
pub fn of_columns(columns: Vec<(&str, bool, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable))
        .collect();
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Intervals that end with these readings, every second of them reported; the first energy is not known.
pub fn intervals(readings: &RecordBatch) -> RecordBatch {
    let column = |name: &str| readings.column_by_name(name).unwrap().clone();
    let rows = readings.num_rows();
    let words = |word: &dyn Fn(usize) -> &'static str| -> ArrayRef {
        let mut builder = StringDictionaryBuilder::<Int8Type>::new();
        (0..rows).for_each(|row| builder.append_value(word(row)));
        Arc::new(builder.finish())
    };
    let charge = column("battery_total_energy_charge_wh");
    RecordBatch::try_from_iter([
        ("client_id", column("client_id")),
        ("device_id", column("device_id")),
        ("source", words(&|row| if row % 2 == 0 { "COUNTER" } else { "REPORTED" })),
        ("start_time", column("timestamp")),
        ("end_time", column("timestamp")),
        ("battery_total_energy_charge_wh", arrow_array::new_null_array(charge.data_type(), rows)),
        ("battery_total_energy_discharge_wh", column("battery_total_energy_discharge_wh")),
        ("home_total_energy_wh", column("home_total_energy_wh")),
        ("solar_total_energy_wh", column("solar_total_energy_wh")),
        ("battery_total_energy_charge_quality", words(&|_| "JUMP")),
        ("battery_total_energy_discharge_quality", words(&|_| "VALID")),
        ("home_total_energy_quality", words(&|_| "VALID")),
        ("solar_total_energy_quality", words(&|_| "VALID")),
        ("gap", column("in_chain")),
        ("_offset", column("_offset")),
        ("_index", column("_index")),
    ])
    .unwrap()
}

/// The rows of a file, in the types that the batches had.
pub fn read(path: &Path, schema: SchemaRef) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_schema(schema);
    let file = File::open(path).unwrap();
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).unwrap().build().unwrap();
    whole(&reader.map(Result::unwrap).collect::<Vec<_>>())
}

pub fn whole(batches: &[RecordBatch]) -> RecordBatch {
    arrow_select::concat::concat_batches(&batches[0].schema(), batches).unwrap()
}

pub fn bytes_by_column(path: &Path) -> String {
    let file = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let mut sizes = std::collections::BTreeMap::new();
    for column in file.metadata().row_groups().iter().flat_map(|group| group.columns()) {
        *sizes.entry(column.column_path().string()).or_insert(0) += column.compressed_size();
    }
    format!("{sizes:#?}")
}
