//! A bad point costs itself and no other; and the simulated fleet, which is no part of this crate, is
//! understood in full.

use proptest::prelude::*;
use wattline_model::Kind;

use crate::support::{Draft, decode, line, wrapped};

/// One change that makes a good point a bad one, and the field that its message names.
const FLAWS: [(&str, &str); 10] = [
    ("device_id", "\"\""),
    ("device_id", "\"a\\u0000\""),
    ("last_is_online", "1"),
    ("last_is_grid_online", "null"),
    ("last_mode", "\"x\""),
    ("oem_raw_data", "[]"),
    ("home_last_power_w", "-1"),
    ("solar_total_energy_wh", ""),
    ("battery_last_state_of_charge_percentage", "100.001"),
    ("battery_last_capacity_energy_wh", "1e400"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn exactly_the_bad_point_fails(
        kind in prop_oneof![Just(Kind::Battery), Just(Kind::BatteryCounter)],
        bad in 0..1_000usize,
        (field, value) in proptest::sample::select(FLAWS.to_vec()),
    ) {
        let points: Vec<String> = (0..1_000)
            .map(|at| {
                let mut draft = Draft::online(kind);
                draft.set("device_id", &format!("\"bat-{at}\""));
                if at == bad {
                    draft.set(field, value);
                }
                draft.text()
            })
            .collect();
        let body = wrapped(&points);
        let points = decode(kind, body.as_bytes()).unwrap();
        prop_assert_eq!(points.len(), 1_000);
        for (at, point) in points.iter().enumerate() {
            match point {
                Ok(point) => prop_assert_eq!(&point.device_id, &format!("bat-{at}")),
                Err(invalid) => prop_assert_eq!((at, invalid.field.name()), (bad, field), "{}", line(&points[at])),
            }
        }
        prop_assert!(points[bad].is_err());
    }
}

#[test]
fn the_simulated_fleet_is_understood_in_full() {
    for (kind, fleet_kind) in [
        (Kind::Battery, wattline_fleet::fleet::Kind::Battery),
        (Kind::BatteryCounter, wattline_fleet::fleet::Kind::BatteryCounter),
    ] {
        let body = fleet_body(fleet_kind, 1_000);
        let points = decode(kind, &body).unwrap();
        assert_eq!(points.len(), 1_000);
        for point in &points {
            assert!(point.is_ok(), "{}", line(point));
        }
    }
}

/// A body of the fleet whose points lie within the bounds of the tests.
pub fn fleet_body(kind: wattline_fleet::fleet::Kind, points: usize) -> Vec<u8> {
    const DEVICES: u32 = 100;
    let from_s = (crate::support::NOW_MS / 1_000) as u32 - 86_400;
    let mut devices: Vec<_> =
        (0..DEVICES).map(|index| wattline_fleet::fleet::Device::new(7, index, from_s)).collect();
    wattline_fleet::fleet::body(kind, &mut devices, points)
}
