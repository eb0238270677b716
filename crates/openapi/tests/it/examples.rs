//! What is shown as an example is accepted by the code that serves the endpoint.

use serde_json::Value;
use wattline_auth::policy::{ENDPOINTS, Native, Service};
use wattline_directory::api::{Commission, DeviceChange, SiteChange};
use wattline_model::{Kind, Point};
use wattline_wire::{Bounds, Decoder, Invalid, PointSink};

use crate::document::document;

/// The bodies that the document shows for an endpoint.
fn examples(native: Native) -> Vec<Value> {
    let document = document();
    let endpoint = ENDPOINTS.iter().find(|row| row.service == Service::Native(native)).expect("a row");
    let operation = &document["paths"][endpoint.template][endpoint.method.name().to_ascii_lowercase()];
    let examples = operation["requestBody"]["content"]["application/json"]["examples"].as_object();
    let examples: Vec<Value> =
        examples.expect("examples").values().map(|example| example["value"].clone()).collect();
    assert!(!examples.is_empty());
    examples
}

#[derive(Default)]
struct Points(Vec<Result<Point<'static>, Invalid>>);

impl<'a> PointSink<'a> for Points {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        self.0.push(point.map(Point::into_owned));
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

#[test]
fn the_decoder_takes_the_points() {
    let at: jiff::Timestamp = "2026-11-24T04:20:00Z".parse().expect("a time");
    let now_ms = at.as_millisecond();
    let bounds = Bounds { oldest_ms: now_ms - 3_600_000, newest_ms: now_ms };
    let kinds =
        [(Native::TelemetryBattery, Kind::Battery), (Native::TelemetryBatteryCounter, Kind::BatteryCounter)];
    for (native, kind) in kinds {
        let (mut online, mut offline) = (0, 0);
        for example in examples(native) {
            let body = example.to_string();
            let mut points = Points::default();
            Decoder::new(kind).decode(body.as_bytes(), bounds, &mut points).expect("a body");
            assert_eq!(points.0.len(), example["telemetry"].as_array().expect("points").len());
            for point in points.0 {
                let point = point.unwrap_or_else(|invalid| panic!("{invalid} in {body}"));
                if point.last_is_online { online += 1 } else { offline += 1 }
            }
        }
        assert!(online > 0 && offline > 0, "both are shown");
    }
}

#[test]
fn the_directory_takes_the_bodies() {
    for example in examples(Native::Commission) {
        let commission = Commission::parse(example.to_string().as_bytes()).expect("a commissioning");
        assert!(!commission.devices.is_empty());
    }
    for example in examples(Native::PatchSite) {
        let change = SiteChange::parse(example.to_string().as_bytes(), "s").expect("a change");
        assert_ne!(change, SiteChange::default());
    }
    for example in examples(Native::PatchDevice) {
        let change = DeviceChange::parse(example.to_string().as_bytes(), "s", "d").expect("a change");
        assert_ne!(change, DeviceChange::default());
    }
}
