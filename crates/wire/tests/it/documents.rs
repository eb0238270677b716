//! Our parser against two others, over documents that were generated and then damaged: what is JSON, and
//! what a number is, must not be a matter of opinion.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use wattline_model::{Kind, Quantity};
use wattline_wire::{BodyError, DEPTH_MAX, Malformed};

use crate::support::{Draft, decode, wrapped};

const SPACES: [&str; 6] = ["", "", "", " ", "\n\t", "\r\n  "];

fn space() -> impl Strategy<Value = &'static str> {
    select(SPACES.to_vec())
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,20})",
        "-?(0|[1-9][0-9]{0,5})\\.[0-9]{1,5}",
        "-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,30})?[eE][+-]?[0-9]{1,2}",
    ]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,12}",
        1 => "[é電\u{80}\u{2028}\u{1f50b}]{1,3}",
        1 => select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\\u0000", "\\u00e9"])
            .prop_map(str::to_owned),
        1 => Just("\\uD83D\\udd0B".to_owned()),
    ];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn scalar() -> impl Strategy<Value = String> {
    prop_oneof![select(vec!["true", "false", "null", "[]", "{}"]).prop_map(str::to_owned), number(), string(),]
}

/// A key: one that means something here in most cases.
fn key() -> impl Strategy<Value = String> {
    let mut known = vec![
        "\"telemetry\"",
        "\"device_id\"",
        "\"start_time\"",
        "\"timestamp\"",
        "\"duration_s\"",
        "\"last_is_online\"",
        "\"last_is_grid_online\"",
        "\"last_mode\"",
        "\"oem_raw_data\"",
        "\"device\\u005fid\"",
    ];
    const QUANTITIES: [&str; 3] = [
        "\"home_last_power_w\"",
        "\"battery_total_energy_charge_wh\"",
        "\"battery_last_state_of_charge_percentage\"",
    ];
    known.extend(QUANTITIES);
    prop_oneof![3 => select(known).prop_map(str::to_owned), 1 => string()]
}

fn array(element: impl Strategy<Value = String>, length: usize) -> impl Strategy<Value = String> {
    (proptest::collection::vec((space(), element, space()), 0..length), space()).prop_map(
        |(elements, end)| {
            let elements: Vec<String> = elements
                .into_iter()
                .map(|(before, element, after)| before.to_owned() + &element + after)
                .collect();
            format!("[{}{end}]", elements.join(","))
        },
    )
}

fn object(value: impl Strategy<Value = String>, length: usize) -> impl Strategy<Value = String> {
    (proptest::collection::vec((space(), key(), space(), space(), value), 0..length), space()).prop_map(
        |(members, end)| {
            let members: Vec<String> = members
                .into_iter()
                .map(|(before, key, after, between, value)| format!("{before}{key}{after}:{between}{value}"))
                .collect();
            format!("{{{}{end}}}", members.join(","))
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    let value =
        scalar().prop_recursive(6, 40, 6, |inner| prop_oneof![array(inner.clone(), 6), object(inner, 6)]);
    let points = array(object(value.clone(), 8), 5);
    let deep = (1..40usize, value.clone())
        .prop_map(|(levels, value)| format!("{}{value}{}", "[".repeat(levels), "]".repeat(levels)));
    prop_oneof![
        2 => value,
        1 => deep,
        4 => (points, object(scalar(), 3)).prop_map(|(points, rest)| match rest.strip_prefix('{') {
            Some(rest) if rest.trim() != "}" => format!("{{\"telemetry\":{points},{rest}"),
            _ => format!("{{\"telemetry\":{points}}}"),
        }),
    ]
}

#[derive(Clone, Debug)]
enum Damage {
    Cut(Index),
    Remove(Index),
    Put(Index, Vec<u8>),
    Overwrite(Index, u8),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let pieces: Vec<&[u8]> = vec![
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b"0",
        b"-",
        b".",
        b"e5",
        b"1",
        b" ",
        b"\n",
        b"\x0b",
        b"\0",
        b"\x1f",
        b"\x7f",
        b"\\u",
        b"\\ud800",
        b"\\udc00",
        b"null",
        b"true",
        b"NaN",
        b"/**/",
        b"\xef\xbb\xbf",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"'",
        b"+",
        b"\\x",
        b"\xc2\xa0",
    ];
    prop_oneof![
        1 => any::<Index>().prop_map(Damage::Cut),
        2 => any::<Index>().prop_map(Damage::Remove),
        4 => (any::<Index>(), select(pieces)).prop_map(|(at, piece)| Damage::Put(at, piece.to_vec())),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Overwrite(at, byte)),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn damaged(text: String, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for damage in damages {
        let end = bytes.len() + 1;
        match damage {
            Damage::Put(at, piece) => {
                let at = at.index(end);
                bytes.splice(at..at, piece.iter().copied());
            }
            _ if bytes.is_empty() => {}
            Damage::Cut(at) => bytes.truncate(at.index(end)),
            Damage::Remove(at) => drop(bytes.remove(at.index(end - 1))),
            Damage::Overwrite(at, byte) => {
                let at = at.index(end - 1);
                bytes[at] = *byte;
            }
            Damage::Repeat(from, to) => {
                let (from, to) = (from.index(end), to.index(end));
                let piece = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(from..from, piece);
            }
        }
    }
    bytes
}

/// How deep well-formed text is: by its brackets, because a key that is given twice hides a value.
fn depth(text: &[u8]) -> u32 {
    let (mut depth, mut deepest) = (0, 0);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next().filter(|byte| **byte != b'"') {
                    if *byte == b'\\' {
                        bytes.next();
                    }
                }
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

fn malformed(kind: Kind, body: &[u8]) -> Option<Malformed> {
    match decode(kind, body) {
        Err(BodyError::Malformed(malformed)) => Some(malformed),
        _ => None,
    }
}

/// The one place where the others are narrower: a number that no float holds.
fn is_about_a_number(message: &str) -> bool {
    message.contains("number out of range")
}

fn compare(kind: Kind, body: &[u8]) -> Result<(), TestCaseError> {
    let ours = malformed(kind, body);
    if let Some(malformed) = ours {
        prop_assert!(malformed.offset <= body.len(), "{}", malformed);
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(_) => {
            let too_deep = depth(body) > DEPTH_MAX;
            let refused = ours.map(|malformed| malformed.what);
            prop_assert_eq!(refused, too_deep.then_some("nested too deep"), "{}", body.escape_ascii());
            let third = simd_json::to_owned_value(&mut body.to_vec());
            // It refuses whole numbers beyond 64 bits, which are well-formed.
            let excused = |error: &simd_json::Error| {
                matches!(error.error(), simd_json::ErrorType::InvalidNumber | simd_json::ErrorType::Overflow)
            };
            prop_assert!(third.as_ref().err().is_none_or(excused), "{:?} {}", third, body.escape_ascii());
        }
        Err(error) => {
            let excused = is_about_a_number(&error.to_string());
            prop_assert!(ours.is_some() || excused, "{} {}", error, body.escape_ascii());
        }
    }
    Ok(())
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Battery), Just(Kind::BatteryCounter)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn well_formed_documents_are_accepted(kind in kind(), document in document()) {
        compare(kind, document.as_bytes())?;
    }

    #[test]
    fn damaged_documents_are_refused_exactly_where_serde_json_refuses_them(
        kind in kind(),
        document in document(),
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        compare(kind, &damaged(document, &damages))?;
    }

    #[test]
    fn any_bytes_at_all(kind in kind(), bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        compare(kind, &bytes)?;
    }

    #[test]
    fn strings_are_unescaped_alike(text in string()) {
        let body = wrapped(&[Draft::offline(Kind::Battery).set("device_id", &text).text()]);
        let value: Value = serde_json::from_str(&body).unwrap();
        let theirs = value["telemetry"][0]["device_id"].as_str().unwrap();
        let points = decode(Kind::Battery, body.as_bytes()).unwrap();
        match &points[0] {
            Ok(point) => prop_assert_eq!(&point.device_id, theirs),
            Err(_) => prop_assert!(
                theirs.is_empty() || theirs.len() > 128 || theirs.chars().any(char::is_control)
            ),
        }
    }

    #[test]
    fn numbers_mean_what_they_mean_elsewhere(text in number()) {
        let quantity = Quantity::HomePower;
        let body = wrapped(&[Draft::offline(Kind::Battery).set(quantity.name(), &text).text()]);
        let points = decode(Kind::Battery, body.as_bytes()).unwrap();
        let theirs = serde_json::from_str::<f64>(&text).unwrap() * 1_000.0;
        match &points[0] {
            Ok(point) => {
                let ours = point.quantities.get(quantity).unwrap() as f64;
                // A float may fall on the other side of a half, and is coarse where it is large.
                let near_half = (theirs.fract() - 0.5).abs() < 1e-6 * theirs.max(1.0);
                let coarse = theirs.abs() > 1e12;
                let off = (ours - theirs.round()).abs();
                prop_assert!(
                    off == 0.0 || (near_half && off <= 1.0) || (coarse && off <= theirs * 1e-12),
                    "{} is {} here and {} there", text, ours, theirs
                );
            }
            Err(_) => prop_assert!(!(0.0..=1e15).contains(&theirs) || text.starts_with('-'), "{}", text),
        }
    }
}
