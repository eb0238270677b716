//! The rules about numbers, and about which of them a point must have.

use wattline_model::{COUNTERS, Kind, Quantity, REQUIRED_ONLINE};

use crate::support::{Draft, decode, line, wrapped};

const BOTH: [Kind; 2] = [Kind::Battery, Kind::BatteryCounter];

/// All quantities follow one of two rules; one of each is written out, and the others must say the same.
#[test]
fn quantities() {
    const VALUES: [&str; 17] = [
        "null",
        "0",
        "-0",
        "-0.0",
        "0.0004",
        "0.0005",
        "1250.5",
        "12.50e2",
        "100",
        "100.0004",
        "100.001",
        "1000000000000",
        "1000000000000.001",
        "1e400",
        "-1",
        "-1e-400",
        "\"7\"",
    ];
    let changes = |quantity: Quantity| VALUES.map(|value| (quantity.name(), value));
    for kind in BOTH {
        for quantity in Quantity::ALL {
            // The counters of a reading come together; their values are checked one by one all the same.
            let mut base = Draft::offline(kind);
            for counter in COUNTERS {
                base.set(counter.name(), "1");
            }
            let points: Vec<String> = changes(quantity)
                .iter()
                .map(|(field, value)| base.clone().set(field, value).text())
                .collect();
            let like = if quantity.is_percentage() { PERCENTAGE } else { AMOUNT };
            let body = wrapped(&points);
            let got = decode(kind, body.as_bytes()).unwrap();
            for ((value, got), want) in VALUES.iter().zip(&got).zip(like.lines()) {
                let got = match got {
                    Ok(point) => match point.quantities.get(quantity) {
                        Some(thousandths) => thousandths.to_string(),
                        None => "none".into(),
                    },
                    Err(_) => line(got),
                };
                let all_four = kind == Kind::BatteryCounter && COUNTERS.contains(&quantity);
                let want = if *value == "null" && all_four {
                    "FAILED FIELD must be given with the other three counters, or all four null"
                } else {
                    want
                };
                assert_eq!(got, want.replace("FIELD", quantity.name()), "{kind:?} {quantity:?} {value}");
            }
        }
    }
}

const AMOUNT: &str = "\
none
0
0
0
0
1
1250500
1250000
100000
100000
100001
1000000000000000
FAILED FIELD must be at most 1000000000000
FAILED FIELD must be at most 1000000000000
FAILED FIELD must be at least 0
FAILED FIELD must be at least 0
FAILED FIELD must be a number";

const PERCENTAGE: &str = "\
none
0
0
0
0
1
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
100000
100000
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
FAILED FIELD must be from 0 to 100
FAILED FIELD must be a number";

#[test]
fn a_device_that_is_online_says_everything_that_is_not_optional() {
    let required: Vec<&str> =
        REQUIRED_ONLINE.iter().map(|quantity| quantity.name()).chain(["last_is_grid_online"]).collect();
    for kind in BOTH {
        for field in &required {
            for value in ["", "null"] {
                let body = wrapped(&[Draft::online(kind).set(field, value).text()]);
                let point = decode(kind, body.as_bytes()).unwrap().remove(0);
                assert_eq!(
                    line(&point),
                    format!("FAILED {field} is required when last_is_online is true"),
                    "{kind:?} {value:?}"
                );
            }
        }
        // The optional and the deprecated ones may be missing or null.
        let mut draft = Draft::online(kind);
        for optional in Quantity::ALL.iter().filter(|quantity| quantity.is_percentage()) {
            draft.set(optional.name(), "null");
        }
        draft.set("last_mode", "null").set("oem_raw_data", "null");
        let body = wrapped(&[Draft::online(kind).text(), draft.text()]);
        let points = decode(kind, body.as_bytes()).unwrap();
        assert_eq!(line(&points[0]), line(&points[1]));
        assert!(points[0].is_ok(), "{}", line(&points[0]));
    }
}

#[test]
fn an_offline_reading_has_all_four_counters_or_none() {
    for mask in 0..16u32 {
        let mut draft = Draft::offline(Kind::BatteryCounter);
        for (at, counter) in COUNTERS.iter().enumerate() {
            let given = mask & (1 << at) != 0;
            // What is not given is absent or null, in turn.
            draft.set(counter.name(), if given { "5" } else { ["", "null"][at % 2] });
        }
        let body = wrapped(&[draft.text()]);
        let point = decode(Kind::BatteryCounter, body.as_bytes()).unwrap().remove(0);
        if mask == 0 || mask == 15 {
            let point = point.unwrap();
            assert_eq!(point.quantities.counters(), (mask == 15).then_some([5_000; 4]));
        } else {
            let missing = COUNTERS[mask.trailing_ones() as usize].name();
            assert_eq!(
                line(&point),
                format!("FAILED {missing} must be given with the other three counters, or all four null")
            );
        }
        // An interval of a device that is offline may have any of them.
        let body = wrapped(&[draft.text().replace("timestamp", "duration_s\":300,\"start_time")]);
        assert!(decode(Kind::Battery, body.as_bytes()).unwrap()[0].is_ok());
    }
}
