//! Columns of bits, and which rows of other columns have a value.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// Rows become columns in blocks of at most so many: a block stays in the nearest cache while one column after the other
/// takes its part, and has a word of each column of bits.
pub(crate) const BLOCK: usize = u64::BITS as usize;

/// A bit for each row.
pub(crate) struct Bits {
    words: Vec<u64>,
    rows: usize,
}

impl Bits {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Bits { words: Vec::with_capacity(rows.div_ceil(BLOCK)), rows: 0 }
    }

    pub(crate) fn block(&mut self, rows: impl ExactSizeIterator<Item = bool>) {
        let count = rows.len();
        self.push(rows.enumerate().fold(0, |word, (at, bit)| word | u64::from(bit) << at), count);
    }

    /// A block of so many rows that all have the same bit.
    pub(crate) fn block_of_same(&mut self, bit: bool, rows: usize) {
        let ones = u64::MAX.checked_shr((BLOCK - rows) as u32).unwrap_or(0);
        self.push(if bit { ones } else { 0 }, rows);
    }

    /// So many bits out of a word, the lowest first. Those behind them are zeroes.
    fn push(&mut self, word: u64, rows: usize) {
        let filled = self.rows % BLOCK;
        self.rows += rows;
        match self.words.last_mut() {
            Some(last) if filled > 0 => {
                *last |= (word << filled).to_le();
                if filled + rows > BLOCK {
                    self.words.push((word >> (BLOCK - filled)).to_le());
                }
            }
            _ if rows > 0 => self.words.push(word.to_le()),
            _ => {}
        }
    }

    pub(crate) fn get(&self, row: usize) -> bool {
        u64::from_le(self.words[row / BLOCK]) >> (row % BLOCK) & 1 == 1
    }

    pub(crate) fn finish(self) -> BooleanBuffer {
        BooleanBuffer::new(Buffer::from_vec(self.words), 0, self.rows)
    }

    /// Where the bits say which rows have a value: none if all have.
    pub(crate) fn nulls(self) -> Option<NullBuffer> {
        Some(NullBuffer::new(self.finish())).filter(|nulls| nulls.null_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_in_the_order_of_the_rows_however_large_the_blocks_are() {
        let rows: Vec<bool> = (0..150).map(|row| row % 3 == 0 || row == 100).collect();
        for size in [BLOCK, 1, 7, BLOCK - 1] {
            let mut bits = Bits::with_capacity(rows.len());
            rows.chunks(size).for_each(|block| bits.block(block.iter().copied()));
            assert!((0..rows.len()).all(|row| bits.get(row) == rows[row]), "blocks of {size}");
            assert_eq!(bits.finish().iter().collect::<Vec<_>>(), rows, "blocks of {size}");
        }
    }

    #[test]
    fn a_block_of_the_same_bit_is_as_one_of_single_bits() {
        for (bit, rows) in [(true, BLOCK), (true, 3), (true, 0), (false, BLOCK), (false, 3)] {
            let (mut single, mut same) = (Bits::with_capacity(rows), Bits::with_capacity(rows));
            single.block(std::iter::repeat_n(bit, rows));
            same.block_of_same(bit, rows);
            assert_eq!(single.finish(), same.finish(), "{rows} rows of {bit}");
        }
    }

    #[test]
    fn there_are_no_nulls_where_every_row_has_a_value() {
        let nulls = |block: [bool; 2]| {
            let mut bits = Bits::with_capacity(2);
            bits.block(block.into_iter());
            bits.nulls().map(|nulls| nulls.null_count())
        };
        assert_eq!(nulls([true, true]), None);
        assert_eq!(nulls([true, false]), Some(1));
    }
}
