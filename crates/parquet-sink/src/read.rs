//! Reading back: whole rows for who computes anew, and for the audit a few columns, the keys and
//! positions of points and the derived intervals; a batch at a time, whatever the size of the file.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{Array, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::error::ParquetSinkError;
use crate::name::Kind;
use crate::store::Store;

/// The place of a point in its Kafka partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub offset: i64,
    pub index: i32,
}

/// What tells a point apart, and where it stands in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPoint<'a> {
    pub client_id: &'a str,
    pub device_id: &'a str,
    /// The time of a reading, the end of an interval.
    pub time_ms: i64,
    /// False for an interval.
    pub in_chain: bool,
    pub position: Position,
}

/// An interval that was derived from two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredInterval<'a> {
    pub client_id: &'a str,
    pub device_id: &'a str,
    pub start_ms: i64,
    pub end_ms: i64,
    /// Battery charge, battery discharge, home, solar, in 0.001 Wh.
    pub energies: [Option<i64>; 4],
    /// In the order of the energies.
    pub qualities: [&'a str; 4],
    pub gap: bool,
    /// Of the younger reading.
    pub position: Position,
}

const ENERGIES: [&str; 4] = [
    "battery_total_energy_charge_wh",
    "battery_total_energy_discharge_wh",
    "home_total_energy_wh",
    "solar_total_energy_wh",
];
const QUALITIES: [&str; 4] = [
    "battery_total_energy_charge_quality",
    "battery_total_energy_discharge_quality",
    "home_total_energy_quality",
    "solar_total_energy_quality",
];

/// The points of a file, in its order: its readings, or its reported intervals.
pub fn points(
    store: &Store,
    name: &str,
    kind: Kind,
    mut each: impl FnMut(StoredPoint<'_>),
) -> Result<(), ParquetSinkError> {
    match kind {
        Kind::Readings => {
            let names = ["client_id", "device_id", "timestamp", "in_chain", "_offset", "_index"];
            read(store, name, Some(&names), |columns| {
                let (keys, in_chain) = (Keys::of(columns, "timestamp")?, columns.flags("in_chain")?);
                (0..columns.rows()).for_each(|row| each(keys.point(row, in_chain.value(row))));
                Ok(())
            })
        }
        Kind::Intervals => {
            let names = ["client_id", "device_id", "source", "end_time", "_offset", "_index"];
            read(store, name, Some(&names), |columns| {
                let (keys, source) = (Keys::of(columns, "end_time")?, columns.texts("source")?);
                for row in (0..columns.rows()).filter(|&row| source.value(row) == "REPORTED") {
                    each(keys.point(row, false));
                }
                Ok(())
            })
        }
    }
}

/// The derived intervals of a file of intervals, in its order.
pub fn derived_intervals(
    store: &Store,
    name: &str,
    mut each: impl FnMut(StoredInterval<'_>),
) -> Result<(), ParquetSinkError> {
    let keys = ["client_id", "device_id", "source", "start_time", "end_time", "gap", "_offset", "_index"];
    let names: Vec<&str> = keys.iter().chain(&ENERGIES).chain(&QUALITIES).copied().collect();
    read(store, name, Some(&names), |columns| {
        let (keys, source) = (Keys::of(columns, "end_time")?, columns.texts("source")?);
        let starts = columns.numbers::<TimestampMillisecondType>("start_time")?;
        let gaps = columns.flags("gap")?;
        let energies = columns.four(ENERGIES, Columns::numbers::<Decimal128Type>)?;
        let qualities = columns.four(QUALITIES, Columns::texts)?;
        for row in (0..columns.rows()).filter(|&row| source.value(row) == "COUNTER") {
            let point = keys.point(row, true);
            each(StoredInterval {
                client_id: point.client_id,
                device_id: point.device_id,
                start_ms: starts.value(row),
                end_ms: point.time_ms,
                // 18 digits are within 64 bits.
                energies: energies.map(|energy| energy.is_valid(row).then(|| energy.value(row) as i64)),
                qualities: qualities.each_ref().map(|quality| quality.value(row)),
                gap: gaps.value(row),
                position: point.position,
            });
        }
        Ok(())
    })
}

/// All rows of a file with all their columns, in its order, a batch at a time.
pub fn rows(
    store: &Store,
    name: &str,
    each: impl FnMut(Columns<'_>) -> Result<(), ParquetError>,
) -> Result<(), ParquetSinkError> {
    read(store, name, None, each)
}

/// No names means all columns.
fn read(
    store: &Store,
    name: &str,
    names: Option<&[&str]>,
    mut each: impl FnMut(Columns<'_>) -> Result<(), ParquetError>,
) -> Result<(), ParquetSinkError> {
    let file = store.fetch(name)?;
    let batches = || {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(ROWS_PER_BATCH);
        if let Some(names) = names {
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder = builder.with_projection(mask);
        }
        for batch in builder.build()? {
            each(Columns(&batch?))?;
        }
        Ok(())
    };
    batches().map_err(|error| ParquetSinkError::parquet("read", &store.path(name), error))
}

const ROWS_PER_BATCH: usize = 8_192;

/// The key columns and the position columns of a batch.
struct Keys<'a> {
    clients: Texts<'a>,
    devices: Texts<'a>,
    times: &'a PrimitiveArray<TimestampMillisecondType>,
    offsets: &'a PrimitiveArray<Int64Type>,
    indexes: &'a PrimitiveArray<Int32Type>,
}

impl<'a> Keys<'a> {
    fn of(columns: Columns<'a>, time: &str) -> Result<Self, ParquetError> {
        Ok(Keys {
            clients: columns.texts("client_id")?,
            devices: columns.texts("device_id")?,
            times: columns.numbers(time)?,
            offsets: columns.numbers("_offset")?,
            indexes: columns.numbers("_index")?,
        })
    }

    fn point(&self, row: usize, in_chain: bool) -> StoredPoint<'a> {
        StoredPoint {
            client_id: self.clients.value(row),
            device_id: self.devices.value(row),
            time_ms: self.times.value(row),
            in_chain,
            position: Position { offset: self.offsets.value(row), index: self.indexes.value(row) },
        }
    }
}

/// The columns of a batch, by name. One that is missing or of another type is an error.
#[derive(Clone, Copy)]
pub struct Columns<'a>(&'a RecordBatch);

impl<'a> Columns<'a> {
    pub fn rows(self) -> usize {
        self.0.num_rows()
    }

    pub fn texts(self, name: &str) -> Result<Texts<'a>, ParquetError> {
        let column = self.column(name)?;
        if let Some(values) = column.as_string_opt::<i32>() {
            return Ok(Texts { column, keys: None, values });
        }
        let dictionary = column.as_any_dictionary_opt().ok_or_else(|| wrong(name))?;
        let values = dictionary.values().as_string_opt::<i32>().ok_or_else(|| wrong(name))?;
        // A column of nothing but nulls has no values, and no keys that could be told.
        let keys = if values.is_empty() { Vec::new() } else { dictionary.normalized_keys() };
        Ok(Texts { column, keys: Some(keys), values })
    }

    pub fn numbers<T: ArrowPrimitiveType>(self, name: &str) -> Result<&'a PrimitiveArray<T>, ParquetError> {
        self.column(name)?.as_primitive_opt::<T>().ok_or_else(|| wrong(name))
    }

    pub fn flags(self, name: &str) -> Result<&'a BooleanArray, ParquetError> {
        self.column(name)?.as_boolean_opt().ok_or_else(|| wrong(name))
    }

    fn four<T>(
        self,
        names: [&str; 4],
        column: impl Fn(Self, &str) -> Result<T, ParquetError>,
    ) -> Result<[T; 4], ParquetError> {
        let [a, b, c, d] = names;
        Ok([column(self, a)?, column(self, b)?, column(self, c)?, column(self, d)?])
    }

    fn column(self, name: &str) -> Result<&'a dyn Array, ParquetError> {
        let column = self.0.column_by_name(name).map(AsRef::as_ref);
        column.ok_or_else(|| ParquetError::General(format!("column {name} is missing")))
    }
}

fn wrong(name: &str) -> ParquetError {
    ParquetError::General(format!("column {name} has another type"))
}

/// A column of texts, plain or as a dictionary.
pub struct Texts<'a> {
    column: &'a dyn Array,
    keys: Option<Vec<usize>>,
    values: &'a StringArray,
}

impl<'a> Texts<'a> {
    /// The text of a row, which must have one.
    pub fn value(&self, row: usize) -> &'a str {
        self.values.value(self.keys.as_ref().map_or(row, |keys| keys[row]))
    }

    pub fn get(&self, row: usize) -> Option<&'a str> {
        self.column.is_valid(row).then(|| self.value(row))
    }
}
