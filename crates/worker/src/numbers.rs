//! Columns of numbers, each a plain vector until the batch is whole.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Decimal64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_schema::DataType;
use wattline_model::{Quantities, Quantity};

use crate::bits::Bits;

/// All decimals of the tables: thousandths in 18 digits.
pub(crate) const DECIMAL: DataType = DataType::Decimal64(18, 3);

/// A column that has a number in every row.
pub(crate) fn numbers<T: ArrowPrimitiveType>(values: Vec<T::Native>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), None))
}

/// A column that has a time in every row.
pub(crate) fn times(values_ms: Vec<i64>) -> ArrayRef {
    Arc::new(PrimitiveArray::<TimestampMillisecondType>::new(values_ms.into(), None).with_timezone("UTC"))
}

/// Columns of decimals, each of which a row may lack.
pub(crate) struct Decimals<const N: usize>([Column; N]);

struct Column {
    values: Vec<i64>,
    present: Bits,
}

impl<const N: usize> Decimals<N> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        let column = |_| Column { values: Vec::with_capacity(rows), present: Bits::with_capacity(rows) };
        Decimals(std::array::from_fn(column))
    }

    /// `get` gives what a row has in the column of this number.
    pub(crate) fn block<R>(
        &mut self,
        rows: impl ExactSizeIterator<Item = R> + Clone,
        get: impl Fn(R, usize) -> Option<i64>,
    ) {
        for (at, Column { values, present }) in self.0.iter_mut().enumerate() {
            values.extend(rows.clone().map(|row| get(row, at).unwrap_or_default()));
            present.block(rows.clone().map(|row| get(row, at).is_some()));
        }
    }

    /// The quantities of points, each in a column of its own. Those of a block nearly always have the same ones.
    pub(crate) fn block_of_quantities<'a>(
        &mut self,
        rows: impl ExactSizeIterator<Item = &'a Quantities> + Clone,
        columns: &[Quantity; N],
    ) {
        let masks = rows.clone().map(Quantities::present);
        let (all, any) = masks.fold((u16::MAX, 0), |(all, any), mask| (all & mask, any | mask));
        for (Column { values, present }, &quantity) in self.0.iter_mut().zip(columns) {
            values.extend(rows.clone().map(|row| row.get_or_zero(quantity)));
            if all & quantity.bit() != 0 || any & quantity.bit() == 0 {
                present.block_of_same(any & quantity.bit() != 0, rows.len());
            } else {
                present.block(rows.clone().map(|row| row.has(quantity)));
            }
        }
    }

    /// What a row has in the column of this number.
    pub(crate) fn get(&self, row: usize, at: usize) -> Option<i64> {
        let Column { values, present } = &self.0[at];
        present.get(row).then(|| values[row])
    }

    /// What a row has in all columns, and 0 where it has nothing.
    pub(crate) fn row(&self, row: usize) -> [i64; N] {
        self.0.each_ref().map(|column| column.values[row])
    }

    pub(crate) fn finish(self, columns: &mut Vec<ArrayRef>) {
        for Column { values, present } in self.0 {
            let nulls = present.nulls();
            let column = PrimitiveArray::<Decimal64Type>::new(values.into(), nulls);
            columns.push(Arc::new(column.with_data_type(DECIMAL)));
        }
    }
}
