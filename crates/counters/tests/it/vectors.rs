use serde::Deserialize;
use wattline_counters::{GAP_MS, SLACK_MS, TOLERANCE_MS};
use wattline_model::{COUNTERS, Limits};

use crate::naive::{Device, reading};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    slack_ms: i64,
    tolerance_ms: i64,
    gap_ms: i64,
    counters: [String; 4],
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    why: String,
    limit_w: [u32; 4],
    modulus_wh: Option<[Option<f64>; 4]>,
    batches: Vec<Vec<Given>>,
    intervals: Vec<Expected>,
    rejected: Vec<Rejected>,
    rows_emitted: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    timestamp_ms: i64,
    counters_wh: Option<[f64; 4]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    start_ms: i64,
    end_ms: i64,
    energy_wh: [Option<f64>; 4],
    quality: [String; 4],
    gap: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejected {
    timestamp_ms: i64,
    counters_wh: [f64; 4],
    reason: String,
}

fn mwh(wh: f64) -> i64 {
    (wh * 1_000.0).round() as i64
}

#[test]
fn every_vector_gives_its_intervals_its_rejected_and_its_row_count() {
    let file: File = serde_json::from_str(include_str!("vectors.json")).expect("the vectors parse");
    assert_eq!((file.slack_ms, file.tolerance_ms, file.gap_ms), (SLACK_MS, TOLERANCE_MS, GAP_MS));
    assert_eq!(file.counters, COUNTERS.map(|quantity| quantity.name().to_owned()));
    assert!(file.vectors.len() >= 16);

    for vector in file.vectors {
        let context = format!("{}: {}", vector.name, vector.why);
        let [battery_charge_w, battery_discharge_w, home_w, solar_w] = vector.limit_w;
        let modulus = vector.modulus_wh.and_then(|modulus| modulus[0]);
        let limits = Limits {
            battery_charge_w,
            battery_discharge_w,
            home_w,
            solar_w,
            modulus_mwh: modulus.map_or(0, |wh| mwh(wh) as u64),
        };
        let mut device = Device::default();
        for batch in &vector.batches {
            let readings: Vec<_> = batch
                .iter()
                .filter_map(|given| Some(reading(given.timestamp_ms, given.counters_wh?.map(mwh), limits)))
                .collect();
            device.batch(&readings);
        }

        let intervals = device.table.intervals();
        assert_eq!(intervals.len(), vector.intervals.len(), "{context}");
        for (got, want) in intervals.iter().zip(&vector.intervals) {
            assert_eq!(
                (got.start_ms, got.end_ms, got.gap),
                (want.start_ms, want.end_ms, want.gap),
                "{context}"
            );
            assert_eq!(got.energy_mwh, want.energy_wh.map(|wh| wh.map(mwh)), "{context}");
            assert_eq!(
                got.quality.map(|quality| quality.name()),
                want.quality.each_ref().map(|q| &q[..]),
                "{context}"
            );
        }
        let rejected: Vec<_> = vector
            .rejected
            .iter()
            .inspect(|rejected| assert_eq!(rejected.reason, "EQUAL_TIMESTAMP_CONFLICT"))
            .map(|rejected| (rejected.timestamp_ms, rejected.counters_wh.map(mwh)))
            .collect();
        assert_eq!(device.table.rejected, rejected, "{context}");
        assert_eq!(device.table.rows_emitted, vector.rows_emitted, "{context}");
    }
}
