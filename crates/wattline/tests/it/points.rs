//! The clock, and the JSON of points and requests.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::http::{Answer, Request};

pub const MINUTE_MS: i64 = 60_000;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;

pub const BATTERY: &str = "/v1/telemetry/BATTERY";
pub const COUNTER: &str = "/v1/telemetry/BATTERY_COUNTER";

pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// The last whole second before so many milliseconds ago.
pub fn ago_ms(ago_ms: i64) -> i64 {
    (now_ms() - ago_ms) / 1_000 * 1_000
}

pub fn rfc3339(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).expect("a time").to_string()
}

/// A time as the tables show it.
pub fn table_time(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).expect("a time").strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// A POST with all that a right one has, but for its body.
pub fn post(path: &str, token: &str) -> Request {
    Request::new("POST", path)
        .header("Authorization", &format!("Bearer {token}"))
        .header("Content-Type", "application/json")
}

pub fn post_points(path: &str, token: &str, points: &[Value]) -> Request {
    post(path, token).json(&json!({ "telemetry": points }))
}

/// An interval of five minutes with every field that an online one must have.
pub fn interval(device: &str, start_ms: i64) -> Value {
    let mut point = state(device, [100, 0, 250, 150].map(|wh| json!(wh)));
    point["start_time"] = json!(rfc3339(start_ms));
    point["duration_s"] = json!(300);
    point
}

/// A counter reading; the counters are battery charge, battery discharge, home, solar.
pub fn reading(device: &str, at_ms: i64, counters_wh: [f64; 4]) -> Value {
    let mut point = state(device, counters_wh.map(|wh| json!(wh)));
    point["timestamp"] = json!(rfc3339(at_ms));
    point
}

fn state(device: &str, [charge, discharge, home, solar]: [Value; 4]) -> Value {
    json!({
        "device_id": device,
        "last_is_online": true,
        "last_is_grid_online": true,
        "battery_last_power_charge_w": 1200,
        "battery_last_power_discharge_w": 0,
        "battery_total_energy_charge_wh": charge,
        "battery_total_energy_discharge_wh": discharge,
        "battery_last_stored_energy_wh": 8100,
        "battery_last_capacity_energy_wh": 13500,
        "home_total_energy_wh": home,
        "home_last_power_w": 3000,
        "solar_total_energy_wh": solar,
        "solar_last_power_w": 1800,
    })
}

/// An answer's messages, one a point; the empty one is an OK.
#[track_caller]
pub fn messages(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let Value::Array(entries) = answer.json() else { panic!("no array: {}", answer.text()) };
    let message = |entry: &Value| {
        let Value::Object(members) = entry else { panic!("no object: {entry}") };
        assert_eq!(members.len(), 2, "status and message, nothing else: {entry}");
        let message = entry["message"].as_str().expect("a message").to_owned();
        assert_eq!(entry["status"] == "OK", message.is_empty(), "{entry}");
        assert!(entry["status"] == "OK" || entry["status"] == "FAILED", "{entry}");
        message
    };
    entries.iter().map(message).collect()
}

/// Every point of the answer is OK.
#[track_caller]
pub fn all_ok(answer: &Answer, points: usize) {
    assert_eq!(messages(answer), vec![""; points]);
}
