use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take;
use wattline_model::{COUNTERS, Interval, Position, Quality, Source};

use super::{End, EndColumns, Ends, INTERVALS, Place, QUALITIES, SOURCES, batch, flags};
use crate::bits::{BLOCK, Bits};
use crate::numbers::{Decimals, times};
use crate::words::words;

/// Rows of the table of intervals that clients reported.
pub(crate) struct ReportedIntervals {
    energies: Energies,
    ends: Ends,
}

impl ReportedIntervals {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        ReportedIntervals { energies: Energies::new(rows), ends: Ends::new(topic, partition, rows) }
    }

    /// At most `BLOCK` points that are intervals themselves.
    pub(crate) fn block(&mut self, rows: &[End<'_>]) {
        let Energies { start_ms, energy, quality, gap } = &mut self.energies;
        let points = rows.iter().map(|row| row.point);
        start_ms.extend(points.clone().map(|point| point.time_ms));
        energy.block_of_quantities(points.map(|point| &point.quantities), &COUNTERS);
        for column in quality {
            column.extend(std::iter::repeat_n(Quality::Reported as i8, rows.len()));
        }
        gap.block_of_same(false, rows.len());
        self.ends.block(rows);
    }

    pub(crate) fn finish(self) -> Result<Option<RecordBatch>, ArrowError> {
        self.energies.finish(Source::Reported, self.ends.finish()?)
    }
}

/// Rows of the table of intervals that are derived from counters. Each ends with a reading of the batch, or with one that was
/// looked up for it.
pub(crate) struct DerivedIntervals {
    waiting: Vec<DerivedRow>,
    energies: Energies,
    readings: Vec<u32>,
    received_at_ms: Vec<i64>,
    place: Place,
}

pub(crate) struct DerivedRow {
    pub interval: Interval,
    /// The row of the reading that it ends with.
    pub reading: u32,
    /// When the gateway had what gave it, and the younger of its two readings.
    pub received_at_ms: i64,
    pub position: Position,
}

impl DerivedIntervals {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        DerivedIntervals {
            waiting: Vec::with_capacity(BLOCK),
            energies: Energies::new(rows),
            readings: Vec::with_capacity(rows),
            received_at_ms: Vec::with_capacity(rows),
            place: Place::new(topic, partition, rows),
        }
    }

    pub(crate) fn push(&mut self, row: DerivedRow) {
        self.waiting.push(row);
        if self.waiting.len() == BLOCK {
            self.block();
        }
    }

    fn block(&mut self) {
        let Energies { start_ms, energy, quality, gap } = &mut self.energies;
        let rows = self.waiting.iter();
        start_ms.extend(rows.clone().map(|row| row.interval.start_ms));
        energy.block(rows.clone(), |row, at| row.interval.energy_mwh[at]);
        for (at, column) in quality.iter_mut().enumerate() {
            column.extend(rows.clone().map(|row| row.interval.quality[at] as i8));
        }
        gap.block(rows.clone().map(|row| row.interval.gap));
        self.readings.extend(rows.clone().map(|row| row.reading));
        self.received_at_ms.extend(rows.clone().map(|row| row.received_at_ms));
        self.place.block(rows.map(|row| row.position));
        self.waiting.clear();
    }

    /// `readings` has the rows that these end with.
    pub(super) fn finish(mut self, readings: &EndColumns) -> Result<Option<RecordBatch>, ArrowError> {
        self.block();
        let is_every_reading =
            self.readings.len() == readings.time.len() && self.readings.iter().copied().eq(0..);
        let rows = UInt32Array::from(self.readings);
        let of_rows = |column: &ArrayRef| match is_every_reading {
            true => Ok(Arc::clone(column)),
            false => take(column, &rows, None),
        };
        let ends = EndColumns {
            client_id: of_rows(&readings.client_id)?,
            device_id: of_rows(&readings.device_id)?,
            time: of_rows(&readings.time)?,
            state: readings.state.iter().map(of_rows).collect::<Result<_, _>>()?,
            received_at: times(self.received_at_ms),
            place: self.place.finish()?,
        };
        self.energies.finish(Source::Counter, ends)
    }
}

/// The columns that only intervals have.
struct Energies {
    start_ms: Vec<i64>,
    energy: Decimals<4>,
    quality: [Vec<i8>; 4],
    gap: Bits,
}

impl Energies {
    fn new(rows: usize) -> Self {
        Energies {
            start_ms: Vec::with_capacity(rows),
            energy: Decimals::with_capacity(rows),
            quality: std::array::from_fn(|_| Vec::with_capacity(rows)),
            gap: Bits::with_capacity(rows),
        }
    }

    fn finish(self, source: Source, ends: EndColumns) -> Result<Option<RecordBatch>, ArrowError> {
        let rows = self.start_ms.len();
        let mut columns = vec![
            ends.client_id,
            ends.device_id,
            words(vec![source as i8; rows], None, &SOURCES)?,
            times(self.start_ms),
            ends.time,
        ];
        self.energy.finish(&mut columns);
        for column in self.quality {
            columns.push(words(column, None, &QUALITIES)?);
        }
        columns.push(flags(self.gap));
        columns.extend(ends.state);
        columns.push(ends.received_at);
        columns.extend(ends.place);
        batch(&INTERVALS, columns, rows)
    }
}
