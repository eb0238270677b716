use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// 2026-11-24T00:00:00Z.
const MIDNIGHT_S: u32 = 1_795_478_400;

const REQUIRED: [&str; 13] = [
    "device_id",
    "last_is_online",
    "battery_last_power_charge_w",
    "battery_last_power_discharge_w",
    "battery_total_energy_charge_wh",
    "battery_total_energy_discharge_wh",
    "battery_last_stored_energy_wh",
    "battery_last_capacity_energy_wh",
    "last_is_grid_online",
    "home_total_energy_wh",
    "home_last_power_w",
    "solar_total_energy_wh",
    "solar_last_power_w",
];

proptest! {
    #[test]
    fn energy_is_conserved_and_counters_are_its_sums(seed: u64, index in 0..5_000_000_u32) {
        let mut device = Device::new(seed, index, MIDNIGHT_S);
        let (charge_max_w, discharge_max_w) = device.rated_power_w();
        let mut before = device.advance();
        for _ in 0..600 {
            let now = device.advance();
            prop_assert_eq!(now.start_s, before.end_s());
            let [charge, discharge, ..] = now.energy_mwh;
            prop_assert_eq!(before.stored_mwh + charge, now.stored_mwh + discharge);
            prop_assert!(now.stored_mwh <= now.capacity_mwh);
            prop_assert!(charge == 0 || discharge == 0);
            for (place, mwh) in now.energy_mwh.into_iter().enumerate() {
                prop_assert_eq!(now.counters_mwh[place], before.counters_mwh[place] + u64::from(mwh));
                prop_assert!(u64::from(now.power_mw[place]) <= u64::from(mwh) * 12);
            }
            prop_assert!(charge <= charge_max_w * 1_000 / 12);
            prop_assert!(discharge <= discharge_max_w * 1_000 / 12);
            before = now;
        }
    }

    /// The run's start must not show in what a device says of a moment.
    #[test]
    fn a_device_set_down_later_says_what_the_walker_says(
        seed: u64,
        index in 0..1_000_u32,
        intervals in 1..4_000_u32,
    ) {
        let mut walker = Device::new(seed, index, MIDNIGHT_S);
        for _ in 0..intervals {
            walker.advance();
        }
        let mut late = Device::new(seed, index, MIDNIGHT_S + intervals * INTERVAL_S);
        prop_assert_eq!(walker.advance(), late.advance());
    }

    #[test]
    fn every_point_of_a_body_has_what_the_contract_requires(
        seed: u64,
        points in 1..300_usize,
        older_shape: bool,
        is_counter: bool,
    ) {
        let kind = Kind::ALL[usize::from(is_counter)];
        let devices = (0..40).map(|index| Device::new(seed, index, MIDNIGHT_S)).collect();
        let mut ring = Ring::new(kind, devices, 0);
        let batch = ring.batch(points, older_shape, MIDNIGHT_S + 86_400).expect("a day of points");
        let body: Value = serde_json::from_slice(&batch.body()).expect("JSON");
        let telemetry = body["telemetry"].as_array().expect("an array");
        prop_assert_eq!(telemetry.len(), points);
        for (point, sent) in telemetry.iter().zip(batch.points()) {
            let time = if is_counter {
                prop_assert!(point.get("start_time").is_none());
                &point["timestamp"]
            } else {
                let place = if point.get("start_time").is_some() { point } else { &body };
                prop_assert_eq!(&place["duration_s"], INTERVAL_S);
                &place["start_time"]
            };
            let time: jiff::Timestamp = time.as_str().expect("text").parse().expect("RFC 3339");
            prop_assert_eq!(time.as_second(), i64::from(sent.time_s));
            prop_assert_eq!(&point["device_id"], &sent.device_id());
            if point["last_is_online"] == true {
                for field in REQUIRED {
                    prop_assert!(!point[field].is_null(), "{} is missing", field);
                }
                let soc = point["battery_last_state_of_charge_percentage"].as_f64();
                prop_assert!(soc.is_some_and(|soc| (0.0..=100.0).contains(&soc)));
            } else if is_counter {
                prop_assert_eq!(point.get("home_total_energy_wh"), Some(&Value::Null));
            }
        }
    }
}

#[test]
fn numbers_are_exact_and_a_counter_body_carries_the_counters() {
    let mut device = Device::new(7, 1, MIDNIGHT_S);
    let mut twin = device.clone();
    let interval = twin.advance();
    let body = body(Kind::BatteryCounter, std::slice::from_mut(&mut device), 1);
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let written = body["telemetry"][0]["home_total_energy_wh"].to_string();
    let mwh = interval.counters_mwh[2];
    let expected = format!("{}.{:03}", mwh / 1_000, mwh % 1_000);
    assert_eq!(written, expected.trim_end_matches('0').trim_end_matches('.'));
    assert!(mwh > 1_000_000_000, "a home of some years has used more than a MWh");
}

#[test]
fn a_point_is_about_650_bytes_and_all_shapes_occur() {
    let mut devices: Vec<_> = (0..100).map(|index| Device::new(7, index, MIDNIGHT_S)).collect();
    let text = String::from_utf8(body(Kind::Battery, &mut devices, 28_800)).expect("UTF-8");
    let bytes_a_point = text.len() / 28_800;
    assert!((600..700).contains(&bytes_a_point), "{bytes_a_point} bytes a point");
    for part in [
        "\"last_is_online\":false",
        "\"oem_raw_data\":{",
        "\"last_is_grid_online\":false",
        "\"last_mode\":null",
        "\"BACKUP\"",
        "\"CHARGE\"",
        "\"DISCHARGE\"",
        "\"SAVINGS\"",
        "\"SELF_CONSUMPTION\"",
        "\"STANDBY\"",
        "+00:00\"",
        ".000Z\"",
    ] {
        assert!(text.contains(part), "{part}");
    }
}

#[test]
fn part_of_a_batch_has_the_same_bytes() {
    let devices = (0..10).map(|index| Device::new(7, index, MIDNIGHT_S)).collect();
    let mut ring = Ring::new(Kind::Battery, devices, 500);
    let batch = ring.batch(25, true, MIDNIGHT_S + 86_400).expect("points");
    let part = batch.only(&[0, 7, 24]);
    let whole: Value = serde_json::from_slice(&batch.body()).expect("JSON");
    let body: Value = serde_json::from_slice(&part.body()).expect("JSON");
    assert_eq!(body["start_time"], whole["start_time"]);
    for (place, index) in [0, 7, 24].into_iter().enumerate() {
        assert_eq!(body["telemetry"][place], whole["telemetry"][index]);
        assert_eq!(part.points()[place], batch.points()[index]);
    }
    assert_eq!(batch.only(&(0..25).collect::<Vec<_>>()).body(), batch.body());
}

#[test]
fn every_flaw_shows_in_the_point() {
    let mut device = Device::new(7, 0, MIDNIGHT_S);
    let interval = std::iter::repeat_with(|| device.advance())
        .find(|interval| interval.is_online)
        .expect("an online interval");
    for flaw in Flaw::ALL {
        let mut batch = Batch::new(Kind::Battery, 1);
        batch.push(&interval, Some(flaw));
        batch.finish();
        let body: Value = serde_json::from_slice(&batch.body()).expect("JSON");
        let point = &body["telemetry"][0];
        let shows = match flaw {
            Flaw::UnknownDevice => point["device_id"] == "nobody-000001",
            Flaw::NegativeNumber => point["home_last_power_w"] == -1,
            Flaw::MissingField => point.get("battery_last_stored_energy_wh").is_none(),
            Flaw::StateOfChargeOver100 => point["battery_last_state_of_charge_percentage"] == 130,
        };
        assert!(shows, "{flaw:?}");
        assert_eq!(point["device_id"], batch.points()[0].device_id());
    }
}

#[test]
fn a_ring_stops_at_the_present() {
    let devices = (0..3).map(|index| Device::new(7, index, MIDNIGHT_S)).collect();
    let mut ring = Ring::new(Kind::BatteryCounter, devices, 0);
    let batch = ring.batch(1_000, false, MIDNIGHT_S + 3_600).expect("an hour");
    assert_eq!(batch.points().len(), 36);
    assert_eq!(batch.points()[35].time_s, MIDNIGHT_S + 3_600);
    assert!(ring.batch(1, false, MIDNIGHT_S + 3_899).is_none());
    assert!(ring.batch(1, false, MIDNIGHT_S + 3_900).is_some());
}
