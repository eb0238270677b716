use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use wattline_counters::Reading;
use wattline_model::{COUNTERS, Limits, Mode, Point, Position, Quantities};

use super::{DerivedIntervals, End, Ends, LAST, LIMITS, READINGS, batch, flags};
use crate::bits::Bits;
use crate::numbers::{Decimals, numbers};
use crate::words;

/// Rows of the table of readings, from which intervals are derived: what a row has can be read while there is more to come.
pub(crate) struct Readings {
    in_chain: Bits,
    counters: Decimals<4>,
    limits: [Vec<i64>; LIMITS.len()],
    modulus: Decimals<1>,
    ends: Ends,
}

impl Readings {
    /// With room for so many rows.
    pub(crate) fn new(topic: &Arc<str>, partition: i32, rows: usize) -> Self {
        Readings {
            in_chain: Bits::with_capacity(rows),
            counters: Decimals::with_capacity(rows),
            limits: std::array::from_fn(|_| Vec::with_capacity(rows)),
            modulus: Decimals::with_capacity(rows),
            ends: Ends::new(topic, partition, rows),
        }
    }

    /// At most `BLOCK` rows.
    pub(crate) fn block(&mut self, rows: &[End<'_>]) {
        let points = rows.iter().map(|row| row.point);
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
        self.ends.block(rows);
    }

    pub(crate) fn rows(&self) -> usize {
        self.ends.time_ms.len()
    }

    pub(crate) fn client_id(&self, row: usize) -> &str {
        self.ends.client_id.get(row)
    }

    pub(crate) fn device_id(&self, row: usize) -> &str {
        words::text(&self.ends.device_id, row).unwrap_or_default()
    }

    pub(crate) fn received_at_ms(&self, row: usize) -> i64 {
        self.ends.received_at_ms[row]
    }

    pub(crate) fn position(&self, row: usize) -> Position {
        self.ends.place.position(row)
    }

    /// What its chain needs of a row that has all counters.
    pub(crate) fn reading(&self, row: usize) -> Reading {
        Reading {
            time_ms: self.ends.time_ms[row],
            counters: self.counters.row(row),
            limits: self.limits(row),
        }
    }

    fn limits(&self, row: usize) -> Limits {
        // The column is as wide as the table has it, not as the limits are.
        let [battery_charge_w, battery_discharge_w, home_w, solar_w] =
            self.limits.each_ref().map(|column| column[row] as u32);
        let [modulus_mwh] = self.modulus.row(row).map(|modulus_mwh| modulus_mwh as u64);
        Limits { battery_charge_w, battery_discharge_w, home_w, solar_w, modulus_mwh }
    }

    /// The whole of a row, as the point that it was.
    pub(crate) fn point(&self, row: usize) -> Point<'_> {
        let mut quantities = Quantities::default();
        let counters =
            COUNTERS.into_iter().enumerate().map(|(at, quantity)| (quantity, self.counters.get(row, at)));
        let state = &self.ends.state;
        let last = LAST.into_iter().enumerate().map(|(at, quantity)| (quantity, state.last.get(row, at)));
        for (quantity, value) in counters.chain(last) {
            if let Some(value) = value {
                quantities.set(quantity, value);
            }
        }
        let mode = usize::try_from(state.mode[row]).ok().filter(|_| state.has_mode.get(row));
        Point {
            device_id: Cow::Borrowed(self.device_id(row)),
            time_ms: self.ends.time_ms[row],
            duration_ms: 0,
            last_is_online: state.is_online.get(row),
            last_is_grid_online: state.knows_grid.get(row).then(|| state.is_grid_online.get(row)),
            last_mode: mode.and_then(|place| Mode::ALL.get(place)).copied(),
            quantities,
            oem_raw_data: words::text(&state.oem_raw_data, row).map(Cow::Borrowed),
            limits: self.limits(row),
        }
    }

    /// Both tables. That of readings has the first `count` rows without those that are out; intervals may end with any row.
    pub(crate) fn finish(
        self,
        count: usize,
        out: &[usize],
        intervals: DerivedIntervals,
    ) -> Result<(Option<RecordBatch>, Option<RecordBatch>), ArrowError> {
        let rows = self.rows();
        let ends = self.ends.finish()?;
        let intervals = intervals.finish(&ends)?;
        let mut columns = vec![ends.client_id, ends.device_id, ends.time, flags(self.in_chain)];
        self.counters.finish(&mut columns);
        columns.extend(self.limits.map(numbers::<Int64Type>));
        self.modulus.finish(&mut columns);
        columns.extend(ends.state);
        columns.push(ends.received_at);
        columns.extend(ends.place);
        let mut readings = batch(&READINGS, columns, rows)?;
        if let Some(all) = readings.as_ref().filter(|_| count < rows || !out.is_empty()) {
            let mut is_in = vec![false; rows];
            is_in[..count].fill(true);
            out.iter().for_each(|&row| is_in[row] = false);
            readings = Some(filter_record_batch(all, &BooleanArray::from(is_in))?);
        }
        Ok((intervals, readings.filter(|readings| readings.num_rows() > 0)))
    }
}
