//! Text that is not JSON, or deeper than is accepted: refused as a whole, with the byte where it goes wrong.

use expect_test::{Expect, expect};
use wattline_model::Kind;

use crate::support::{Draft, check, outcome, wrapped};

/// A line for each text: what stands for the value of an unknown field, and what became of the body. The
/// value begins at byte 20.
fn check_values(values: &[&[u8]], expect: Expect) {
    let mut lines = String::new();
    for value in values {
        let body = [b"{\"telemetry\":[{\"x\": ".as_slice(), value, b"}]}"].concat();
        let outcome = outcome(Kind::Battery, &body);
        let accepted = "FAILED device_id is required\n";
        let outcome = if outcome == accepted { "accepted\n" } else { &outcome };
        lines += &format!("{} -> {outcome}", value.escape_ascii());
    }
    expect.assert_eq(&lines);
}

#[test]
fn whole_bodies() {
    for (body, expected) in [
        (
            "",
            expect![[r#"
            400 unexpected end at byte 0
        "#]],
        ),
        (
            "  \n",
            expect![[r#"
            400 unexpected end at byte 3
        "#]],
        ),
        (
            "\u{feff}{\"telemetry\":[]}",
            expect![[r#"
            400 expected a value at byte 0
        "#]],
        ),
        (
            "{\"telemetry\":[]}\u{feff}",
            expect![[r#"
            400 unexpected text after the end at byte 16
        "#]],
        ),
        (
            "{\"telemetry\":[]} {}",
            expect![[r#"
            400 unexpected text after the end at byte 17
        "#]],
        ),
        (
            "{\"telemetry\":[]},",
            expect![[r#"
            400 unexpected text after the end at byte 16
        "#]],
        ),
        (
            "{\"telemetry\":[]}\0",
            expect![[r#"
            400 unexpected text after the end at byte 16
        "#]],
        ),
        (
            "{\"telemetry\":[}",
            expect![[r#"
            400 expected a value at byte 14
        "#]],
        ),
        (
            "{\"telemetry\":[],}",
            expect![[r#"
            400 expected a key in quotes at byte 16
        "#]],
        ),
        (
            "{\"telemetry\":[{},]}",
            expect![[r#"
            400 expected a value at byte 17
        "#]],
        ),
        (
            "{\"telemetry\":[{}{}]}",
            expect![[r#"
            400 expected a comma or the end of the object or array at byte 16
        "#]],
        ),
        (
            "{\"telemetry\":[{\"device_id\"}]}",
            expect![[r#"
            400 expected a colon at byte 26
        "#]],
        ),
        (
            "{\"telemetry\":[{\"device_id\" \"d\"}]}",
            expect![[r#"
            400 expected a colon at byte 27
        "#]],
        ),
        (
            "{\"telemetry\":[{\"device_id\":}]}",
            expect![[r#"
            400 expected a value at byte 27
        "#]],
        ),
        (
            "{\"telemetry\":[{\"device_id\":\"d\",}]}",
            expect![[r#"
            400 expected a key in quotes at byte 31
        "#]],
        ),
        (
            "{\"telemetry\":[{device_id:\"d\"}]}",
            expect![[r#"
            400 expected a key in quotes at byte 15
        "#]],
        ),
        (
            "{\"telemetry\":[{'device_id':'d'}]}",
            expect![[r#"
            400 expected a key in quotes at byte 15
        "#]],
        ),
        (
            "{\"telemetry\"",
            expect![[r#"
            400 expected a colon at byte 12
        "#]],
        ),
        (
            "{\"telemetry",
            expect![[r#"
            400 unexpected end in a string at byte 11
        "#]],
        ),
        (
            "{\"telemetry\":[{\"device_id\":\"d",
            expect![[r#"
            400 unexpected end in a string at byte 29
        "#]],
        ),
        (
            "{\"telemetry\":[{",
            expect![[r#"
            400 expected a key in quotes at byte 15
        "#]],
        ),
        (
            "{\"telemetry\":[{}]",
            expect![[r#"
            400 expected a comma or the end of the object or array at byte 17
        "#]],
        ),
        (
            "{\u{a0}\"telemetry\":[]}",
            expect![[r#"
            400 expected a key in quotes at byte 1
        "#]],
        ),
        (
            "{/**/\"telemetry\":[]}",
            expect![[r#"
            400 expected a key in quotes at byte 1
        "#]],
        ),
        (
            "nul",
            expect![[r#"
            400 expected true, false or null at byte 0
        "#]],
        ),
        (
            "[1,]",
            expect![[r#"
            400 expected a value at byte 3
        "#]],
        ),
    ] {
        check(Kind::Battery, body, expected);
    }
}

#[test]
fn text_that_is_not_json_is_malformed_whatever_else_is_wrong_with_it() {
    let too_many = wrapped(&vec!["{}".to_owned(); 1_001]);
    for body in [
        "{\"telemetry\":7,",
        "{\"telemetry\":[],\"telemetry\":[],",
        "{\"other\":[],",
        "[[],",
        too_many.strip_suffix('}').unwrap(),
    ] {
        let outcome = outcome(Kind::Battery, body.as_bytes());
        assert!(outcome.starts_with("400 "), "{outcome}");
        assert!(outcome.ends_with(&format!(" at byte {}\n", body.len())), "{outcome}");
    }
}

#[test]
fn strings() {
    check_values(
        &[
            b"\"\\ud83d\\udd0b\"",
            b"\"\\ud83d\"",
            b"\"\\udd0b\"",
            b"\"\\udd0b\\ud83d\"",
            b"\"\\ud83d\\u0041\"",
            b"\"\\ud83d\\n\"",
            b"\"ok\\ud83dx\"",
            b"\"\\u12\"",
            b"\"\\u12g4\"",
            b"\"\\u+123\"",
            b"\"\\x41\"",
            b"\"\\",
            b"\"a\nb\"",
            b"\"a\0b\"",
            b"\"12345678\x1f\"",
            b"\"12345678\x7f\"",
            b"\"a\xff\"",
            b"\"\xc0\x80\"",
            b"\"\xed\xa0\x80\"",
            b"\"\xf5\x80\x80\x80\"",
            b"\"\xe2\x82\"",
            b"{\"\\ud83d\":1}",
            b"{\"a\\q\":1}",
        ],
        expect![[r#"
            \"\\ud83d\\udd0b\" -> accepted
            \"\\ud83d\" -> 400 lone surrogate in a \u escape at byte 21
            \"\\udd0b\" -> 400 lone surrogate in a \u escape at byte 21
            \"\\udd0b\\ud83d\" -> 400 lone surrogate in a \u escape at byte 21
            \"\\ud83d\\u0041\" -> 400 lone surrogate in a \u escape at byte 21
            \"\\ud83d\\n\" -> 400 lone surrogate in a \u escape at byte 21
            \"ok\\ud83dx\" -> 400 lone surrogate in a \u escape at byte 23
            \"\\u12\" -> 400 bad \u escape at byte 21
            \"\\u12g4\" -> 400 bad \u escape at byte 21
            \"\\u+123\" -> 400 bad \u escape at byte 21
            \"\\x41\" -> 400 unknown escape at byte 21
            \"\\ -> 400 unknown escape at byte 21
            \"a\nb\" -> 400 control character in a string at byte 22
            \"a\x00b\" -> 400 control character in a string at byte 22
            \"12345678\x1f\" -> 400 control character in a string at byte 29
            \"12345678\x7f\" -> accepted
            \"a\xff\" -> 400 invalid UTF-8 at byte 22
            \"\xc0\x80\" -> 400 invalid UTF-8 at byte 21
            \"\xed\xa0\x80\" -> 400 invalid UTF-8 at byte 21
            \"\xf5\x80\x80\x80\" -> 400 invalid UTF-8 at byte 21
            \"\xe2\x82\" -> 400 invalid UTF-8 at byte 21
            {\"\\ud83d\":1} -> 400 lone surrogate in a \u escape at byte 22
            {\"a\\q\":1} -> 400 unknown escape at byte 23
        "#]],
    );
}

#[test]
fn ids_modes_and_times_with_broken_text_refuse_the_body_too() {
    for field in ["device_id", "last_mode", "start_time", "oem_raw_data", "last_is_online", "duration_s"] {
        let at = Draft::offline(Kind::Battery).set(field, "\"\\ud800\"").text().find("\\ud800").unwrap();
        let body = wrapped(&[Draft::offline(Kind::Battery).set(field, "\"\\ud800\"").text()]);
        let offset = at + "{\"telemetry\":[".len();
        assert_eq!(
            outcome(Kind::Battery, body.as_bytes()),
            format!("400 lone surrogate in a \\u escape at byte {offset}\n"),
            "{field}"
        );
    }
}

#[test]
fn numbers_and_literals() {
    check_values(
        &[
            b"1e400",
            b"-1e400",
            b"1e-400",
            b"-0",
            b"0e0",
            b"1E+5",
            b"NaN",
            b"-NaN",
            b"Infinity",
            b"-Infinity",
            b"01",
            b"-01",
            b"+1",
            b".5",
            b"5.",
            b"1e",
            b"1e+",
            b"1.e5",
            b"-",
            b"0x10",
            b"1_000",
            b"1 2",
            b"True",
            b"tru",
            b"truex",
            b"nulll",
            b"undefined",
            b"",
        ],
        expect![[r#"
            1e400 -> accepted
            -1e400 -> accepted
            1e-400 -> accepted
            -0 -> accepted
            0e0 -> accepted
            1E+5 -> accepted
            NaN -> 400 expected a value at byte 20
            -NaN -> 400 bad number at byte 20
            Infinity -> 400 expected a value at byte 20
            -Infinity -> 400 bad number at byte 20
            01 -> 400 bad number at byte 20
            -01 -> 400 bad number at byte 20
            +1 -> 400 expected a value at byte 20
            .5 -> 400 expected a value at byte 20
            5. -> 400 bad number at byte 20
            1e -> 400 bad number at byte 20
            1e+ -> 400 bad number at byte 20
            1.e5 -> 400 bad number at byte 20
            - -> 400 bad number at byte 20
            0x10 -> 400 expected a comma or the end of the object or array at byte 21
            1_000 -> 400 expected a comma or the end of the object or array at byte 21
            1 2 -> 400 expected a comma or the end of the object or array at byte 22
            True -> 400 expected a value at byte 20
            tru -> 400 expected true, false or null at byte 20
            truex -> 400 expected a comma or the end of the object or array at byte 24
            nulll -> 400 expected a comma or the end of the object or array at byte 24
            undefined -> 400 expected a value at byte 20
             -> 400 expected a value at byte 20
        "#]],
    );
    for value in ["NaN", "01", "-", "1.", "1e"] {
        for field in ["duration_s", "home_last_power_w"] {
            let body = wrapped(&[Draft::offline(Kind::Battery).set(field, value).text()]);
            assert!(outcome(Kind::Battery, body.as_bytes()).starts_with("400 "), "{field} {value}");
        }
    }
}

/// The outermost object is the first level; a point is the third.
#[test]
fn thirty_two_levels_and_no_more() {
    let nested = |levels: usize, open: &str, close: &str| open.repeat(levels) + &close.repeat(levels);
    let objects = |levels: usize| "{\"a\":".repeat(levels - 1) + "{}" + &"}".repeat(levels - 1);
    let deep = "400 nested too deep at byte ";
    for (inside, body) in [
        (3, "{\"telemetry\":[{\"device_id\":\"d\",\"x\":@}]}"),
        (3, "{\"telemetry\":[{\"device_id\":\"d\",\"oem_raw_data\":@}]}"),
        (3, "{\"telemetry\":[{\"device_id\":@}]}"),
        (3, "{\"telemetry\":[{\"start_time\":@}]}"),
        (3, "{\"telemetry\":[{\"duration_s\":@}]}"),
        (3, "{\"telemetry\":[{\"last_mode\":@}]}"),
        (3, "{\"telemetry\":[{\"last_is_online\":@}]}"),
        (3, "{\"telemetry\":[{\"home_last_power_w\":@}]}"),
        (2, "{\"telemetry\":[@]}"),
        (1, "{\"telemetry\":[],\"x\":@}"),
        (1, "{\"telemetry\":[],\"start_time\":@}"),
        (1, "{\"telemetry\":[],\"duration_s\":@}"),
        (1, "{\"telemetry\":{\"a\":1},\"x\":@}"),
        (0, "@"),
    ] {
        let at = body.find('@').unwrap();
        for (levels, too_deep) in [(32 - inside, false), (33 - inside, true)] {
            let arrays = body.replace('@', &nested(levels, "[", "]"));
            let outcome_of = outcome(Kind::Battery, arrays.as_bytes());
            let offset = at + 32 - inside;
            let refused = outcome_of == format!("{deep}{offset}\n");
            assert_eq!((refused, outcome_of.starts_with(deep)), (too_deep, too_deep), "{body} {outcome_of}");
            let objects = body.replace('@', &objects(levels));
            assert_eq!(outcome(Kind::Battery, objects.as_bytes()).starts_with(deep), too_deep, "{body}");
        }
    }
    // Far deeper than the stack could bear, if depth were not bounded.
    let bomb = "{\"telemetry\":[{\"oem_raw_data\":".to_owned() + &"[".repeat(1_000_000);
    assert!(outcome(Kind::Battery, bomb.as_bytes()).starts_with(deep));
}

#[test]
fn the_offset_is_of_the_first_byte_that_is_wrong_in_a_long_body() {
    let point = Draft::online(Kind::Battery).text();
    let mut points = vec![point.clone(); 500];
    points[321] = point.replace("true", "True");
    let body = wrapped(&points);
    let offset = body.find("True").unwrap();
    assert_eq!(outcome(Kind::Battery, body.as_bytes()), format!("400 expected a value at byte {offset}\n"));

    let mut bytes = wrapped(&vec![point; 500]).into_bytes();
    let at = bytes.len() / 2;
    bytes[at] = 0xff;
    assert_eq!(outcome(Kind::Battery, &bytes), format!("400 invalid UTF-8 at byte {at}\n"));
}

#[test]
fn a_byte_that_is_no_text_is_found_wherever_it_stands() {
    let odd =
        r#""ünknown \u00e9":{"k\té":["é\n",{"é":"x"}]},"oem_raw_data":{"é":"\"é"},"last_mode":"STANDBY","#;
    let point = Draft::online(Kind::Battery).text().replacen('{', &format!("{{{odd}"), 1);
    let body = wrapped(&[point]).replacen('{', r#"{"é":"é","#, 1);
    assert!(outcome(Kind::Battery, body.as_bytes()).contains("é"), "{body}");
    for at in 0..body.len() {
        let mut bytes = body.clone().into_bytes();
        bytes[at] = 0xff;
        let first = std::str::from_utf8(&bytes).expect_err("no text").valid_up_to();
        let refused = format!("400 invalid UTF-8 at byte {first}\n");
        assert_eq!(outcome(Kind::Battery, &bytes), refused, "{at}: {}", bytes.escape_ascii());
    }
}
