//! Processes that end under load, gently or not: nothing is lost and nothing is there twice.

use std::time::Duration;

use crate::load::{check_ledger, import_fleet, start_fleet};
use crate::process::until;
use crate::site::{Site, Worker};
use crate::stored::Table;

pub const STOP_DEADLINE: Duration = Duration::from_secs(30);
const PROGRESS_DEADLINE: Duration = Duration::from_secs(30);
const SECONDS: u32 = 9;
const POINTS_PER_S: f64 = 3_000.0;

/// Waits until the worker has stored some points of this load.
fn wait_for_points(worker: &Worker, points: f64) {
    until("the worker makes progress", PROGRESS_DEADLINE, || {
        (worker.ops.metric("wattline_worker_points_total", &[]) >= points).then_some(())
    });
}

#[test]
fn a_worker_that_is_stopped_or_killed_goes_on_where_it_was() {
    let site = Site::new("worker_restart");
    let token = site.token("demo");
    import_fleet(&site);
    let gateway = site.gateway(&[]);
    let mut worker = site.worker(&[]);
    let fleet = start_fleet(gateway.address, &token, SECONDS, POINTS_PER_S);

    wait_for_points(&worker, 2_000.0);
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
    for _ in 0..2 {
        worker = site.worker(&[]);
        wait_for_points(&worker, 1_000.0);
        worker.process.kill9();
        assert!(!worker.process.wait(STOP_DEADLINE).success());
    }
    let _worker = site.worker(&[]);
    let outcome = fleet.join().expect("the fleet");
    site.wait_until_stored();
    check_ledger(&site, &outcome);
}

#[test]
fn a_gateway_that_is_stopped_or_killed_keeps_its_word() {
    let site = Site::new("gateway_restart");
    let token = site.token("demo");
    import_fleet(&site);
    let mut gateway = site.gateway(&[]);
    let address = gateway.address;
    let _worker = site.worker(&[]);
    let fleet = start_fleet(address, &token, SECONDS, POINTS_PER_S);
    let listen = address.to_string();
    let same: &[(&str, &str)] = &[("WATTLINE_GATEWAY_LISTEN", &listen)];

    for is_gentle in [true, false] {
        until("the gateway answers points", PROGRESS_DEADLINE, || {
            let ok = gateway.ops.metric("wattline_gateway_points_total", &["outcome=\"ok\""]);
            (ok >= 2_000.0).then_some(())
        });
        if is_gentle {
            gateway.process.term();
        } else {
            gateway.process.kill9();
        }
        let status = gateway.process.wait(STOP_DEADLINE);
        assert_eq!(status.success(), is_gentle, "{status}");
        gateway = site.gateway(same);
    }
    let outcome = fleet.join().expect("the fleet");
    site.wait_until_stored();
    check_ledger(&site, &outcome);
}

#[test]
fn a_worker_that_is_stopped_under_load_leaves_all_it_took_in_both_sinks() {
    let site = Site::new("worker_stop");
    let token = site.token("demo");
    import_fleet(&site);
    // Nothing would be written by its age: what is stored at the end is stored by the stop.
    let long: &[(&str, &str)] =
        &[("WATTLINE_WORKER_FLUSH_MS", "100000"), ("WATTLINE_PARQUET_FILE_AGE_MAX_MS", "100000")];
    let mut gateway = site.gateway(&[]);
    let mut worker = site.worker(long);
    let fleet = start_fleet(gateway.address, &token, 4, POINTS_PER_S);
    let outcome = fleet.join().expect("the fleet");
    gateway.process.term();
    assert!(gateway.process.wait(STOP_DEADLINE).success());
    until("the worker takes records", PROGRESS_DEADLINE, || {
        (worker.ops.metric("wattline_worker_consumer_lag_records", &[]) > 0.0).then_some(())
    });
    for sink in ["sink=\"clickhouse\"", "sink=\"parquet\""] {
        until("the oldest record is told", PROGRESS_DEADLINE, || {
            (worker.ops.metric("wattline_worker_oldest_unstored_seconds", &[sink]) > 0.0).then_some(())
        });
    }
    assert_eq!(site.ask("SELECT count() FROM intervals"), "0");
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
    assert_ne!(site.ask("SELECT count() FROM intervals"), "0", "the stop wrote what it had");
    assert_ne!(site.parquet_rows(Table::Intervals, &["end_time"]).len(), 0);

    // What the stop did not reach is done by the next one, and by nothing else.
    let _worker = site.worker(&[]);
    site.wait_until_stored();
    check_ledger(&site, &outcome);
}
