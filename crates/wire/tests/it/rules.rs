//! Every rule about a single point, for both kinds, with the exact text that its client reads.

use expect_test::expect;
use wattline_model::{Kind, Quantity};

use crate::support::{Draft, check, check_fields, outcome, wrapped};

const BOTH: [Kind; 2] = [Kind::Battery, Kind::BatteryCounter];

#[test]
fn a_whole_point_of_each_kind() {
    let everything = |kind: Kind| {
        let mut draft = Draft::online(kind);
        for (at, quantity) in Quantity::ALL.iter().enumerate() {
            draft.set(quantity.name(), &format!("{at}.5"));
        }
        draft.set("last_mode", "\"SELF_CONSUMPTION\"").set("oem_raw_data", r#"{"a": [1, "x"]}"#);
        wrapped(&[draft.text()])
    };
    check(
        Kind::Battery,
        everything(Kind::Battery),
        expect![[r#"
        OK "d" 1795489200000+300000 online grid SELF_CONSUMPTION battery_total_energy_charge_wh=500 battery_total_energy_discharge_wh=1500 home_total_energy_wh=2500 solar_total_energy_wh=3500 battery_last_power_charge_w=4500 battery_last_power_discharge_w=5500 battery_last_stored_energy_wh=6500 battery_last_capacity_energy_wh=7500 home_last_power_w=8500 solar_last_power_w=9500 battery_last_state_of_charge_percentage=10500 battery_last_state_of_health_percentage=11500 battery_last_backup_reserve_percentage=12500 oem_raw_data={"a": [1, "x"]}
    "#]],
    );
    check(
        Kind::BatteryCounter,
        everything(Kind::BatteryCounter),
        expect![[r#"
        OK "d" 1795489200000 online grid SELF_CONSUMPTION battery_total_energy_charge_wh=500 battery_total_energy_discharge_wh=1500 home_total_energy_wh=2500 solar_total_energy_wh=3500 battery_last_power_charge_w=4500 battery_last_power_discharge_w=5500 battery_last_stored_energy_wh=6500 battery_last_capacity_energy_wh=7500 home_last_power_w=8500 solar_last_power_w=9500 battery_last_state_of_charge_percentage=10500 battery_last_state_of_health_percentage=11500 battery_last_backup_reserve_percentage=12500 oem_raw_data={"a": [1, "x"]}
    "#]],
    );
}

#[test]
fn start_time_and_duration() {
    check_fields(
        Kind::Battery,
        &Draft::offline(Kind::Battery),
        &[
            ("start_time", ""),
            ("start_time", "null"),
            ("start_time", "1795489200"),
            ("start_time", "true"),
            ("start_time", "[\"2026-11-24T03:00:00Z\"]"),
            ("start_time", "\"\""),
            ("start_time", "\"yesterday\""),
            ("start_time", "\"2026-11-24\""),
            ("start_time", "\"2026-11-24T03:00:00\""),
            ("start_time", "\"2026-11-31T03:00:00Z\""),
            ("start_time", "\"2026-11-24T03:00:00.25+00:30\""),
            ("start_time", "\"2026-11-24\\u005403:00:00Z\""),
            // Five minutes ahead, and 35 days back, are the last that are taken.
            ("start_time", "\"2026-11-24T03:05:00Z\""),
            ("start_time", "\"2026-11-24T03:05:00.001Z\""),
            ("start_time", "\"2026-10-20T03:00:00Z\""),
            ("start_time", "\"2026-10-20T02:59:59.999Z\""),
            ("start_time", "\"9999-12-31T23:59:59Z\""),
            ("duration_s", ""),
            ("duration_s", "null"),
            ("duration_s", "\"300\""),
            ("duration_s", "{}"),
            ("duration_s", "0"),
            ("duration_s", "-0.0"),
            ("duration_s", "-300"),
            ("duration_s", "0.0004"),
            ("duration_s", "0.0005"),
            ("duration_s", "86400"),
            ("duration_s", "86400.001"),
            ("duration_s", "1e400"),
            // The time of the other kind is a field like any unknown one.
            ("timestamp", "7"),
        ],
        expect![[r#"
            start_time: (absent) -> FAILED start_time is required
            start_time: null -> FAILED start_time is required
            start_time: 1795489200 -> FAILED start_time must be an RFC 3339 date-time
            start_time: true -> FAILED start_time must be an RFC 3339 date-time
            start_time: ["2026-11-24T03:00:00Z"] -> FAILED start_time must be an RFC 3339 date-time
            start_time: "" -> FAILED start_time must be an RFC 3339 date-time
            start_time: "yesterday" -> FAILED start_time must be an RFC 3339 date-time
            start_time: "2026-11-24" -> FAILED start_time must be an RFC 3339 date-time
            start_time: "2026-11-24T03:00:00" -> FAILED start_time must be an RFC 3339 date-time
            start_time: "2026-11-31T03:00:00Z" -> FAILED start_time must be an RFC 3339 date-time
            start_time: "2026-11-24T03:00:00.25+00:30" -> OK "d" 1795487400250+300000 offline
            start_time: "2026-11-24\u005403:00:00Z" -> OK "d" 1795489200000+300000 offline
            start_time: "2026-11-24T03:05:00Z" -> OK "d" 1795489500000+300000 offline
            start_time: "2026-11-24T03:05:00.001Z" -> FAILED start_time is too far in the future
            start_time: "2026-10-20T03:00:00Z" -> OK "d" 1792465200000+300000 offline
            start_time: "2026-10-20T02:59:59.999Z" -> FAILED start_time is too far in the past
            start_time: "9999-12-31T23:59:59Z" -> FAILED start_time is too far in the future
            duration_s: (absent) -> FAILED duration_s is required
            duration_s: null -> FAILED duration_s is required
            duration_s: "300" -> FAILED duration_s must be a number
            duration_s: {} -> FAILED duration_s must be a number
            duration_s: 0 -> FAILED duration_s must be more than 0; the resolution is 0.001
            duration_s: -0.0 -> FAILED duration_s must be more than 0; the resolution is 0.001
            duration_s: -300 -> FAILED duration_s must be more than 0; the resolution is 0.001
            duration_s: 0.0004 -> FAILED duration_s must be more than 0; the resolution is 0.001
            duration_s: 0.0005 -> OK "d" 1795489200000+1 offline
            duration_s: 86400 -> OK "d" 1795489200000+86400000 offline
            duration_s: 86400.001 -> FAILED duration_s must be at most 86400
            duration_s: 1e400 -> FAILED duration_s must be at most 86400
            timestamp: 7 -> OK "d" 1795489200000+300000 offline
        "#]],
    );
}

#[test]
fn timestamp() {
    check_fields(
        Kind::BatteryCounter,
        &Draft::offline(Kind::BatteryCounter),
        &[
            ("timestamp", ""),
            ("timestamp", "null"),
            ("timestamp", "1795489200"),
            ("timestamp", "\"2026-11-24 03:00\""),
            ("timestamp", "\"2026-11-24T03:05:00.001Z\""),
            ("timestamp", "\"2026-10-20T02:59:59.999Z\""),
            ("timestamp", "\"2026-11-24T02:59:59.999Z\""),
            // The times of the other kind are fields like any unknown one.
            ("start_time", "7"),
            ("duration_s", "-7"),
        ],
        expect![[r#"
            timestamp: (absent) -> FAILED timestamp is required
            timestamp: null -> FAILED timestamp is required
            timestamp: 1795489200 -> FAILED timestamp must be an RFC 3339 date-time
            timestamp: "2026-11-24 03:00" -> FAILED timestamp must be an RFC 3339 date-time
            timestamp: "2026-11-24T03:05:00.001Z" -> FAILED timestamp is too far in the future
            timestamp: "2026-10-20T02:59:59.999Z" -> FAILED timestamp is too far in the past
            timestamp: "2026-11-24T02:59:59.999Z" -> OK "d" 1795489199999 offline
            start_time: 7 -> OK "d" 1795489200000 offline
            duration_s: -7 -> OK "d" 1795489200000 offline
        "#]],
    );
}

/// Gateways write fields in one order, and the decoder learns it: no order may change what a field means.
#[test]
fn a_reading_has_no_duration_wherever_it_stands() {
    check(
        Kind::BatteryCounter,
        r#"{"telemetry":[
            {"timestamp":"2026-11-24T03:00:00Z","duration_s":-5,"device_id":"d","last_is_online":false},
            {"device_id":"d","duration_s":"x","timestamp":"2026-11-24T03:00:00Z","last_is_online":false},
            {"timestamp":"2026-11-24T03:00:00Z","duration_s":1,"duration_s":2,"device_id":"d","last_is_online":false}
        ]}"#,
        expect![[r#"
            OK "d" 1795489200000 offline
            OK "d" 1795489200000 offline
            OK "d" 1795489200000 offline
        "#]],
    );
}

#[test]
fn device_id() {
    let longest = format!("\"{}\"", "x".repeat(128));
    let too_long = format!("\"{}\"", "x".repeat(129));
    // 64 and 65 characters of two bytes each.
    let longest_wide = format!("\"{}\"", "é".repeat(64));
    let too_long_wide = format!("\"{}\"", "é".repeat(65));
    let escaped_longest = format!("\"{}\"", "\\u0078".repeat(128));
    for kind in BOTH {
        let expected = expect![["device_id: (absent) -> FAILED device_id is required\n"]];
        check_fields(kind, &Draft::offline(kind), &[("device_id", "")], expected);
    }
    check_fields(
        Kind::Battery,
        &Draft::offline(Kind::Battery),
        &[
            ("device_id", ""),
            ("device_id", "null"),
            ("device_id", "7"),
            ("device_id", "[\"d\"]"),
            ("device_id", "\"\""),
            ("device_id", "\" \""),
            ("device_id", "\"bat/1 ü 電池\""),
            ("device_id", "\"\\u00e9\\ud83d\\udd0b\\/\\\\\\\"\""),
            ("device_id", &longest),
            ("device_id", &too_long),
            ("device_id", &longest_wide),
            ("device_id", &too_long_wide),
            ("device_id", &escaped_longest),
            // Control characters: C0 by escapes, DEL, C1 as they are and by an escape.
            ("device_id", "\"a\\u0000\""),
            ("device_id", "\"a\\n\""),
            ("device_id", "\"a\\t\""),
            ("device_id", "\"a\\u001f\""),
            ("device_id", "\"a\u{7f}\""),
            ("device_id", "\"a\u{80}\""),
            ("device_id", "\"é\u{9f}\""),
            ("device_id", "\"a\\u0085\""),
            ("device_id", "\"a\u{a0}\u{200b}\""),
        ],
        expect![[r#"
            device_id: (absent) -> FAILED device_id is required
            device_id: null -> FAILED device_id is required
            device_id: 7 -> FAILED device_id must be a string
            device_id: ["d"] -> FAILED device_id must be a string
            device_id: "" -> FAILED device_id must have from 1 to 128 bytes
            device_id: " " -> OK " " 1795489200000+300000 offline
            device_id: "bat/1 ü 電池" -> OK "bat/1 ü 電池" 1795489200000+300000 offline
            device_id: "\u00e9\ud83d\udd0b\/\\\"" -> OK "é🔋/\\\"" 1795489200000+300000 offline
            device_id: (130 bytes) -> OK "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" 179548…
            device_id: (131 bytes) -> FAILED device_id must have from 1 to 128 bytes
            device_id: (130 bytes) -> OK "éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé" 1795489200000+300000 offline
            device_id: (132 bytes) -> FAILED device_id must have from 1 to 128 bytes
            device_id: (770 bytes) -> OK "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" 179548…
            device_id: "a\u0000" -> FAILED device_id must not have control characters
            device_id: "a\n" -> FAILED device_id must not have control characters
            device_id: "a\t" -> FAILED device_id must not have control characters
            device_id: "a\u001f" -> FAILED device_id must not have control characters
            device_id: "a\u{7f}" -> FAILED device_id must not have control characters
            device_id: "a\u{80}" -> FAILED device_id must not have control characters
            device_id: "é\u{9f}" -> FAILED device_id must not have control characters
            device_id: "a\u0085" -> FAILED device_id must not have control characters
            device_id: "a\u{a0}\u{200b}" -> OK "a\u{a0}\u{200b}" 1795489200000+300000 offline
        "#]],
    );
}

#[test]
fn booleans_mode_and_raw_data() {
    let object = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let (longest, too_long) = (object(8_192), object(8_193));
    let spaced = format!("{{{}}}", " ".repeat(8_191));
    check_fields(
        Kind::Battery,
        &Draft::offline(Kind::Battery),
        &[
            ("last_is_online", ""),
            ("last_is_online", "null"),
            ("last_is_online", "0"),
            ("last_is_online", "\"true\""),
            ("last_is_grid_online", "true"),
            ("last_is_grid_online", "false"),
            ("last_is_grid_online", "null"),
            ("last_is_grid_online", "1"),
            ("last_is_grid_online", "{}"),
            ("last_mode", "null"),
            ("last_mode", "\"CHARGE\""),
            ("last_mode", "\"DISCHARGE\""),
            ("last_mode", "\"STANDBY\""),
            ("last_mode", "\"BACKUP\""),
            ("last_mode", "\"SELF_CONSUMPTION\""),
            ("last_mode", "\"SAVINGS\""),
            ("last_mode", "\"S\\u0041VINGS\""),
            ("last_mode", "\"charge\""),
            ("last_mode", "\"\""),
            ("last_mode", "1"),
            ("oem_raw_data", "null"),
            ("oem_raw_data", "{}"),
            ("oem_raw_data", "{ \"a\" : {\"b\":[1e400]}, \"a\":2 }"),
            ("oem_raw_data", "[]"),
            ("oem_raw_data", "\"{}\""),
            ("oem_raw_data", &longest),
            ("oem_raw_data", &too_long),
            ("oem_raw_data", &spaced),
            ("firmware", "{\"battery_last_power_charge_w\": -1}"),
            ("Device_id", "-1"),
        ],
        expect![[r#"
            last_is_online: (absent) -> FAILED last_is_online is required
            last_is_online: null -> FAILED last_is_online is required
            last_is_online: 0 -> FAILED last_is_online must be true or false
            last_is_online: "true" -> FAILED last_is_online must be true or false
            last_is_grid_online: true -> OK "d" 1795489200000+300000 offline grid
            last_is_grid_online: false -> OK "d" 1795489200000+300000 offline no-grid
            last_is_grid_online: null -> OK "d" 1795489200000+300000 offline
            last_is_grid_online: 1 -> FAILED last_is_grid_online must be true, false or null
            last_is_grid_online: {} -> FAILED last_is_grid_online must be true, false or null
            last_mode: null -> OK "d" 1795489200000+300000 offline
            last_mode: "CHARGE" -> OK "d" 1795489200000+300000 offline CHARGE
            last_mode: "DISCHARGE" -> OK "d" 1795489200000+300000 offline DISCHARGE
            last_mode: "STANDBY" -> OK "d" 1795489200000+300000 offline STANDBY
            last_mode: "BACKUP" -> OK "d" 1795489200000+300000 offline BACKUP
            last_mode: "SELF_CONSUMPTION" -> OK "d" 1795489200000+300000 offline SELF_CONSUMPTION
            last_mode: "SAVINGS" -> OK "d" 1795489200000+300000 offline SAVINGS
            last_mode: "S\u0041VINGS" -> OK "d" 1795489200000+300000 offline SAVINGS
            last_mode: "charge" -> FAILED last_mode must be null or one of CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS
            last_mode: "" -> FAILED last_mode must be null or one of CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS
            last_mode: 1 -> FAILED last_mode must be null or one of CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS
            oem_raw_data: null -> OK "d" 1795489200000+300000 offline
            oem_raw_data: {} -> OK "d" 1795489200000+300000 offline oem_raw_data={}
            oem_raw_data: { "a" : {"b":[1e400]}, "a":2 } -> OK "d" 1795489200000+300000 offline oem_raw_data={ "a" : {"b":[1e400]}, "a":2 }
            oem_raw_data: [] -> FAILED oem_raw_data must be an object
            oem_raw_data: "{}" -> FAILED oem_raw_data must be an object
            oem_raw_data: (8192 bytes) -> OK "d" 1795489200000+300000 offline oem_raw_data={"a":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
            oem_raw_data: (8193 bytes) -> FAILED oem_raw_data must have at most 8192 bytes
            oem_raw_data: (8193 bytes) -> FAILED oem_raw_data must have at most 8192 bytes
            firmware: {"battery_last_power_charge_w": -1} -> OK "d" 1795489200000+300000 offline
            Device_id: -1 -> OK "d" 1795489200000+300000 offline
        "#]],
    );
}

#[test]
fn fields_given_twice_fail_and_unknown_ones_do_not() {
    check(
        Kind::Battery,
        r#"{"telemetry":[
            {"device_id":"a","device_id":"b","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false},
            {"device_id":"a","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false,"device\u005fid":"a"},
            {"device_id":"a","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false,"last_mode":null,"last_mode":null},
            {"device_id":"a","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false,"home_last_power_w":1,"home_last_power_w":1},
            {"device_id":"a","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false,"oem_raw_data":{},"oem_raw_data":{}},
            {"device_id":"a","start_time":"2026-11-24T03:00:00Z","duration_s":1,"last_is_online":false,"x":1,"x":2,"":{"device_id":3}}
        ]}"#,
        expect![[r#"
            FAILED device_id must not be given twice
            FAILED device_id must not be given twice
            FAILED last_mode must not be given twice
            FAILED home_last_power_w must not be given twice
            FAILED oem_raw_data must not be given twice
            OK "a" 1795489200000+1000 offline
        "#]],
    );
}

#[test]
fn keys_may_have_escapes() {
    check(
        Kind::Battery,
        r#"{"tele\u006Detry":[{"\u0064evice_id":"a","start\u005ftime":"2026-11-24T03:00:00Z","durati\u006fn_s":1,"last_is_onlin\u0065":false,"last\/mode":1,"device_id\u0000":2}]}"#,
        expect![[r#"
            OK "a" 1795489200000+1000 offline
        "#]],
    );
}

#[test]
fn a_point_is_an_object_and_the_first_rule_that_it_breaks_is_named() {
    check(
        Kind::Battery,
        r#"{"telemetry":[null,7,"x",[],[{}],true,{},
            {"duration_s":-1,"device_id":""},
            {"last_mode":"x","device_id":""}]}"#,
        expect![[r#"
            FAILED point must be an object
            FAILED point must be an object
            FAILED point must be an object
            FAILED point must be an object
            FAILED point must be an object
            FAILED point must be an object
            FAILED device_id is required
            FAILED duration_s must be more than 0; the resolution is 0.001
            FAILED last_mode must be null or one of CHARGE, DISCHARGE, STANDBY, BACKUP, SELF_CONSUMPTION, SAVINGS
        "#]],
    );
    check(
        Kind::BatteryCounter,
        r#"{"telemetry":[false,{}]}"#,
        expect![[r#"
        FAILED point must be an object
        FAILED device_id is required
    "#]],
    );
}

#[test]
fn a_message_never_echoes_a_value() {
    const SECRET: &str = "hunter2";
    for kind in BOTH {
        let fields = Quantity::ALL.iter().map(|quantity| quantity.name()).chain([
            kind.time_field(),
            "last_mode",
            "last_is_online",
            "last_is_grid_online",
            "oem_raw_data",
        ]);
        for field in fields {
            let body = wrapped(&[Draft::online(kind).set(field, &format!("\"{SECRET}\"")).text()]);
            let outcome = outcome(kind, body.as_bytes());
            assert!(outcome.starts_with(&format!("FAILED {field} ")), "{outcome}");
            assert!(!outcome.contains(SECRET), "{outcome}");
        }
    }
}
