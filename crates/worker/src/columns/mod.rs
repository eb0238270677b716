//! Rows as Arrow columns: one `RecordBatch` a table, for both sinks.
//!
//! Rows come in blocks, which go into one column after the other: a row that went into all its 30 columns by itself would
//! ask each of them for room.

mod intervals;
mod readings;

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt64Type};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use wattline_model::{COUNTERS, Mode, Point, Position, Quality, Quantity, RejectReason, Source};

pub(crate) use self::intervals::{DerivedIntervals, DerivedRow, ReportedIntervals};
pub(crate) use self::readings::Readings;
use crate::bits::Bits;
use crate::numbers::{DECIMAL, Decimals, numbers, times};
use crate::words::{self, Names, constant, words};

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

/// How the device was: the `last_*` columns and the raw data.
struct State {
    is_online: Bits,
    is_grid_online: Bits,
    knows_grid: Bits,
    mode: Vec<i8>,
    has_mode: Bits,
    last: Decimals<{ LAST.len() }>,
    oem_raw_data: StringBuilder,
}

impl State {
    fn new(rows: usize) -> Self {
        State {
            is_online: Bits::with_capacity(rows),
            is_grid_online: Bits::with_capacity(rows),
            knows_grid: Bits::with_capacity(rows),
            mode: Vec::with_capacity(rows),
            has_mode: Bits::with_capacity(rows),
            last: Decimals::with_capacity(rows),
            oem_raw_data: StringBuilder::with_capacity(rows, 0),
        }
    }

    fn block<'a>(&mut self, points: impl ExactSizeIterator<Item = &'a Point<'a>> + Clone) {
        self.is_online.block(points.clone().map(|point| point.last_is_online));
        self.is_grid_online.block(points.clone().map(|point| point.last_is_grid_online == Some(true)));
        self.knows_grid.block(points.clone().map(|point| point.last_is_grid_online.is_some()));
        self.mode.extend(points.clone().map(|point| point.last_mode.map_or(0, |mode| mode as i8 - 1)));
        self.has_mode.block(points.clone().map(|point| point.last_mode.is_some()));
        self.last.block_of_quantities(points.clone().map(|point| &point.quantities), &LAST);
        if points.clone().all(|point| point.oem_raw_data.is_none()) {
            self.oem_raw_data.append_nulls(points.len());
        } else {
            points.for_each(|point| self.oem_raw_data.append_option(point.oem_raw_data.as_deref()));
        }
    }

    fn finish(mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut columns = vec![flags(self.is_online)];
        let knows_grid = self.knows_grid.nulls();
        columns.push(Arc::new(BooleanArray::new(self.is_grid_online.finish(), knows_grid)));
        columns.push(words(self.mode, self.has_mode.nulls(), &MODES)?);
        self.last.finish(&mut columns);
        columns.push(array(&mut self.oem_raw_data));
        Ok(columns)
    }
}

/// A column that is true or false in every row.
fn flags(bits: Bits) -> ArrayRef {
    Arc::new(BooleanArray::new(bits.finish(), None))
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

    /// Rows that the points there gave.
    fn block(&mut self, rows: impl Iterator<Item = Position> + Clone) {
        self.offsets.extend(rows.clone().map(|position| position.offset));
        self.indexes.extend(rows.clone().map(|position| position.index));
        self.versions.extend(rows.map(Position::version));
    }

    /// `cause` is the point that gave the row: it is another's where that displaced the row's own.
    fn push(&mut self, position: Position, cause: Position) {
        self.offsets.push(position.offset);
        self.indexes.push(position.index);
        self.versions.push(cause.version());
    }

    fn position(&self, row: usize) -> Position {
        Position { offset: self.offsets[row], index: self.indexes[row] }
    }

    fn finish(self) -> Result<[ArrayRef; 5], ArrowError> {
        let rows = self.offsets.len();
        Ok([
            constant(&self.topic, rows)?,
            Arc::new(Int32Array::from_value(self.partition, rows)),
            numbers::<Int64Type>(self.offsets),
            numbers::<Int32Type>(self.indexes),
            numbers::<UInt64Type>(self.versions),
        ])
    }
}

static SOURCES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Source::ALL.map(Source::name)));
static QUALITIES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Quality::ALL.map(Quality::name)));
static MODES: LazyLock<ArrayRef> = LazyLock::new(|| words::list(Mode::ALL.map(Mode::name)));

/// What a row has of the point that it ends with, or is, and where that comes from.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    pub client_id: &'a str,
    pub point: &'a Point<'a>,
    pub received_at_ms: i64,
    pub position: Position,
}

/// The columns of that.
struct Ends {
    client_id: Names,
    device_id: StringBuilder,
    time_ms: Vec<i64>,
    state: State,
    received_at_ms: Vec<i64>,
    place: Place,
}

/// The same, whole.
struct EndColumns {
    client_id: ArrayRef,
    device_id: ArrayRef,
    time: ArrayRef,
    state: Vec<ArrayRef>,
    received_at: ArrayRef,
    place: [ArrayRef; 5],
}

impl Ends {
    fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Ends {
            client_id: Names::with_capacity(rows),
            device_id: device_ids(rows),
            time_ms: Vec::with_capacity(rows),
            state: State::new(rows),
            received_at_ms: Vec::with_capacity(rows),
            place: Place::new(topic, partition, rows),
        }
    }

    /// Rows, each at the end of its point.
    fn block(&mut self, rows: &[End<'_>]) {
        let rows = rows.iter();
        self.client_id.extend(rows.clone().map(|row| row.client_id));
        rows.clone().for_each(|row| self.device_id.append_value(&row.point.device_id));
        self.time_ms.extend(rows.clone().map(|row| row.point.end_ms()));
        self.state.block(rows.clone().map(|row| row.point));
        self.received_at_ms.extend(rows.clone().map(|row| row.received_at_ms));
        self.place.block(rows.map(|row| row.position));
    }

    fn finish(mut self) -> Result<EndColumns, ArrowError> {
        Ok(EndColumns {
            client_id: self.client_id.finish()?,
            device_id: array(&mut self.device_id),
            time: times(self.time_ms),
            state: self.state.finish()?,
            received_at: times(self.received_at_ms),
            place: self.place.finish()?,
        })
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
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

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
        self.reason.extend(std::iter::once(reason.name()));
        self.rejected_at_ms.push(at_ms);
        self.record.append_value(record);
        self.place.push(position, cause);
    }

    pub(crate) fn finish(mut self) -> Result<Option<RecordBatch>, ArrowError> {
        let mut columns = vec![self.reason.finish()?, times(self.rejected_at_ms), array(&mut self.record)];
        columns.extend(self.place.finish()?);
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

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
    if rows == 0 {
        return Ok(None);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map(Some)
}
