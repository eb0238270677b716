//! The fleet on a gateway, and its ledger against both sinks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use wattline_fleet::fleet::{Order, import_line};
use wattline_fleet::run::{BatchSize, Outcome, Settings, run};
use wattline_fleet::target::Target;

use crate::points::{now_ms, table_time};
use crate::site::Site;
use crate::stored::{Row, Table, thousandths, value};

pub const DEVICES: u32 = 240;
const SEED: u64 = 7;

const ENERGIES: [&str; 4] = [
    "battery_total_energy_charge_wh",
    "battery_total_energy_discharge_wh",
    "home_total_energy_wh",
    "solar_total_energy_wh",
];
const QUALITIES: [&str; 4] = [
    "battery_total_energy_charge_quality",
    "battery_total_energy_discharge_quality",
    "home_total_energy_quality",
    "solar_total_energy_quality",
];

pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub fn import_fleet(site: &Site) {
    let lines: Vec<String> =
        (0..DEVICES).map(|index| import_line(SEED, index, "demo").expect("a line")).collect();
    site.import_lines(&lines.join("\n"));
}

/// Posts for so many seconds, on a thread of its own.
pub fn start_fleet(gateway: SocketAddr, token: &str, seconds: u32, points_per_s: f64) -> JoinHandle<Outcome> {
    start_fleet_until(gateway, token, seconds, points_per_s, std::future::pending())
}

/// Posts until `enough`, and for so many seconds at most.
pub fn start_fleet_until(
    gateway: SocketAddr,
    token: &str,
    seconds: u32,
    points_per_s: f64,
    enough: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<Outcome> {
    let settings = Settings {
        target: Target::parse(&format!("http://{gateway}")).expect("a target on this machine"),
        token: token.to_owned(),
        seed: SEED,
        devices: DEVICES,
        gateways: 8,
        seconds,
        points_per_s: Some(points_per_s),
        requests_max: None,
        batch: BatchSize::Mixed,
        bad_permille: 5,
        resend_max: 100,
        drain_s: 60,
        request_timeout_ms: 20_000,
        slow_answers_ms: 0,
        now_s: (now_ms() / 1_000) as u32,
        hours_back: 24,
        order: Order::InTurn,
        reconnect_every_s: 0,
        keep_entries: true,
    };
    thread::spawn(move || runtime().block_on(run(settings, enough, |_| ())).expect("the fleet runs"))
}

/// Every point that was answered OK is in both sinks, once; what else is there may be there. The derived
/// intervals are exactly the consecutive pairs of the readings.
#[track_caller]
pub fn check_ledger(site: &Site, outcome: &Outcome) {
    let report = &outcome.report;
    assert!(report.is_sound(), "{report:#?}");
    assert!(report.points_ok > 1_000, "{report:#?}");
    assert_eq!((report.bad_points_ok, report.good_points_failed), (0, 0), "{report:#?}");

    let mut columns = vec!["start_time", "gap"];
    columns.extend(ENERGIES);
    columns.extend(QUALITIES);
    let intervals = site.rows(Table::Intervals, &columns);
    let readings = site.rows(Table::Readings, &ENERGIES);
    let (reported, derived): (Vec<&Row>, Vec<&Row>) =
        intervals.iter().partition(|row| value(row, "source") == "REPORTED");

    let mut lines = Vec::new();
    outcome.ledger.write(&mut lines).expect("lines in memory");
    let mut ok = BTreeSet::new();
    let mut possible = BTreeSet::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Value = serde_json::from_slice(line).expect("a line of the ledger");
        let time: Timestamp = line["time"].as_str().and_then(|time| time.parse().ok()).expect("a time");
        let text = |field: &str| line[field].as_str().expect("a text").to_owned();
        let point = (text("endpoint"), text("device_id"), table_time(time.as_millisecond()));
        if line["status"] == "OK" {
            ok.insert(point.clone());
        }
        if line["status"] == "OK" || line["maybe_stored"] == true {
            possible.insert(point);
        }
    }
    assert_eq!(ok.len() as u64, report.points_ok);
    let of = |row: &Row, endpoint: &str, time: &str| {
        (endpoint.to_owned(), value(row, "device_id").to_owned(), value(row, time).to_owned())
    };
    let stored: BTreeSet<_> = reported
        .iter()
        .map(|row| of(row, "BATTERY", "start_time"))
        .chain(readings.iter().map(|row| of(row, "BATTERY_COUNTER", "timestamp")))
        .collect();
    assert_eq!(stored.len(), reported.len() + readings.len(), "a point is there twice");
    let lost: Vec<_> = ok.difference(&stored).take(10).collect();
    assert!(lost.is_empty(), "answered OK and not stored: {lost:?}");
    let surplus: Vec<_> = stored.difference(&possible).take(10).collect();
    assert!(surplus.is_empty(), "stored and never posted: {surplus:?}");
    assert_eq!(site.ask("SELECT count() FROM rejected"), "0");
    check_derived(&readings, &derived);

    let audit = site.audit();
    let points = stored.len() as u64;
    assert_eq!((audit.clickhouse, audit.parquet, audit.rejected), (points, points, 0), "{audit:?}");
    assert_eq!(audit.kafka, points + audit.duplicates, "{audit:?}");
}

/// The derived intervals against the readings, from scratch.
#[track_caller]
fn check_derived(readings: &[Row], derived: &[&Row]) {
    let mut chains = BTreeMap::<&str, BTreeMap<&str, [i64; 4]>>::new();
    for reading in readings.iter().filter(|row| value(row, "in_chain") == "true") {
        let counters = ENERGIES.map(|column| thousandths(reading, column));
        chains.entry(value(reading, "device_id")).or_default().insert(value(reading, "timestamp"), counters);
    }
    let mut pairs = BTreeMap::new();
    for (device, chain) in &chains {
        for ((start, before), (end, after)) in chain.iter().zip(chain.iter().skip(1)) {
            let energy: [i64; 4] = std::array::from_fn(|counter| after[counter] - before[counter]);
            pairs.insert((*device, *start, *end), energy);
        }
    }
    assert!(pairs.len() > 100, "{} intervals are few", pairs.len());
    assert_eq!(derived.len(), pairs.len());
    for row in derived {
        let key = (value(row, "device_id"), value(row, "start_time"), value(row, "end_time"));
        let energy =
            pairs.get(&key).unwrap_or_else(|| panic!("no two readings follow each other so: {row:?}"));
        for counter in 0..4 {
            if ["VALID", "JITTER"].contains(&value(row, QUALITIES[counter])) {
                assert_eq!(thousandths(row, ENERGIES[counter]), energy[counter], "{row:?}");
            }
        }
    }
}
