//! Columns of numbers, each a plain vector until the batch is whole.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Decimal64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_buffer::{BooleanBuffer, NullBuffer};
use arrow_schema::DataType;

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
pub(crate) struct Decimals<const N: usize> {
    columns: [Vec<i64>; N],
    /// The columns that a row has, a bit for each.
    present: Vec<u16>,
}

impl<const N: usize> Decimals<N> {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        const { assert!(N <= u16::BITS as usize) };
        Decimals {
            columns: std::array::from_fn(|_| Vec::with_capacity(rows)),
            present: Vec::with_capacity(rows),
        }
    }

    pub(crate) fn push(&mut self, row: [Option<i64>; N]) {
        let mut present = 0;
        for (at, (column, value)) in self.columns.iter_mut().zip(row).enumerate() {
            present |= u16::from(value.is_some()) << at;
            column.push(value.unwrap_or_default());
        }
        self.present.push(present);
    }

    pub(crate) fn finish(self, columns: &mut Vec<ArrayRef>) {
        for (at, values) in self.columns.into_iter().enumerate() {
            let is_there = |row: usize| self.present[row] >> at & 1 == 1;
            let nulls = NullBuffer::new(BooleanBuffer::collect_bool(values.len(), is_there));
            let nulls = (nulls.null_count() > 0).then_some(nulls);
            let column = PrimitiveArray::<Decimal64Type>::new(values.into(), nulls);
            columns.push(Arc::new(column.with_data_type(DECIMAL)));
        }
    }
}
