//! A fleet of the size that the directory is laid out for.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use wattline_directory::parse_lines;
use wattline_wire::device_hash;

use crate::bench::{Bench, authenticate, caller};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_fleet_loads_quickly_and_stays_small() {
    load_fleet(200_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo test --release -p wattline-directory --test it -- --ignored five_million"]
async fn five_million_devices_load_in_half_a_minute() {
    let loaded = load_fleet(5_000_000).await;
    assert!(loaded < Duration::from_secs(30), "{loaded:?}");
}

/// Imports a fleet, loads it and looks it up, and returns how long the load took.
#[expect(clippy::print_stdout, reason = "the measured figures are read by people")]
async fn load_fleet(devices: u32) -> Duration {
    let bench = Bench::sqlite().await;
    let token = bench.token("fleet").await;
    // Every fourth id is a UUID's length, which does not fit into an entry.
    let id = |device: u32| match device % 4 {
        0 => format!("6f1c2d3e-4b5a-6978-8796-a5b4{device:08}"),
        _ => format!("bat-{device:07}"),
    };
    let started = Instant::now();
    let lines = (0..devices).map(|device| {
        let mut line = String::new();
        let _ = write!(
            line,
            r#"{{"client":"fleet","site_id":"site-{}","device_id":"{}","manufacturer_name":"M","battery_power_input_w":5000,"battery_power_output_w":{}}}"#,
            device / 2,
            id(device),
            device % 9000 + 1
        );
        parse_lines(line.as_bytes()).next().expect("a line")
    });
    let report = bench.directory.import_devices(lines).await.expect("imports");
    assert_eq!(report.changed, u64::from(devices));
    let imported = started.elapsed();

    let started = Instant::now();
    let follower = bench.follow().await;
    let loaded = started.elapsed();
    let snapshot = follower.snapshot();
    let size = snapshot.size();
    assert_eq!(size.devices, devices as usize);
    assert_eq!(size.sites, devices.div_ceil(2) as usize);
    // Every second device brings a site, which is counted in.
    let bytes_per_device = (size.device_bytes + size.site_bytes) as f64 / f64::from(devices);

    let client = caller(&snapshot, &token);
    let asked: Vec<_> = (0..200_000u32).map(|n| id(n.wrapping_mul(0x9E37_79B1) % devices)).collect();
    let started = Instant::now();
    let found = asked.iter().filter(|id| snapshot.device(&client, id).is_some()).count();
    let looked_up = started.elapsed();
    assert_eq!(found, asked.len());
    let started = Instant::now();
    let mut found = 0;
    for request in asked.chunks(1000) {
        let hashes: Vec<_> = request.iter().map(|id| device_hash("fleet", id)).collect();
        let view = snapshot.devices();
        let points = hashes.iter().zip(request);
        found += points.filter(|(hash, id)| view.get(**hash, client.index, id).is_some()).count();
    }
    let looked_up_together = started.elapsed();
    assert_eq!(found, asked.len());
    let started = Instant::now();
    for _ in 0..10_000 {
        assert!(authenticate(&snapshot, token.expose()).is_ok());
    }
    let authenticated = started.elapsed();

    println!(
        "{devices} devices: import {imported:.1?}, load {loaded:.1?} ({} ns and {bytes_per_device:.1} bytes a device), \
         look-up {} ns alone and {} ns by request, authenticate {} ns",
        loaded.as_nanos() / u128::from(devices),
        looked_up.as_nanos() / asked.len() as u128,
        looked_up_together.as_nanos() / asked.len() as u128,
        authenticated.as_nanos() / 10_000,
    );
    assert!(bytes_per_device < 150.0, "{bytes_per_device} bytes a device");
    loaded
}
