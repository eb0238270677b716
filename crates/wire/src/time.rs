//! RFC 3339 date-times to milliseconds since 1970 in UTC.

/// The time that this text says; none where it is no RFC 3339 date-time. Digits after the millisecond are
/// cut off. A leap second is the first second of the next minute.
pub(crate) fn parse_rfc3339_ms(bytes: &[u8]) -> Option<i64> {
    // 2026-11-24T03:00:00Z is the shortest there is.
    if bytes.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| {
        let mut value = 0i64;
        for digit in &bytes[from..to] {
            if !digit.is_ascii_digit() {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
        }
        Some(value)
    };
    let punctuation = bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't' | b' ')
        && bytes[13] == b':'
        && bytes[16] == b':';
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let in_range = (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 60;
    if !punctuation || !in_range {
        return None;
    }

    let mut at = 19;
    let mut millisecond = 0;
    if bytes[at] == b'.' {
        let from = at + 1;
        at = from;
        while bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at == from {
            return None;
        }
        let places = (at - from).min(3);
        millisecond = number(from, from + places)? * [100, 10, 1][places - 1];
    }

    let offset_minutes = match (bytes.get(at)?, bytes.len() - at) {
        (b'Z' | b'z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let minutes = hours * 60 + minutes;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1_000 + millisecond)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the proleptic Gregorian calendar. A year is counted from March, so that the day which a leap
/// year adds is its last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_from_year_0 =
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year;
    // The days from the first of March of the year 0 to the first of January 1970.
    day_from_year_0 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_the_rfc() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2026-11-24T03:00:00Z", 1_795_489_200_000),
            ("2026-11-24t03:00:00z", 1_795_489_200_000),
            ("2026-11-24 03:00:00Z", 1_795_489_200_000),
            ("2026-11-24T05:30:00+02:30", 1_795_489_200_000),
            ("2026-11-23T19:00:00.000-08:00", 1_795_489_200_000),
            ("2026-11-24T03:00:00.5Z", 1_795_489_200_500),
            ("2026-11-24T03:00:00.1239999Z", 1_795_489_200_123),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000),
            ("1969-12-31T23:59:59.999Z", -1),
        ] {
            assert_eq!(parse_rfc3339_ms(text.as_bytes()), Some(want), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "now",
            "2026-11-24",
            "2026-11-24T03:00:00",
            "2026-11-24T03:00Z",
            "2026-13-24T03:00:00Z",
            "2026-02-29T03:00:00Z",
            "2026-00-10T03:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T03:60:00Z",
            "2026-11-24T03:00:61Z",
            "2026-11-24T03:00:00.Z",
            "2026-11-24T03:00:00+0200",
            "2026-11-24T03:00:00+24:00",
            "2026-11-24T03:00:00ZZ",
            "2026-11-24T03:00:00.123",
            "+026-11-24T03:00:00Z",
            "2026-11-24T03:00:0éZ",
        ] {
            assert_eq!(parse_rfc3339_ms(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn counts_every_day_of_eight_centuries() {
        let mut days = days_since_1970(1600, 1, 1);
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    assert_eq!(days_since_1970(year, month, day), days);
                    days += 1;
                }
            }
        }
    }
}
