//! Fixed-width base62, most significant digit first.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub(crate) fn is_digit(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Writes the number that the big-endian bytes hold. Digits that do not fit are dropped from the top.
pub(crate) fn write(mut number: [u8; 32], digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            remainder = value % 62;
        }
        *digit = ALPHABET[remainder as usize];
    }
}

/// Writes a small number; the same digits as [`write`] gives.
pub(crate) fn write_u64(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(number % 62) as usize];
        number /= 62;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widest_number_fits_in_43_digits_and_small_ones_are_padded() {
        let mut digits = [0; 43];
        write([255; 32], &mut digits);
        assert_eq!(&digits, b"yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1");
        let mut narrow = [0; 6];
        write_u64(u64::from(u32::MAX), &mut narrow);
        assert_eq!(&narrow, b"4gfFC3");
        let mut number = [0; 32];
        number[24..].copy_from_slice(&123_456_789_012u64.to_be_bytes());
        let (mut long, mut short) = ([0; 12], [0; 12]);
        write(number, &mut long);
        write_u64(123_456_789_012, &mut short);
        assert_eq!(long, short);
        assert!(long.starts_with(b"00000"));
    }
}
