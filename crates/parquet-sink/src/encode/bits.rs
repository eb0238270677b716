//! Whole numbers in few bits, as the format's document on encodings has them:
//! <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

/// Differences of `DELTA_BINARY_PACKED` that share a smallest one, and those that share a width.
const BLOCK: usize = 128;
const MINI_BLOCK: usize = 32;

/// Bits that the number takes.
pub(super) fn width_of(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()) as usize
}

/// Whether all of them are the same. Many at once are compared without a look at whether one was another.
pub(super) fn are_same<N: Copy + PartialEq>(numbers: &[N]) -> bool {
    const AT_ONCE: usize = 256;
    let Some(&first) = numbers.first() else { return true };
    numbers.chunks(AT_ONCE).all(|numbers| numbers.iter().fold(true, |same, &number| same & (number == first)))
}

/// The least and the largest of the numbers.
///
/// The oldest processors of this kind compare four halves at once, but no two wholes: those they compare in fifteen
/// steps. Numbers of one column nearly always lie near each other.
pub(super) fn bounds(numbers: impl Iterator<Item = i64> + Clone) -> Option<(i64, i64)> {
    let first = numbers.clone().next()?;
    // Half of what 32 bits can tell is below the first, and half above.
    let base = first.wrapping_sub(1 << 31);
    let from_base = numbers.clone().fold(0, |all, number| all | number.wrapping_sub(base) as u64);
    let is_near = from_base >> u32::BITS == 0 && base < first && first.checked_add(1 << 31).is_some();
    if !is_near {
        let wider = |(least, largest): (i64, i64), number| (least.min(number), largest.max(number));
        return Some(numbers.fold((first, first), wider));
    }
    let wider = |(least, largest): (i32, i32), number| (least.min(number), largest.max(number));
    let from_first = numbers.map(|number| number.wrapping_sub(first) as i32);
    let (least, largest) = from_first.fold((0, 0), wider);
    Some((first + i64::from(least), first + i64::from(largest)))
}

/// Each number in `width` bits, the lowest bits first. Their number is a multiple of four.
///
/// To find out where a word ends costs more than to fill it, so that two or four numbers are put together before.
fn pack<N: Copy + Into<u64>>(numbers: &[N], width: usize, out: &mut Vec<u8>) {
    let word = |together: &[N]| together.iter().rev().fold(0, |word, &number| word << width | number.into());
    match width {
        0..=16 => pack_words(numbers.chunks_exact(4).map(word), 4 * width, out),
        17..=32 => pack_words(numbers.chunks_exact(2).map(word), 2 * width, out),
        _ => pack_words(numbers.iter().map(|&number| number.into()), width, out),
    }
}

fn pack_words(words: impl Iterator<Item = u64>, width: usize, out: &mut Vec<u8>) {
    let (mut word, mut filled) = (0, 0);
    for number in words {
        word |= number << filled;
        filled += width;
        if filled >= 64 {
            out.extend_from_slice(&word.to_le_bytes());
            filled -= 64;
            word = if filled == 0 { 0 } else { number >> (width - filled) };
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..filled.div_ceil(8)]);
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn zigzag(number: i64, out: &mut Vec<u8>) {
    varint(((number << 1) ^ (number >> 63)) as u64, out);
}

/// The same number so many times, in the encoding `RLE`.
pub(super) fn run(number: u64, times: usize, width: usize, out: &mut Vec<u8>) {
    varint((times as u64) << 1, out);
    out.extend_from_slice(&number.to_le_bytes()[..width.div_ceil(8)]);
}

/// Numbers that are no run, in the encoding `RLE`.
pub(super) fn packed(numbers: &[u32], width: usize, out: &mut Vec<u8>) {
    packed_header(numbers.len(), out);
    let (eights, rest) = numbers.as_chunks::<8>();
    pack(eights.as_flattened(), width, out);
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        pack(&last, width, out);
    }
}

/// What stands before numbers that are packed, eight by eight.
pub(super) fn packed_header(numbers: usize, out: &mut Vec<u8>) {
    varint((numbers.div_ceil(8) as u64) << 1 | 1, out);
}

/// `DELTA_BINARY_PACKED`.
pub(super) fn delta(numbers: &[i64], out: &mut Vec<u8>) {
    varint(BLOCK as u64, out);
    varint((BLOCK / MINI_BLOCK) as u64, out);
    varint(numbers.len() as u64, out);
    zigzag(numbers.first().copied().unwrap_or(0), out);
    let mut before = numbers;
    let mut rest = numbers.get(1..).unwrap_or_default();
    while !rest.is_empty() {
        let count = rest.len().min(BLOCK);
        block(&before[..count], &rest[..count], out);
        before = &before[count..];
        rest = &rest[count..];
    }
}

/// The differences between the numbers of one list and those of the other.
fn block(before: &[i64], numbers: &[i64], out: &mut Vec<u8>) {
    let mut deltas = [0; BLOCK];
    for ((delta, before), number) in deltas.iter_mut().zip(before).zip(numbers) {
        *delta = number.wrapping_sub(*before);
    }
    let deltas = &deltas[..numbers.len()];
    let (least, _) = bounds(deltas.iter().copied()).unwrap_or_default();
    let mut above = [0; BLOCK];
    for (above, delta) in above.iter_mut().zip(deltas) {
        *above = delta.wrapping_sub(least) as u64;
    }
    zigzag(least, out);
    let mut widths = [0; BLOCK / MINI_BLOCK];
    for (width, above) in widths.iter_mut().zip(above.chunks_exact(MINI_BLOCK)) {
        *width = width_of(above.iter().fold(0, |all, number| all | number));
    }
    out.extend(widths.map(|width| width as u8));
    for (width, above) in widths.into_iter().zip(above.chunks_exact(MINI_BLOCK)) {
        if width > 0 {
            pack(above, width, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit.
    fn packed_slowly(numbers: &[u64], width: usize) -> Vec<u8> {
        let mut out = vec![0; (numbers.len() * width).div_ceil(8)];
        for (at, number) in numbers.iter().enumerate() {
            for bit in (0..width).filter(|bit| number >> bit & 1 == 1) {
                let place = at * width + bit;
                out[place / 8] |= 1 << (place % 8);
            }
        }
        out
    }

    #[test]
    fn numbers_of_every_width_are_packed_one_behind_the_other() {
        for width in 0..=64 {
            let mask = u64::MAX.checked_shr(64 - width as u32).unwrap_or(0);
            let numbers: Vec<u64> =
                (1..=32u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15) & mask).collect();
            let mut out = Vec::new();
            pack(&numbers, width, &mut out);
            assert_eq!(out, packed_slowly(&numbers, width), "{width} bits");
        }
    }

    #[test]
    fn all_are_the_same_unless_one_is_another() {
        assert!(are_same::<u32>(&[]));
        for length in [1, 255, 256, 257, 1_000] {
            let mut numbers = vec![7; length];
            assert!(are_same(&numbers));
            numbers[length - 1] = 8;
            assert_eq!(are_same(&numbers), length == 1);
        }
    }

    #[test]
    fn bounds_are_those_of_the_numbers_however_far_they_are_from_each_other() {
        assert_eq!(bounds(std::iter::empty()), None);
        let far = [1, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 40, i64::MAX];
        for first in [0, 5, -5, 1_700_000_000_000, i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1] {
            for step in far {
                let numbers =
                    [first, first.wrapping_add(step), first.wrapping_sub(step), first.wrapping_add(1)];
                let bounds_slowly = (*numbers.iter().min().unwrap(), *numbers.iter().max().unwrap());
                assert_eq!(bounds(numbers.into_iter()), Some(bounds_slowly), "{numbers:?}");
                assert_eq!(bounds(std::iter::once(first)), Some((first, first)));
            }
        }
    }

    /// The examples of the format's document.
    #[test]
    fn numbers_are_packed_as_the_format_says() {
        let mut out = Vec::new();
        packed(&[0, 1, 2, 3, 4, 5, 6, 7], 3, &mut out);
        assert_eq!(out, [0b11, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        out.clear();
        run(300, 4, 9, &mut out);
        assert_eq!(out, [8, 44, 1]);
        out.clear();
        // One number more than eight, and the seven that fill the next eight.
        packed(&[0, 1, 2, 3, 4, 5, 6, 7, 7], 3, &mut out);
        assert_eq!(out, [0b101, 0b1000_1000, 0b1100_0110, 0b1111_1010, 7, 0, 0]);
        out.clear();
        delta(&[1, 2, 3, 4, 5], &mut out);
        assert_eq!(out, [128, 1, 4, 5, 2, 2, 0, 0, 0, 0]);
        out.clear();
        delta(&[7, 5, 3, 1, 2, 3, 4, 5], &mut out);
        // Above the least difference, -2: 0, 0, 0, 3, 3, 3, 3, in two bits, of a mini block of 32.
        assert_eq!(out, [128, 1, 4, 8, 14, 3, 2, 0, 0, 0, 0b1100_0000, 0b0011_1111, 0, 0, 0, 0, 0, 0]);
    }
}
