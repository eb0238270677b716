//! Rows as Arrow columns: one `RecordBatch` a table, for both sinks.
//!
//! Rows wait until they are a block, which goes into one column after the other: a row that went into all its 30 columns
//! by itself would ask each of them for room.

use std::sync::{Arc, LazyLock};

use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_array::types::{Int32Type, Int64Type, UInt64Type};
use arrow_array::{ArrayRef, BooleanArray, Int32Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use wattline_model::{
    COUNTERS, Interval, Limits, Mode, Point, Position, Quality, Quantity, RejectReason, Source,
};

use crate::bits::{BLOCK, Bits};
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

/// How the device was: the `last_*` columns, the raw data, and when the gateway had it.
struct State {
    is_online: Bits,
    is_grid_online: Bits,
    knows_grid: Bits,
    mode: Vec<i8>,
    has_mode: Bits,
    last: Decimals<{ LAST.len() }>,
    oem_raw_data: StringBuilder,
    received_at_ms: Vec<i64>,
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
            received_at_ms: Vec::with_capacity(rows),
        }
    }

    /// Points, each with the time at which the gateway had it.
    fn block<'a>(&mut self, rows: impl ExactSizeIterator<Item = (&'a Point<'a>, i64)> + Clone) {
        let points = rows.clone().map(|(point, _)| point);
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
        self.received_at_ms.extend(rows.map(|(_, received_at_ms)| received_at_ms));
    }

    fn finish(mut self, columns: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
        columns.push(flags(self.is_online));
        let knows_grid = self.knows_grid.nulls();
        columns.push(Arc::new(BooleanArray::new(self.is_grid_online.finish(), knows_grid)));
        columns.push(words(self.mode, self.has_mode.nulls(), &MODES)?);
        self.last.finish(columns);
        columns.push(array(&mut self.oem_raw_data));
        columns.push(times(self.received_at_ms));
        Ok(())
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

    /// Rows that their own points gave.
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
    place: Place,
}

/// The same, whole.
#[derive(Clone)]
struct EndColumns {
    client_id: ArrayRef,
    device_id: ArrayRef,
    time: ArrayRef,
    state: Vec<ArrayRef>,
    place: Vec<ArrayRef>,
}

impl Ends {
    fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Ends {
            client_id: Names::with_capacity(rows),
            device_id: device_ids(rows),
            time_ms: Vec::with_capacity(rows),
            state: State::new(rows),
            place: Place::new(topic, partition, rows),
        }
    }

    /// Rows, each with its time.
    fn block<'a>(&mut self, rows: impl ExactSizeIterator<Item = (End<'a>, i64)> + Clone) {
        let ends = rows.clone().map(|(end, _)| end);
        self.client_id.extend(ends.clone().map(|end| end.client_id));
        ends.clone().for_each(|end| self.device_id.append_value(&end.point.device_id));
        self.time_ms.extend(rows.map(|(_, time_ms)| time_ms));
        self.state.block(ends.clone().map(|end| (end.point, end.received_at_ms)));
        self.place.block(ends.map(|end| end.position));
    }

    fn finish(mut self) -> Result<EndColumns, ArrowError> {
        let rows = self.time_ms.len();
        let (mut state, mut place) = (Vec::new(), Vec::new());
        self.state.finish(&mut state)?;
        self.place.finish(&mut place, rows)?;
        Ok(EndColumns {
            client_id: self.client_id.finish()?,
            device_id: array(&mut self.device_id),
            time: times(self.time_ms),
            state,
            place,
        })
    }
}

/// Rows of the table of intervals: all of them are reported, or all of them derived.
pub(crate) struct Intervals<'a> {
    derived: Vec<IntervalRow<'a>>,
    source: Source,
    start_ms: Vec<i64>,
    energy: Decimals<4>,
    quality: [Vec<i8>; 4],
    gap: Bits,
    /// None where every row ends with the reading that is the row of the same number.
    ends: Option<Ends>,
}

/// An interval that was derived from counters.
pub(crate) struct IntervalRow<'a> {
    pub interval: Interval,
    pub end: End<'a>,
}

impl<'a> Intervals<'a> {
    /// With room for so many rows.
    pub(crate) fn new(source: Source, topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Intervals { source, ends: Some(Ends::new(topic, partition, rows)), ..Self::of_readings(rows) }
    }

    /// Of rows that end with the readings of the batch, one with each.
    pub(crate) fn of_readings(rows: usize) -> Self {
        Intervals {
            derived: Vec::new(),
            source: Source::Counter,
            start_ms: Vec::with_capacity(rows),
            energy: Decimals::with_capacity(rows),
            quality: std::array::from_fn(|_| Vec::with_capacity(rows)),
            gap: Bits::with_capacity(rows),
            ends: None,
        }
    }

    pub(crate) fn push(&mut self, row: IntervalRow<'a>) {
        self.derived.push(row);
        if self.derived.len() == BLOCK {
            self.block_of_derived();
        }
    }

    /// At most `BLOCK` points that are intervals themselves.
    pub(crate) fn block_of_reported(&mut self, reported: &[End<'_>]) {
        let rows = reported.len();
        let points = reported.iter().map(|row| row.point);
        self.start_ms.extend(points.clone().map(|point| point.time_ms));
        self.energy.block_of_quantities(points.map(|point| &point.quantities), &COUNTERS);
        for column in &mut self.quality {
            column.extend(std::iter::repeat_n(Quality::Reported as i8, rows));
        }
        self.gap.block_of_same(false, rows);
        if let Some(ends) = &mut self.ends {
            ends.block(reported.iter().map(|row| (*row, row.point.end_ms())));
        }
    }

    fn block_of_derived(&mut self) {
        let rows = self.derived.iter();
        self.start_ms.extend(rows.clone().map(|row| row.interval.start_ms));
        self.energy.block(rows.clone(), |row, at| row.interval.energy_mwh[at]);
        for (at, column) in self.quality.iter_mut().enumerate() {
            column.extend(rows.clone().map(|row| row.interval.quality[at] as i8));
        }
        self.gap.block(rows.clone().map(|row| row.interval.gap));
        if let Some(ends) = &mut self.ends {
            ends.block(rows.map(|row| (row.end, row.interval.end_ms)));
        }
        self.derived.clear();
    }

    fn finish(mut self, of_readings: Option<EndColumns>) -> Result<Option<RecordBatch>, ArrowError> {
        if !self.derived.is_empty() {
            self.block_of_derived();
        }
        let rows = self.start_ms.len();
        let missing =
            || ArrowError::InvalidArgumentError("intervals that end with readings lack them".into());
        let ends = match self.ends {
            Some(ends) => ends.finish()?,
            None => of_readings.ok_or_else(missing)?,
        };
        let mut columns = vec![
            ends.client_id,
            ends.device_id,
            words(vec![self.source as i8; rows], None, &SOURCES)?,
            times(self.start_ms),
            ends.time,
        ];
        self.energy.finish(&mut columns);
        for column in self.quality {
            columns.push(words(column, None, &QUALITIES)?);
        }
        columns.push(flags(self.gap));
        columns.extend(ends.state);
        columns.extend(ends.place);
        batch(&INTERVALS, columns, rows)
    }
}

/// Rows of the table of readings.
pub(crate) struct Readings<'a> {
    waiting: Vec<End<'a>>,
    in_chain: Bits,
    counters: Decimals<4>,
    limits: [Vec<i64>; LIMITS.len()],
    modulus: Decimals<1>,
    ends: Ends,
}

impl<'a> Readings<'a> {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Readings {
            waiting: Vec::with_capacity(BLOCK),
            in_chain: Bits::with_capacity(rows),
            counters: Decimals::with_capacity(rows),
            limits: std::array::from_fn(|_| Vec::with_capacity(rows)),
            modulus: Decimals::with_capacity(rows),
            ends: Ends::new(topic, partition, rows),
        }
    }

    pub(crate) fn push(&mut self, row: End<'a>) {
        self.waiting.push(row);
        if self.waiting.len() == BLOCK {
            self.block();
        }
    }

    fn block(&mut self) {
        let rows = self.waiting.iter();
        let points = rows.clone().map(|row| row.point);
        self.in_chain.block(points.clone().map(|point| point.quantities.has_all(&COUNTERS)));
        self.counters.block_of_quantities(points.clone().map(|point| &point.quantities), &COUNTERS);
        let limits: [fn(&Limits) -> u32; LIMITS.len()] = [
            |limits| limits.battery_charge_w,
            |limits| limits.battery_discharge_w,
            |limits| limits.home_w,
            |limits| limits.solar_w,
        ];
        for (column, limit_w) in self.limits.iter_mut().zip(limits) {
            column.extend(points.clone().map(|point| i64::from(limit_w(&point.limits))));
        }
        let modulus = |modulus_mwh: u64| (modulus_mwh > 0).then_some(modulus_mwh as i64);
        self.modulus.block(points, |point, _| modulus(point.limits.modulus_mwh));
        self.ends.block(rows.map(|row| (*row, row.point.time_ms)));
        self.waiting.clear();
    }

    /// The rows, and what intervals that end with them have of them.
    fn finish(mut self) -> Result<(Option<RecordBatch>, EndColumns), ArrowError> {
        if !self.waiting.is_empty() {
            self.block();
        }
        let rows = self.ends.time_ms.len();
        let ends = self.ends.finish()?;
        let whole = ends.clone();
        let mut columns = vec![ends.client_id, ends.device_id, ends.time, flags(self.in_chain)];
        self.counters.finish(&mut columns);
        columns.extend(self.limits.map(numbers::<Int64Type>));
        self.modulus.finish(&mut columns);
        columns.extend(ends.state);
        columns.extend(ends.place);
        Ok((batch(&READINGS, columns, rows)?, whole))
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
        intervals: Intervals<'_>,
        readings: Readings<'_>,
        rejected: Rejected,
    ) -> Result<Self, ArrowError> {
        let (readings, ends) = readings.finish()?;
        Ok(Rows { intervals: intervals.finish(Some(ends))?, readings, rejected: rejected.finish()? })
    }

    /// Of intervals that were reported; there are no readings.
    pub(crate) fn of_reported(intervals: Intervals<'_>, rejected: Rejected) -> Result<Self, ArrowError> {
        Ok(Rows { intervals: intervals.finish(None)?, readings: None, rejected: rejected.finish()? })
    }
}

fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<Option<RecordBatch>, ArrowError> {
    if rows == 0 {
        return Ok(None);
    }
    RecordBatch::try_new(Arc::clone(schema), columns).map(Some)
}
