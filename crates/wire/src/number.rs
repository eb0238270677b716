//! JSON numbers as exact decimals, in thousandths.

/// A number of a JSON text in thousandths, rounded to the nearest one (a half goes away from zero).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    pub negative: bool,
    /// `u64::MAX` where it is larger than that.
    pub thousandths: u64,
    /// Whether the number is zero as it was written, before rounding.
    pub zero: bool,
}

impl Decimal {
    /// Below zero as it was written: `-0` is not.
    pub(crate) fn is_below_zero(self) -> bool {
        self.negative && !self.zero
    }

    /// The number that these bytes begin with, and its length; none where they begin with no number.
    pub(crate) fn parse(bytes: &[u8]) -> Option<(Decimal, usize)> {
        let negative = bytes.first() == Some(&b'-');
        let whole_at = usize::from(negative);
        let (whole, mut at) = digits(bytes, whole_at, 0);
        let whole_digits = at - whole_at;
        if whole_digits == 0 || (whole_digits > 1 && bytes[whole_at] == b'0') {
            return None;
        }
        let mut fraction_digits = 0;
        let mut mantissa = whole;
        if bytes.get(at) == Some(&b'.') {
            let fraction_at = at + 1;
            (mantissa, at) = digits(bytes, fraction_at, whole);
            fraction_digits = at - fraction_at;
            if fraction_digits == 0 {
                return None;
            }
        }
        let plain = !matches!(bytes.get(at), Some(b'e' | b'E'));
        // Eighteen digits fit into 64 bits, and three more places do for fifteen of them.
        if plain && fraction_digits <= 3 && whole_digits + 3 <= 18 {
            const SCALE: [u64; 4] = [1_000, 100, 10, 1];
            let thousandths = mantissa * SCALE[fraction_digits];
            return Some((Decimal { negative, thousandths, zero: mantissa == 0 }, at));
        }
        Self::parse_long(bytes, negative, whole_at, at)
    }

    /// Any number: many digits, many places, an exponent. `digits_end` is where its digits and point end.
    #[cold]
    fn parse_long(bytes: &[u8], negative: bool, from: usize, digits_end: usize) -> Option<(Decimal, usize)> {
        // More significant digits than this cannot change the rounding of a value that fits.
        const SIGNIFICANT_MAX: u32 = 36;
        let mut mantissa = 0u128;
        let mut significant = 0;
        // The value is the mantissa times ten to this power, in thousandths.
        let mut power = 3i64;
        let mut in_fraction = false;
        for &byte in &bytes[from..digits_end] {
            if byte == b'.' {
                in_fraction = true;
                continue;
            }
            if significant < SIGNIFICANT_MAX {
                mantissa = mantissa * 10 + u128::from(byte - b'0');
                significant += u32::from(mantissa > 0);
                power -= i64::from(in_fraction);
            } else {
                power += i64::from(!in_fraction);
            }
        }
        let mut at = digits_end;
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            at += 1;
            let sign = bytes.get(at).copied();
            at += usize::from(matches!(sign, Some(b'+' | b'-')));
            let exponent_at = at;
            let mut exponent = 0i64;
            while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
                exponent = (exponent * 10 + i64::from(digit - b'0')).min(1_000_000);
                at += 1;
            }
            if at == exponent_at {
                return None;
            }
            power += if sign == Some(b'-') { -exponent } else { exponent };
        }
        Some((Decimal { negative, thousandths: scaled(mantissa, power), zero: mantissa == 0 }, at))
    }
}

/// A number as gateways write them, in thousandths, and its length: up to three places, no sign, no exponent, and no
/// more than fifteen bytes. None says nothing: the bytes may begin with a number or not.
///
/// How many digits a number has cannot be foreseen, and a branch that is foreseen wrongly costs more than a number, so
/// that all digits are taken at once.
#[inline(always)]
pub(crate) fn short_thousandths(bytes: &[u8; 16]) -> Option<(u64, usize)> {
    const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
    let values = u128::from_le_bytes(*bytes) ^ (ONES * b'0' as u128);
    // The highest bit of each byte that is no digit. It is exact up to the first of them, and up to the second where the
    // first is a point.
    let others = (values.wrapping_add(ONES * 0x76) | values) & (ONES * 0x80);
    if others == 0 {
        return None;
    }
    let digits = (others.trailing_zeros() / 8) as usize;
    if digits == 0 || (digits > 1 && bytes[0] == b'0') {
        return None;
    }
    let (mut thousandths, mut length) = (leading(values, digits) * 1_000, digits);
    if bytes[digits] == b'.' {
        let after = others & (others - 1);
        length = (after.trailing_zeros() / 8) as usize;
        let places = length - digits - 1;
        if after == 0 || !(1..=3).contains(&places) {
            return None;
        }
        let fraction = (values >> (8 * (digits + 1))) as u32 & (0x00FF_FFFF >> (8 * (3 - places)));
        let [tenths, hundredths, rest, _] = fraction.to_le_bytes().map(u64::from);
        thousandths += tenths * 100 + hundredths * 10 + rest;
    }
    (!matches!(bytes[length], b'e' | b'E')).then_some((thousandths, length))
}

/// The number of so many digits, at least one, each the value of a byte.
#[inline(always)]
fn leading(values: u128, digits: usize) -> u64 {
    match digits {
        0..=8 => joined((values as u64) << (64 - 8 * digits)),
        _ => {
            const POWERS: [u64; 8] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000];
            let rest = joined(((values >> 64) as u64) << (64 - 8 * (digits - 8)));
            joined(values as u64) * POWERS[digits - 8] + rest
        }
    }
}

/// The number of eight digits, each the value of a byte, the last of them the highest: digits are joined to pairs,
/// pairs to fours, and fours to the number.
#[inline(always)]
fn joined(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF
}

/// The mantissa times ten to the power, rounded, or `u64::MAX`.
fn scaled(mantissa: u128, power: i64) -> u64 {
    if mantissa == 0 {
        return 0;
    }
    let scale = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10u128.checked_pow(power));
    let value = match (power >= 0, scale) {
        (true, Some(scale)) => mantissa.checked_mul(scale),
        (true, None) => None,
        (false, Some(scale)) => Some(mantissa / scale + u128::from(mantissa % scale >= scale.div_ceil(2))),
        (false, None) => Some(0),
    };
    value.and_then(|value| u64::try_from(value).ok()).unwrap_or(u64::MAX)
}

/// The digits from here on, added to a value that wraps where there are too many of them, and their end.
#[inline]
fn digits(bytes: &[u8], from: usize, mut value: u64) -> (u64, usize) {
    let mut at = from;
    while let Some(digit @ b'0'..=b'9') = bytes.get(at) {
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
        at += 1;
    }
    (value, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn thousandths(text: &str) -> Option<(bool, u64)> {
        let (decimal, length) = Decimal::parse(text.as_bytes())?;
        // What follows a number is none of its bytes, whatever it is.
        for behind in [",", "}]}", "\n\u{7f}ü", "/:*"] {
            let bytes = format!("{text}{behind:24}").into_bytes();
            let short = bytes.first_chunk().and_then(short_thousandths);
            assert!(
                short.is_none_or(|short| !decimal.negative && short == (decimal.thousandths, length)),
                "{text}: {short:?}"
            );
        }
        (length == text.len()).then_some((decimal.is_below_zero(), decimal.thousandths))
    }

    #[test]
    fn exact_to_the_thousandth() {
        assert_eq!(thousandths("0"), Some((false, 0)));
        assert_eq!(thousandths("-0.000"), Some((false, 0)));
        assert_eq!(thousandths("-0.0001"), Some((true, 0)));
        assert_eq!(thousandths("1250.5"), Some((false, 1_250_500)));
        assert_eq!(thousandths("999999999999.999"), Some((false, 999_999_999_999_999)));
        assert_eq!(thousandths("1250.1000000000001"), Some((false, 1_250_100)));
        assert_eq!(thousandths("0.0005"), Some((false, 1)));
        assert_eq!(thousandths("0.00049999999999999999999999999999999999999999"), Some((false, 0)));
        assert_eq!(thousandths("1.5e3"), Some((false, 1_500_000)));
        assert_eq!(thousandths("1500E-3"), Some((false, 1_500)));
        assert_eq!(thousandths("1e400"), Some((false, u64::MAX)));
        assert_eq!(thousandths("0e400"), Some((false, 0)));
        assert_eq!(thousandths("1e-400"), Some((false, 0)));
        assert_eq!(thousandths("123456789012345678901234567890"), Some((false, u64::MAX)));
    }

    #[test]
    fn most_numbers_are_short() {
        let short =
            |text: &str| format!("{text}{:24}", ",").into_bytes().first_chunk().and_then(short_thousandths);
        for (text, thousandths) in [
            ("0", 0),
            ("7", 7_000),
            ("10", 10_000),
            ("1234567", 1_234_567_000),
            ("12345678", 12_345_678_000),
            ("123456789.5", 123_456_789_500),
            ("9999999999.999", 9_999_999_999_999),
            ("1234567890123.4", 1_234_567_890_123_400),
            ("123456789012345", 123_456_789_012_345_000),
            ("0.5", 500),
            ("12.34", 12_340),
            ("1234567.891", 1_234_567_891),
            ("9999999.999", 9_999_999_999),
        ] {
            assert_eq!(short(text), Some((thousandths, text.len())), "{text}");
        }
        for text in [
            "",
            "-1",
            "01",
            "00",
            "01234567890",
            "1234567890123456",
            "1.",
            "1.2345",
            "1e2",
            "1.5E2",
            ".5",
            "+1",
            "NaN",
        ] {
            assert_eq!(short(text), None, "{text}");
        }
    }

    #[test]
    fn refuses_what_json_refuses() {
        for text in ["", "-", "01", "+1", ".5", "1.", "1.e3", "1e", "1e+", "NaN", "Infinity", "0x10", "--1"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_float_where_a_float_is_exact_enough(value in 0.0..1e9f64) {
            let (_, got) = thousandths(&format!("{value}")).unwrap();
            prop_assert!((got as f64 - value * 1_000.0).abs() <= 0.5 + 1e-3);
        }

        #[test]
        fn reads_back_every_thousandth(value in 0..1_000_000_000_000_000_000u64) {
            let text = format!("{}.{:03}", value / 1_000, value % 1_000);
            prop_assert_eq!(thousandths(&text), Some((false, value)));
        }
    }
}
