//! Columns of bits, and which rows of other columns have a value.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// Rows become columns in blocks of so many: a block stays in the nearest cache while one column after the other takes
/// its part, and has a word of each column of bits.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// A bit for each row. Every block is full but the last one.
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Bits(Vec::with_capacity(rows.div_ceil(BLOCK)))
    }

    pub(crate) fn block(&mut self, rows: impl Iterator<Item = bool>) {
        let word = rows.enumerate().fold(0, |word, (at, bit)| word | u64::from(bit) << at);
        self.0.push(word.to_le());
    }

    /// A block of so many rows that all have the same bit.
    pub(crate) fn block_of_same(&mut self, bit: bool, rows: usize) {
        let ones = u64::MAX.checked_shr((BLOCK - rows) as u32).unwrap_or(0);
        self.0.push(if bit { ones.to_le() } else { 0 });
    }

    pub(crate) fn finish(self, rows: usize) -> BooleanBuffer {
        BooleanBuffer::new(Buffer::from_vec(self.0), 0, rows)
    }

    /// Where the bits say which rows have a value: none if all have.
    pub(crate) fn nulls(self, rows: usize) -> Option<NullBuffer> {
        Some(NullBuffer::new(self.finish(rows))).filter(|nulls| nulls.null_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_in_the_order_of_the_rows() {
        let rows: Vec<bool> = (0..150).map(|row| row % 3 == 0 || row == 100).collect();
        let mut bits = Bits::with_capacity(rows.len());
        rows.chunks(BLOCK).for_each(|block| bits.block(block.iter().copied()));
        assert_eq!(bits.finish(rows.len()).iter().collect::<Vec<_>>(), rows);
    }

    #[test]
    fn a_block_of_the_same_bit_is_as_one_of_single_bits() {
        for (bit, rows) in [(true, BLOCK), (true, 3), (true, 0), (false, BLOCK), (false, 3)] {
            let (mut single, mut same) = (Bits::with_capacity(rows), Bits::with_capacity(rows));
            single.block(std::iter::repeat_n(bit, rows));
            same.block_of_same(bit, rows);
            assert_eq!(single.0, same.0, "{rows} rows of {bit}");
        }
    }

    #[test]
    fn there_are_no_nulls_where_every_row_has_a_value() {
        let nulls = |block: [bool; 2]| {
            let mut bits = Bits::with_capacity(2);
            bits.block(block.into_iter());
            bits.nulls(2).map(|nulls| nulls.null_count())
        };
        assert_eq!(nulls([true, true]), None);
        assert_eq!(nulls([true, false]), Some(1));
    }
}
