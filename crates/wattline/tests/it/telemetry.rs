//! Points that are accepted, field by field in both sinks, and points that are not.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};

use serde_json::{Value, json};
use wattline_wire::{device_hash, partition_of};

use crate::http::{Connection, exchange};
use crate::points::{
    BATTERY, COUNTER, HOUR_MS, MINUTE_MS, ago_ms, all_ok, interval, messages, now_ms, post, post_points,
    reading, rfc3339, table_time,
};
use crate::site::{Audit, Site};
use crate::stored::{Row, Table, value};

/// The columns that say how the device was, with the values of `FULL`.
const FULL_STATE: [(&str, &str); 13] = [
    ("last_is_online", "true"),
    ("last_is_grid_online", "false"),
    ("last_mode", "SELF_CONSUMPTION"),
    ("battery_last_power_charge_w", "1200.500"),
    ("battery_last_power_discharge_w", "0.000"),
    ("battery_last_stored_energy_wh", "8100.125"),
    ("battery_last_capacity_energy_wh", "13500.000"),
    ("home_last_power_w", "3000.001"),
    ("solar_last_power_w", "1800.000"),
    ("battery_last_state_of_charge_percentage", "60.500"),
    ("battery_last_state_of_health_percentage", "99.000"),
    ("battery_last_backup_reserve_percentage", "20.000"),
    ("oem_raw_data", r#"{"b": [1, {"ü": null}], "a": "\u00e9"}"#),
];

/// Every field of a point that is not its device, its times or its energies.
const FULL: &str = r#"
    "last_is_online": true, "last_is_grid_online": false, "last_mode": "SELF_CONSUMPTION",
    "battery_last_power_charge_w": 1200.5, "battery_last_power_discharge_w": 0,
    "battery_last_stored_energy_wh": 8.100125e3, "battery_last_capacity_energy_wh": 13500,
    "home_last_power_w": 3000.001, "solar_last_power_w": 1800.0,
    "battery_last_state_of_charge_percentage": 60.5, "battery_last_state_of_health_percentage": 99,
    "battery_last_backup_reserve_percentage": 20,
    "oem_raw_data": {"b": [1, {"ü": null}], "a": "\u00e9"},
    "not_a_field_of_ours": {"is": ["ignored"]}"#;

const ENERGIES: [&str; 4] = [
    "battery_total_energy_charge",
    "battery_total_energy_discharge",
    "home_total_energy",
    "solar_total_energy",
];

fn row(cells: &[(&str, &str)]) -> Row {
    cells.iter().map(|(name, text)| (name.to_string(), Some(text.to_string()))).collect()
}

fn add_energies(row: &mut Row, energies_wh: [&str; 4]) {
    row.extend(ENERGIES.iter().zip(energies_wh).map(|(name, wh)| (format!("{name}_wh"), Some(wh.into()))));
}

fn add_qualities(row: &mut Row, quality: &str) {
    row.extend(ENERGIES.map(|name| (format!("{name}_quality"), Some(quality.to_owned()))));
}

fn add_place(row: &mut Row, site: &Site, topic: &str, device: &str, offset: i64, index: i64) {
    let partition = partition_of(device_hash("demo", device), Site::PARTITIONS);
    row.extend(
        [
            ("_topic", site.topic(topic)),
            ("_partition", partition.to_string()),
            ("_offset", offset.to_string()),
            ("_index", index.to_string()),
            ("_version", (offset * 1024 + index).to_string()),
        ]
        .map(|(name, text)| (name.to_owned(), Some(text))),
    );
}

/// Takes the time of receipt out of a row, which has to lie between the two.
#[track_caller]
fn take_received_at(row: &mut Row, from_ms: i64, to_ms: i64) {
    let received_at = row.remove("received_at").flatten().expect("received_at");
    assert!(
        table_time(from_ms) <= received_at && received_at <= table_time(to_ms),
        "{received_at} is not between {} and {}",
        table_time(from_ms),
        table_time(to_ms)
    );
}

#[test]
fn an_interval_is_in_both_sinks_field_by_field() {
    let site = Site::new("interval");
    let token = site.token("demo");
    site.import("demo", &["bat-ü \"1\""]);
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);

    let start_ms = ago_ms(10 * MINUTE_MS) + 123;
    let body = format!(
        r#"{{"telemetry": [{{"device_id": "bat-\u00fc \"1\"", "start_time": "{}", "duration_s": 300.5,
            "battery_total_energy_charge_wh": 200.125, "battery_total_energy_discharge_wh": 0,
            "home_total_energy_wh": 250, "solar_total_energy_wh": 1e-3, {FULL}}},
            {{"device_id": "bat-ü \"1\"", "start_time": "{}", "duration_s": 60, "last_is_online": false,
              "last_mode": null, "home_last_power_w": null}}]}}"#,
        rfc3339(start_ms),
        rfc3339(start_ms + 5 * MINUTE_MS)
    );
    let sent_ms = now_ms();
    all_ok(&exchange(gateway.address, &post(BATTERY, &token).body(body)), 2);
    let answered_ms = now_ms();
    site.wait_until_stored();

    let mut rows = site.rows(Table::Intervals, &[]);
    rows.iter_mut().for_each(|row| take_received_at(row, sent_ms, answered_ms));
    let device = "bat-ü \"1\"";
    let key = [("client_id", "demo"), ("device_id", device), ("source", "REPORTED"), ("gap", "false")];

    let mut online = row(&[&key[..], &FULL_STATE].concat());
    online.insert("start_time".into(), Some(table_time(start_ms)));
    online.insert("end_time".into(), Some(table_time(start_ms + 300_500)));
    add_energies(&mut online, ["200.125", "0.000", "250.000", "0.001"]);
    add_qualities(&mut online, "REPORTED");
    add_place(&mut online, &site, "intervals", device, 0, 0);

    let mut offline: Row = online.keys().map(|name| (name.clone(), None)).collect();
    offline.extend(row(&key));
    offline.extend(row(&[("last_is_online", "false")]));
    offline.insert("start_time".into(), Some(table_time(start_ms + 5 * MINUTE_MS)));
    offline.insert("end_time".into(), Some(table_time(start_ms + 6 * MINUTE_MS)));
    add_qualities(&mut offline, "REPORTED");
    add_place(&mut offline, &site, "intervals", device, 0, 1);

    rows.sort_by_key(|row| value(row, "_index").to_owned());
    assert_eq!(rows, [online, offline]);
    assert_eq!(site.rows(Table::Readings, &[]), []);
    assert_eq!(site.ask("SELECT count() FROM rejected"), "0");
}

#[test]
fn counter_readings_are_in_both_sinks_field_by_field() {
    let site = Site::new("reading");
    let token = site.token("demo");
    site.import_lines(
        &json!({
            "client": "demo", "device_id": "bat-2", "battery_power_input_w": 5000,
            "battery_power_output_w": 4000, "counter_modulus_wh": 100000,
        })
        .to_string(),
    );
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_SOLAR_LIMIT_W", "7000")]);
    let _worker = site.worker(&[]);

    let first_ms = ago_ms(20 * MINUTE_MS);
    let second_ms = first_ms + 5 * MINUTE_MS;
    let sent_ms = now_ms();
    let mut connection = Connection::open(gateway.address).unwrap();
    for (at_ms, counters) in
        [(first_ms, "99999.900, 5000, 70000.001, 1"), (second_ms, "0.2, 5000, 70250.002, 40.5")]
    {
        let [charge, discharge, home, solar] =
            counters.split(", ").collect::<Vec<_>>().try_into().expect("four counters");
        let body = format!(
            r#"{{"telemetry": [{{"timestamp": "{}", "device_id": "bat-2",
                "battery_total_energy_charge_wh": {charge}, "battery_total_energy_discharge_wh": {discharge},
                "home_total_energy_wh": {home}, "solar_total_energy_wh": {solar}, {FULL}}}]}}"#,
            rfc3339(at_ms)
        );
        all_ok(&connection.exchange(&post(COUNTER, &token).body(body)), 1);
    }
    let offline = json!({ "timestamp": rfc3339(second_ms + MINUTE_MS), "device_id": "bat-2",
        "last_is_online": false, "home_total_energy_wh": null });
    all_ok(&connection.exchange(&post_points(COUNTER, &token, &[offline])), 1);
    let answered_ms = now_ms();
    site.wait_until_stored();

    let mut readings = site.rows(Table::Readings, &[]);
    readings.iter_mut().for_each(|row| take_received_at(row, sent_ms, answered_ms));
    readings.sort_by_key(|row| value(row, "timestamp").to_owned());
    let limits = [
        ("client_id", "demo"),
        ("device_id", "bat-2"),
        ("limit_battery_charge_w", "5000"),
        ("limit_battery_discharge_w", "4000"),
        ("limit_home_w", "50000"),
        ("limit_solar_w", "7000"),
        ("counter_modulus_wh", "100000.000"),
    ];
    let reading = |at_ms: i64, counters: [&str; 4], offset: i64| {
        let mut row = row(&[&limits[..], &FULL_STATE, &[("in_chain", "true")]].concat());
        row.insert("timestamp".into(), Some(table_time(at_ms)));
        add_energies(&mut row, counters);
        add_place(&mut row, &site, "counters", "bat-2", offset, 0);
        row
    };
    let first = reading(first_ms, ["99999.900", "5000.000", "70000.001", "1.000"], 0);
    let second = reading(second_ms, ["0.200", "5000.000", "70250.002", "40.500"], 1);
    let mut offline: Row = first.keys().map(|name| (name.clone(), None)).collect();
    offline.extend(row(&limits));
    offline.extend(row(&[("in_chain", "false"), ("last_is_online", "false")]));
    offline.insert("timestamp".into(), Some(table_time(second_ms + MINUTE_MS)));
    add_place(&mut offline, &site, "counters", "bat-2", 2, 0);
    assert_eq!(readings, [first, second, offline]);

    let mut intervals = site.rows(Table::Intervals, &[]);
    intervals.iter_mut().for_each(|row| take_received_at(row, sent_ms, answered_ms));
    let mut derived = row(&[
        &[("client_id", "demo"), ("device_id", "bat-2"), ("source", "COUNTER"), ("gap", "false")][..],
        &FULL_STATE,
    ]
    .concat());
    derived.insert("start_time".into(), Some(table_time(first_ms)));
    derived.insert("end_time".into(), Some(table_time(second_ms)));
    add_energies(&mut derived, ["0.300", "0.000", "250.001", "39.500"]);
    add_qualities(&mut derived, "VALID");
    derived.insert("battery_total_energy_charge_quality".into(), Some("ROLLOVER".into()));
    add_place(&mut derived, &site, "counters", "bat-2", 1, 0);
    assert_eq!(intervals, [derived]);
}

#[test]
fn the_older_shape_gives_its_times_to_the_points_that_lack_their_own() {
    let site = Site::new("older");
    let token = site.token("demo");
    site.import("demo", &["a", "b", "c"]);
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    let (shared_ms, own_ms) = (ago_ms(HOUR_MS), ago_ms(2 * HOUR_MS));
    let without = |mut point: Value, fields: &[&str]| {
        fields.iter().for_each(|field| drop(point.as_object_mut().expect("a point").remove(*field)));
        point
    };

    // The wrapper's fields stand behind the points, and before them.
    let points = json!([
        without(interval("a", own_ms), &["start_time", "duration_s"]),
        without(interval("b", own_ms), &["duration_s"]),
        interval("c", own_ms),
    ]);
    let behind =
        format!(r#"{{"telemetry": {points}, "duration_s": 900, "start_time": "{}"}}"#, rfc3339(shared_ms));
    all_ok(&exchange(gateway.address, &post(BATTERY, &token).body(behind)), 3);
    let points =
        json!([without(reading("a", own_ms, [1.0; 4]), &["timestamp"]), reading("b", own_ms, [1.0; 4]),]);
    let before = format!(r#"{{"timestamp": "{}", "telemetry": {points}}}"#, rfc3339(shared_ms));
    all_ok(&exchange(gateway.address, &post(COUNTER, &token).body(before)), 2);

    // A time that is nowhere is the point's fault alone.
    let points = [without(interval("a", own_ms), &["start_time"]), interval("b", own_ms + MINUTE_MS)];
    let answer = exchange(gateway.address, &post_points(BATTERY, &token, &points));
    assert_eq!(messages(&answer), ["start_time is required", ""]);
    site.wait_until_stored();

    let times = |table: Table, columns: [&str; 2]| -> BTreeSet<[String; 3]> {
        let rows = site.rows(table, &columns);
        let cells = |row: &Row| ["device_id", columns[0], columns[1]].map(|name| value(row, name).to_owned());
        rows.iter().map(cells).collect()
    };
    let expected = |device: &str, start_ms: i64, seconds: i64| {
        [device.to_owned(), table_time(start_ms), table_time(start_ms + seconds * 1_000)]
    };
    assert_eq!(
        times(Table::Intervals, ["start_time", "end_time"]),
        BTreeSet::from([
            expected("a", shared_ms, 900),
            expected("b", own_ms, 900),
            expected("c", own_ms, 300),
            expected("b", own_ms + MINUTE_MS, 300),
        ])
    );
    assert_eq!(
        times(Table::Readings, ["timestamp", "timestamp"]),
        BTreeSet::from([expected("a", shared_ms, 0), expected("b", own_ms, 0)])
    );
}

/// One way to spoil a point, and what the answer says about it.
type Flaw = (&'static str, Value, &'static str);

#[test]
fn one_bad_point_in_a_thousand_fails_alone() {
    const POINTS: usize = 1_000;
    let site = Site::new("bad_point");
    let token = site.token("demo");
    let devices: Vec<String> = (0..10).map(|device| format!("bat-{device}")).collect();
    site.import("demo", &devices.iter().map(String::as_str).collect::<Vec<_>>());
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);

    let flaws: [Flaw; 5] = [
        ("device_id", json!("nobody's"), "unknown device"),
        ("home_last_power_w", json!(-1), "home_last_power_w must be at least 0"),
        ("solar_last_power_w", Value::Null, "solar_last_power_w is required when last_is_online is true"),
        (
            "battery_last_state_of_charge_percentage",
            json!(100.1),
            "battery_last_state_of_charge_percentage must be from 0 to 100",
        ),
        ("last_is_online", json!("yes"), "last_is_online must be true or false"),
    ];
    let mut connection = Connection::open(gateway.address).unwrap();
    let mut bad = BTreeSet::new();
    for (round, (field, spoilt, message)) in (0..).zip(&flaws) {
        // Any number will do, and another one each time.
        let at = RandomState::new().hash_one(round) as usize % POINTS;
        let start_ms = |index: usize| ago_ms(0) - (1 + round + 5 * (index / 10) as i64) * 5 * MINUTE_MS;
        let is_counter = round % 2 == 1;
        let mut points: Vec<Value> = (0..POINTS)
            .map(|index| match is_counter {
                false => interval(&devices[index % 10], start_ms(index)),
                true => reading(&devices[index % 10], start_ms(index), [1.0, 2.0, 3.0, 4.0]),
            })
            .collect();
        points[at][field] = spoilt.clone();
        bad.insert((is_counter, points[at]["device_id"].to_string(), start_ms(at)));
        let path = if is_counter { COUNTER } else { BATTERY };
        let messages = messages(&connection.exchange(&post_points(path, &token, &points)));
        let mut expected = vec![""; POINTS];
        expected[at] = message;
        assert_eq!(messages, expected, "round {round}, bad at {at}");
    }
    site.wait_until_stored();
    let reported = site.rows(Table::Intervals, &["source", "start_time"]);
    let reported = reported.iter().filter(|row| value(row, "source") == "REPORTED").count();
    assert_eq!(reported, 3 * (POINTS - 1), "{bad:?}");
    assert_eq!(site.rows(Table::Readings, &["timestamp"]).len(), 2 * (POINTS - 1), "{bad:?}");
    let points = 5 * (POINTS - 1) as u64;
    let audit = Audit { kafka: points, clickhouse: points, parquet: points, rejected: 0, duplicates: 0 };
    assert_eq!(site.audit(), audit);
}

#[test]
fn a_point_has_to_be_of_our_time() {
    let site = Site::new("times");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_PAST_MAX_HOURS", "48")]);
    let _worker = site.worker(&[]);
    let ages_ms =
        [24 * HOUR_MS, 48 * HOUR_MS - MINUTE_MS, 48 * HOUR_MS + MINUTE_MS, -4 * MINUTE_MS, -6 * MINUTE_MS];
    for (path, field) in [(BATTERY, "start_time"), (COUNTER, "timestamp")] {
        let points = ages_ms.map(|age_ms| match path {
            BATTERY => interval("a", ago_ms(age_ms)),
            _ => reading("a", ago_ms(age_ms), [1.0; 4]),
        });
        let answer = exchange(gateway.address, &post_points(path, &token, &points));
        let (old, new) =
            (format!("{field} is too far in the past"), format!("{field} is too far in the future"));
        assert_eq!(messages(&answer), ["", "", &old, "", &new]);
    }
    site.wait_until_stored();
    assert_eq!(site.rows(Table::Readings, &["timestamp"]).len(), 3);
    let intervals = site.rows(Table::Intervals, &["source", "gap"]);
    let of = |source: &str| intervals.iter().filter(|row| value(row, "source") == source).count();
    assert_eq!((of("REPORTED"), of("COUNTER")), (3, 2));
    // A day lies between two readings: it is one row, and never interpolated.
    assert!(
        intervals
            .iter()
            .filter(|row| value(row, "source") == "COUNTER")
            .all(|row| value(row, "gap") == "true")
    );
}
