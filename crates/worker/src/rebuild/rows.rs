//! Rows of Parquet files as points again: what `columns` does, the other way round.

use std::borrow::Cow;

use arrow_array::Array as _;
use arrow_array::PrimitiveArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType};
use wattline_model::{Kind, Limits, Mode, Point, Position, Quantities, Quantity, Source};
use wattline_parquet_sink::{Columns, ParquetError};
use wattline_wire::record::Header;

use crate::columns::LIMITS;
use crate::inputs::Inputs;

/// A point, and what the record it came in said of all its points.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredRow {
    pub position: Position,
    client_id: String,
    pub received_at_ms: i64,
    point: Point<'static>,
}

/// The points among the rows of a batch: readings, or reported intervals.
pub(super) fn rows_of(kind: Kind, columns: Columns<'_>) -> Result<Vec<StoredRow>, ParquetError> {
    let clients = columns.texts("client_id")?;
    let devices = columns.texts("device_id")?;
    let times = columns.numbers::<TimestampMillisecondType>(kind.time_field())?;
    let is_online = columns.flags("last_is_online")?;
    let is_grid_online = columns.flags("last_is_grid_online")?;
    let modes = columns.texts("last_mode")?;
    let oem_raw_data = columns.texts("oem_raw_data")?;
    let received_at = columns.numbers::<TimestampMillisecondType>("received_at")?;
    let offsets = columns.numbers::<Int64Type>("_offset")?;
    let indexes = columns.numbers::<Int32Type>("_index")?;
    let quantities: Vec<(Quantity, &PrimitiveArray<Decimal128Type>)> = Quantity::ALL
        .into_iter()
        .map(|quantity| Ok((quantity, columns.numbers(quantity.name())?)))
        .collect::<Result<_, ParquetError>>()?;
    let special = match kind {
        Kind::Battery => {
            Special::Interval { sources: columns.texts("source")?, ends: columns.numbers("end_time")? }
        }
        Kind::BatteryCounter => Special::Reading {
            limits: LIMITS.into_iter().map(|name| columns.numbers(name)).collect::<Result<_, _>>()?,
            moduli: columns.numbers("counter_modulus_wh")?,
        },
    };
    let mut rows = Vec::with_capacity(columns.rows());
    for row in (0..columns.rows()).filter(|&row| special.is_point(row)) {
        let mut values = Quantities::default();
        for (quantity, column) in &quantities {
            if column.is_valid(row) {
                // 18 digits are within 64 bits.
                values.set(*quantity, column.value(row) as i64);
            }
        }
        rows.push(StoredRow {
            position: Position { offset: offsets.value(row), index: indexes.value(row) },
            client_id: clients.value(row).to_owned(),
            received_at_ms: received_at.value(row),
            point: Point {
                device_id: Cow::Owned(devices.value(row).to_owned()),
                time_ms: times.value(row),
                duration_ms: special.duration_ms(row, times.value(row)),
                last_is_online: is_online.value(row),
                last_is_grid_online: is_grid_online.is_valid(row).then(|| is_grid_online.value(row)),
                last_mode: modes.get(row).and_then(|name| Mode::from_name(name.as_bytes())),
                quantities: values,
                oem_raw_data: oem_raw_data.get(row).map(|text| Cow::Owned(text.to_owned())),
                limits: special.limits(row),
            },
        });
    }
    Ok(rows)
}

/// The columns that only one kind has.
enum Special<'a> {
    Interval { sources: wattline_parquet_sink::Texts<'a>, ends: &'a PrimitiveArray<TimestampMillisecondType> },
    Reading { limits: Vec<&'a PrimitiveArray<Int64Type>>, moduli: &'a PrimitiveArray<Decimal128Type> },
}

impl Special<'_> {
    /// An interval that was derived is no point of its own.
    fn is_point(&self, row: usize) -> bool {
        match self {
            Special::Interval { sources, .. } => sources.value(row) == Source::Reported.name(),
            Special::Reading { .. } => true,
        }
    }

    fn duration_ms(&self, row: usize, start_ms: i64) -> u32 {
        match self {
            Special::Interval { ends, .. } => u32::try_from(ends.value(row) - start_ms).unwrap_or(u32::MAX),
            Special::Reading { .. } => 0,
        }
    }

    fn limits(&self, row: usize) -> Limits {
        let Special::Reading { limits, moduli } = self else { return Limits::default() };
        let watts =
            |at: usize| limits.get(at).map_or(0, |column| column.value(row).try_into().unwrap_or(u32::MAX));
        Limits {
            battery_charge_w: watts(0),
            battery_discharge_w: watts(1),
            home_w: watts(2),
            solar_w: watts(3),
            modulus_mwh: if moduli.is_valid(row) { moduli.value(row).max(0) as u64 } else { 0 },
        }
    }
}

/// The requests that the rows came in, which may lack some of their points.
pub(super) fn inputs(rows: &[StoredRow]) -> Inputs<'_> {
    let mut inputs = Inputs::default();
    let is_of_one = |a: &StoredRow, b: &StoredRow| {
        (a.position.offset, a.received_at_ms) == (b.position.offset, b.received_at_ms)
            && a.client_id == b.client_id
    };
    for request in rows.chunk_by(is_of_one) {
        let Some(first) = request.first() else { continue };
        let header =
            Header { client_id: &first.client_id, request_id: "", received_at_ms: first.received_at_ms };
        let points = request.iter().map(|row| (row.position.index, borrowed(&row.point)));
        inputs.push_points(first.position.offset, header, points);
    }
    inputs
}

fn borrowed<'a>(point: &'a Point<'_>) -> Point<'a> {
    Point {
        device_id: Cow::Borrowed(&point.device_id),
        oem_raw_data: point.oem_raw_data.as_deref().map(Cow::Borrowed),
        ..*point
    }
}
