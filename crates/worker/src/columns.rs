//! Rows as Arrow columns: one `RecordBatch` a table, for both sinks.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use wattline_model::{COUNTERS, Interval, Mode, Point, Position, Quality, Quantity, RejectReason, Source};

use crate::numbers::{DECIMAL, Decimals, numbers, times};
use crate::words::{self, Names, Words, constant};

/// The quantities that say how the device was, in the order of the columns.
const LAST: [Quantity; 9] = [
    Quantity::PowerCharge,
    Quantity::PowerDischarge,
    Quantity::StoredEnergy,
    Quantity::CapacityEnergy,
    Quantity::HomePower,
    Quantity::SolarPower,
    Quantity::StateOfCharge,
    Quantity::StateOfHealth,
    Quantity::BackupReserve,
];

pub(crate) static INTERVALS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        dictionary("client_id", DataType::Int32, false),
        Field::new("device_id", DataType::Utf8, false),
        dictionary("source", DataType::Int8, false),
        timestamp("start_time"),
        timestamp("end_time"),
    ];
    fields.extend(COUNTERS.map(|quantity| Field::new(quantity.name(), DECIMAL, true)));
    fields.extend(COUNTERS.map(|quantity| dictionary(&quality_column(quantity), DataType::Int8, false)));
    fields.push(Field::new("gap", DataType::Boolean, false));
    fields.extend(state_fields());
    fields.extend(place_fields());
    Arc::new(Schema::new(fields))
});

pub(crate) static READINGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        dictionary("client_id", DataType::Int32, false),
        Field::new("device_id", DataType::Utf8, false),
        timestamp("timestamp"),
        Field::new("in_chain", DataType::Boolean, false),
    ];
    fields.extend(COUNTERS.map(|quantity| Field::new(quantity.name(), DECIMAL, true)));
    fields.extend(LIMITS.map(|name| Field::new(name, DataType::Int64, false)));
    fields.push(Field::new("counter_modulus_wh", DECIMAL, true));
    fields.extend(state_fields());
    fields.extend(place_fields());
    Arc::new(Schema::new(fields))
});

pub(crate) static REJECTED: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = vec![
        dictionary("reason", DataType::Int32, false),
        timestamp("rejected_at"),
        Field::new("record", DataType::Binary, false),
    ];
    fields.extend(place_fields());
    Arc::new(Schema::new(fields))
});

pub(crate) const LIMITS: [&str; 4] =
    ["limit_battery_charge_w", "limit_battery_discharge_w", "limit_home_w", "limit_solar_w"];

fn dictionary(name: &str, keys: DataType, nullable: bool) -> Field {
    Field::new(name, DataType::Dictionary(Box::new(keys), Box::new(DataType::Utf8)), nullable)
}

fn timestamp(name: &str) -> Field {
    Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false)
}

fn quality_column(quantity: Quantity) -> String {
    quantity.name().replace("_wh", "_quality")
}

fn state_fields() -> Vec<Field> {
    let mut fields = vec![
        Field::new("last_is_online", DataType::Boolean, false),
        Field::new("last_is_grid_online", DataType::Boolean, true),
        dictionary("last_mode", DataType::Int8, true),
    ];
    fields.extend(LAST.map(|quantity| Field::new(quantity.name(), DECIMAL, true)));
    fields.push(Field::new("oem_raw_data", DataType::Utf8, true));
    fields.push(timestamp("received_at"));
    fields
}

fn place_fields() -> [Field; 5] {
    [
        dictionary("_topic", DataType::Int32, false),
        Field::new("_partition", DataType::Int32, false),
        Field::new("_offset", DataType::Int64, false),
        Field::new("_index", DataType::Int32, false),
        Field::new("_version", DataType::UInt64, false),
    ]
}

fn device_ids(rows: usize) -> StringBuilder {
    const BYTES: usize = 16;
    StringBuilder::with_capacity(rows, rows * BYTES)
}

fn array(builder: &mut dyn arrow_array::builder::ArrayBuilder) -> ArrayRef {
    builder.finish()
}

/// How the device was: the `last_*` columns, the raw data, and when the gateway had it.
struct State {
    is_online: BooleanBuilder,
    is_grid_online: BooleanBuilder,
    mode: Words,
    last: Decimals<{ LAST.len() }>,
    oem_raw_data: StringBuilder,
    received_at_ms: Vec<i64>,
}

impl State {
    fn new(rows: usize) -> Self {
        State {
            is_online: BooleanBuilder::with_capacity(rows),
            is_grid_online: BooleanBuilder::with_capacity(rows),
            mode: Words::with_capacity(&MODES, rows),
            last: Decimals::with_capacity(rows),
            oem_raw_data: StringBuilder::with_capacity(rows, 0),
            received_at_ms: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, point: &Point<'_>, received_at_ms: i64) {
        self.is_online.append_value(point.last_is_online);
        self.is_grid_online.append_option(point.last_is_grid_online);
        self.mode.append_option(point.last_mode.map(|mode| mode as usize - 1));
        self.last.push(LAST.map(|quantity| point.quantities.get(quantity)));
        self.oem_raw_data.append_option(point.oem_raw_data.as_deref());
        self.received_at_ms.push(received_at_ms);
    }

    fn finish(mut self, columns: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
        columns.push(array(&mut self.is_online));
        columns.push(array(&mut self.is_grid_online));
        columns.push(self.mode.finish()?);
        self.last.finish(columns);
        columns.push(array(&mut self.oem_raw_data));
        columns.push(times(self.received_at_ms));
        Ok(())
    }
}

/// Where in Kafka a row comes from.
struct Place {
    topic: Arc<str>,
    partition: i32,
    offsets: Vec<i64>,
    indexes: Vec<i32>,
    versions: Vec<u64>,
}

impl Place {
    fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Place {
            topic: Arc::clone(topic),
            partition,
            offsets: Vec::with_capacity(rows),
            indexes: Vec::with_capacity(rows),
            versions: Vec::with_capacity(rows),
        }
    }

    /// `cause` is the point that gave the row; it is the row's own but for what is displaced by another.
    fn push(&mut self, position: Position, cause: Position) {
        self.offsets.push(position.offset);
        self.indexes.push(position.index);
        self.versions.push(cause.version());
    }

    fn finish(self, columns: &mut Vec<ArrayRef>, rows: usize) -> Result<(), ArrowError> {
        columns.push(constant(&self.topic, rows)?);
        columns.push(Arc::new(Int32Array::from_value(self.partition, rows)));
        columns.push(numbers::<Int64Type>(self.offsets));
        columns.push(numbers::<Int32Type>(self.indexes));
        columns.push(numbers::<UInt64Type>(self.versions));
        Ok(())
    }
}

static SOURCES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Source::ALL.map(Source::name)));
static QUALITIES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Quality::ALL.map(Quality::name)));
static MODES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Mode::ALL.map(Mode::name)));

/// Rows of the table of intervals.
pub(crate) struct Intervals {
    client_id: Names,
    device_id: StringBuilder,
    source: Words,
    start_ms: Vec<i64>,
    end_ms: Vec<i64>,
    energy: Decimals<4>,
    quality: [Words; 4],
    gap: BooleanBuilder,
    state: State,
    place: Place,
    rows: usize,
}

/// One row of the table of intervals: the interval, the point it ends with, and where it comes from.
pub(crate) struct IntervalRow<'a> {
    pub client_id: &'a str,
    pub source: Source,
    pub interval: &'a Interval,
    pub end: &'a Point<'a>,
    pub received_at_ms: i64,
    pub position: Position,
}

impl Intervals {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Intervals {
            client_id: Names::with_capacity(rows),
            device_id: device_ids(rows),
            source: Words::with_capacity(&SOURCES, rows),
            start_ms: Vec::with_capacity(rows),
            end_ms: Vec::with_capacity(rows),
            energy: Decimals::with_capacity(rows),
            quality: std::array::from_fn(|_| Words::with_capacity(&QUALITIES, rows)),
            gap: BooleanBuilder::with_capacity(rows),
            state: State::new(rows),
            place: Place::new(topic, partition, rows),
            rows: 0,
        }
    }

    pub(crate) fn push(&mut self, row: &IntervalRow<'_>) {
        self.rows += 1;
        self.client_id.append(row.client_id);
        self.device_id.append_value(&row.end.device_id);
        self.source.append(row.source as usize);
        self.start_ms.push(row.interval.start_ms);
        self.end_ms.push(row.interval.end_ms);
        self.energy.push(row.interval.energy_mwh);
        for (column, quality) in self.quality.iter_mut().zip(row.interval.quality) {
            column.append(quality as usize);
        }
        self.gap.append_value(row.interval.gap);
        self.state.push(row.end, row.received_at_ms);
        self.place.push(row.position, row.position);
    }

    fn finish(mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut columns = vec![
            self.client_id.finish()?,
            array(&mut self.device_id),
            self.source.finish()?,
            times(self.start_ms),
            times(self.end_ms),
        ];
        self.energy.finish(&mut columns);
        for column in &mut self.quality {
            columns.push(column.finish()?);
        }
        columns.push(array(&mut self.gap));
        self.state.finish(&mut columns)?;
        self.place.finish(&mut columns, self.rows)?;
        batch(&INTERVALS, columns, self.rows)
    }
}

/// Rows of the table of readings.
pub(crate) struct Readings {
    client_id: Names,
    device_id: StringBuilder,
    time_ms: Vec<i64>,
    in_chain: BooleanBuilder,
    counters: Decimals<4>,
    limits: [Vec<i64>; LIMITS.len()],
    modulus: Decimals<1>,
    state: State,
    place: Place,
    rows: usize,
}

impl Readings {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Readings {
            client_id: Names::with_capacity(rows),
            device_id: device_ids(rows),
            time_ms: Vec::with_capacity(rows),
            in_chain: BooleanBuilder::with_capacity(rows),
            counters: Decimals::with_capacity(rows),
            limits: std::array::from_fn(|_| Vec::with_capacity(rows)),
            modulus: Decimals::with_capacity(rows),
            state: State::new(rows),
            place: Place::new(topic, partition, rows),
            rows: 0,
        }
    }

    pub(crate) fn push(
        &mut self,
        client_id: &str,
        point: &Point<'_>,
        received_at_ms: i64,
        position: Position,
    ) {
        self.rows += 1;
        self.client_id.append(client_id);
        self.device_id.append_value(&point.device_id);
        self.time_ms.push(point.time_ms);
        self.in_chain.append_value(point.quantities.counters().is_some());
        self.counters.push(COUNTERS.map(|quantity| point.quantities.get(quantity)));
        let limits = &point.limits;
        let limit_w = [limits.battery_charge_w, limits.battery_discharge_w, limits.home_w, limits.solar_w];
        for (column, limit_w) in self.limits.iter_mut().zip(limit_w) {
            column.push(i64::from(limit_w));
        }
        self.modulus.push([(limits.modulus_mwh > 0).then_some(limits.modulus_mwh as i64)]);
        self.state.push(point, received_at_ms);
        self.place.push(position, position);
    }

    fn finish(mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut columns = vec![
            self.client_id.finish()?,
            array(&mut self.device_id),
            times(self.time_ms),
            array(&mut self.in_chain),
        ];
        self.counters.finish(&mut columns);
        columns.extend(self.limits.map(numbers::<Int64Type>));
        self.modulus.finish(&mut columns);
        self.state.finish(&mut columns)?;
        self.place.finish(&mut columns, self.rows)?;
        batch(&READINGS, columns, self.rows)
    }
}

/// Rows of the table of rejected.
pub(crate) struct Rejected {
    reason: Names,
    rejected_at_ms: Vec<i64>,
    record: BinaryBuilder,
    place: Place,
    rows: usize,
}

impl Rejected {
    pub(crate) fn new(topic: &Arc<str>, partition: i32) -> Self {
        Rejected {
            reason: Names::with_capacity(0),
            rejected_at_ms: Vec::new(),
            record: BinaryBuilder::new(),
            place: Place::new(topic, partition, 0),
            rows: 0,
        }
    }

    pub(crate) fn push(
        &mut self,
        reason: RejectReason,
        at_ms: i64,
        record: &[u8],
        position: Position,
        cause: Position,
    ) {
        self.rows += 1;
        self.reason.append(reason.name());
        self.rejected_at_ms.push(at_ms);
        self.record.append_value(record);
        self.place.push(position, cause);
    }

    fn finish(mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut columns = vec![self.reason.finish()?, times(self.rejected_at_ms), array(&mut self.record)];
        self.place.finish(&mut columns, self.rows)?;
        batch(&REJECTED, columns, self.rows)
    }
}

/// The rows of a batch; a table without rows has none.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub intervals: Option<RecordBatch>,
    pub readings: Option<RecordBatch>,
    pub rejected: Option<RecordBatch>,
}

impl Rows {
    pub(crate) fn finish(
        intervals: Intervals,
        readings: Readings,
        rejected: Rejected,
    ) -> Result<Self, ArrowError> {
        Ok(Rows {
            intervals: intervals.finish()?,
            readings: readings.finish()?,
            rejected: rejected.finish()?,
        })
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
    if rows == 0 {
        return Ok(None);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map(Some)
}
