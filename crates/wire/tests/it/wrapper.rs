//! What stands around the points: both shapes of the body, and how many points there may be.

use expect_test::expect;
use wattline_model::Kind;
use wattline_wire::Decoder;

use crate::support::{Draft, check, decode, decode_with, outcome, wrapped};

const OWN: &str =
    r#"{"device_id":"own","start_time":"2026-11-24T01:00:00Z","duration_s":60,"last_is_online":false}"#;
const BARE: &str = r#"{"device_id":"bare","last_is_online":false}"#;
const NULLS: &str = r#"{"device_id":"nulls","start_time":null,"duration_s":null,"last_is_online":false}"#;
const BAD: &str = r#"{"device_id":"bad","start_time":"x","duration_s":"y","last_is_online":false}"#;

#[test]
fn the_older_shape_gives_times_to_the_points_that_lack_them() {
    let points = [OWN, BARE, NULLS, BAD].join(",");
    let expected = || {
        expect![[r#"
        OK "own" 1795482000000+60000 offline
        OK "bare" 1795485600000+900000 offline
        OK "nulls" 1795485600000+900000 offline
        FAILED start_time must be an RFC 3339 date-time
    "#]]
    };
    for body in [
        format!(r#"{{"start_time":"2026-11-24T02:00:00Z","duration_s":900,"telemetry":[{points}]}}"#),
        format!(r#"{{"telemetry":[{points}],"start_time":"2026-11-24T02:00:00Z","duration_s":900}}"#),
        format!(r#"{{"duration_s":900,"telemetry":[{points}],"start_time":"2026-11-24T02:00:00Z"}}"#),
        format!(
            r#"{{"x":[],"start_time":"2026-11-24T02:00:00Z","telemetry":[{points}],"y":{{}},"duration_s":9e2}}"#
        ),
        format!(
            r#"{{"start\u005ftime":"2026-11-24T02:00:00Z","telemetry":[{points}],"duration\u005fs":900}}"#
        ),
    ] {
        check(Kind::Battery, body, expected());
    }
}

#[test]
fn points_come_again_only_where_the_older_shape_makes_it_necessary() {
    let restarts =
        |body: String| decode_with(&mut Decoder::new(Kind::Battery), body.as_bytes()).unwrap().restarts;
    let time = r#""start_time":"2026-11-24T02:00:00Z","duration_s":900"#;
    assert_eq!(restarts(format!(r#"{{{time},"telemetry":[{BARE}]}}"#)), 0);
    assert_eq!(restarts(format!(r#"{{"telemetry":[{OWN}],{time}}}"#)), 0);
    assert_eq!(restarts(format!(r#"{{"telemetry":[{OWN},{BARE}],{time}}}"#)), 1);
}

#[test]
fn top_level_times_keep_the_same_rules() {
    let body = |top: &str| format!(r#"{{{top},"telemetry":[{OWN},{BARE}]}}"#);
    let late = |top: &str| format!(r#"{{"telemetry":[{OWN},{BARE}],{top}}}"#);
    let both = |top: &str| {
        let early = outcome(Kind::Battery, body(top).as_bytes());
        assert_eq!(early, outcome(Kind::Battery, late(top).as_bytes()), "{top}");
        let bare = early.lines().nth(1).unwrap().to_owned();
        assert!(early.starts_with("OK \"own\" 1795482000000+60000 offline\n"), "{early}");
        format!("{top} -> {bare}\n")
    };
    let outcomes: String = [
        r#""start_time":"2026-11-24T02:00:00Z""#,
        r#""duration_s":900"#,
        r#""start_time":null,"duration_s":900"#,
        r#""start_time":"2026-11-24T02:00:00Z","duration_s":null"#,
        r#""start_time":"x","duration_s":900"#,
        r#""start_time":"2020-11-24T02:00:00Z","duration_s":900"#,
        r#""start_time":"2027-11-24T02:00:00Z","duration_s":900"#,
        r#""start_time":"2026-11-24T02:00:00Z","duration_s":"900""#,
        r#""start_time":"2026-11-24T02:00:00Z","duration_s":-1"#,
        r#""start_time":"2026-11-24T02:00:00Z","duration_s":86401"#,
    ]
    .map(both)
    .concat();
    expect![[r#"
        "start_time":"2026-11-24T02:00:00Z" -> FAILED duration_s is required
        "duration_s":900 -> FAILED start_time is required
        "start_time":null,"duration_s":900 -> FAILED start_time is required
        "start_time":"2026-11-24T02:00:00Z","duration_s":null -> FAILED duration_s is required
        "start_time":"x","duration_s":900 -> FAILED start_time must be an RFC 3339 date-time
        "start_time":"2020-11-24T02:00:00Z","duration_s":900 -> FAILED start_time is too far in the past
        "start_time":"2027-11-24T02:00:00Z","duration_s":900 -> FAILED start_time is too far in the future
        "start_time":"2026-11-24T02:00:00Z","duration_s":"900" -> FAILED duration_s must be a number
        "start_time":"2026-11-24T02:00:00Z","duration_s":-1 -> FAILED duration_s must be more than 0; the resolution is 0.001
        "start_time":"2026-11-24T02:00:00Z","duration_s":86401 -> FAILED duration_s must be at most 86400
    "#]].assert_eq(&outcomes);
}

#[test]
fn readings_take_a_timestamp_from_the_top_and_nothing_else() {
    let bare = r#"{"device_id":"bare","last_is_online":false}"#;
    check(
        Kind::BatteryCounter,
        format!(r#"{{"telemetry":[{bare}],"timestamp":"2026-11-24T02:00:00Z","duration_s":"x"}}"#),
        expect![[r#"
            OK "bare" 1795485600000 offline
        "#]],
    );
    check(
        Kind::BatteryCounter,
        format!(r#"{{"start_time":"2026-11-24T02:00:00Z","telemetry":[{bare}]}}"#),
        expect![[r#"
            FAILED timestamp is required
        "#]],
    );
}

#[test]
fn the_array_is_demanded_once() {
    for (body, expected) in [
        (
            "{}",
            expect![[r#"
            422 telemetry is required
        "#]],
        ),
        (
            r#"{"Telemetry":[]}"#,
            expect![[r#"
            422 telemetry is required
        "#]],
        ),
        (
            r#"{"telemetry":null}"#,
            expect![[r#"
            422 telemetry must be an array
        "#]],
        ),
        (
            r#"{"telemetry":{"0":{}}}"#,
            expect![[r#"
            422 telemetry must be an array
        "#]],
        ),
        (
            r#"{"telemetry":"[]"}"#,
            expect![[r#"
            422 telemetry must be an array
        "#]],
        ),
        (
            r#"{"telemetry":[],"telemetry":[]}"#,
            expect![[r#"
            422 telemetry must not be given twice
        "#]],
        ),
        (
            r#"{"telemetry":[],"telemetr\u0079":[]}"#,
            expect![[r#"
            422 telemetry must not be given twice
        "#]],
        ),
        (
            "[]",
            expect![[r#"
            422 $ must be an object with the array telemetry
        "#]],
        ),
        (
            "null",
            expect![[r#"
            422 $ must be an object with the array telemetry
        "#]],
        ),
        (
            "\"telemetry\"",
            expect![[r#"
            422 $ must be an object with the array telemetry
        "#]],
        ),
        (
            r#"{"telemetry":[]}"#,
            expect![[r#"
            no points
        "#]],
        ),
        (
            " \r\n\t{ \"telemetry\" : [ ] , \"other\" : { } } \n",
            expect![[r#"
            no points
        "#]],
        ),
    ] {
        check(Kind::Battery, body, expected);
    }
}

#[test]
fn a_thousand_points_and_no_more() {
    let point = Draft::offline(Kind::Battery).text();
    let body = wrapped(&vec![point.clone(); 1_000]);
    let points = decode(Kind::Battery, body.as_bytes()).unwrap();
    assert_eq!(points.iter().filter(|point| point.is_ok()).count(), 1_000);
    check(
        Kind::Battery,
        wrapped(&vec![point; 1_001]),
        expect![[r#"
        422 telemetry must have at most 1000 points
    "#]],
    );
    check(
        Kind::BatteryCounter,
        wrapped(&vec!["0".to_owned(); 1_001]),
        expect![[r#"
        422 telemetry must have at most 1000 points
    "#]],
    );
}

/// A decoder serves one body after the other; none may leave anything behind.
#[test]
fn a_decoder_remembers_nothing_of_other_bodies() {
    let mut decoder = Decoder::new(Kind::Battery);
    let older = format!(r#"{{"start_time":"2026-11-24T02:00:00Z","duration_s":900,"telemetry":[{BARE}]}}"#);
    let bare = format!(r#"{{"telemetry":[{BARE}]}}"#);
    assert!(decode_with(&mut decoder, older.as_bytes()).unwrap().points[0].is_ok());
    assert!(decode_with(&mut decoder, bare.as_bytes()).unwrap().points[0].is_err());
    assert!(decode_with(&mut decoder, b"{\"telemetry\":[{").is_err());
    assert!(decode_with(&mut decoder, older.as_bytes()).unwrap().points[0].is_ok());
}
