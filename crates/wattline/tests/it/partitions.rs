//! Partitions are added to topics in use: no device changes its own, so chains and versions go on.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::http::exchange;
use crate::points::{COUNTER, HOUR_MS, MINUTE_MS, ago_ms, messages, post_points, reading};
use crate::process::until;
use crate::site::{Keys, Site, failure};

const DEADLINE: Duration = Duration::from_secs(60);
/// What takes five minutes elsewhere: clients of Kafka ask anew what a topic is like.
const QUICK: Keys<'_> = &[("WATTLINE_KAFKA_PROPERTIES", "\"topic.metadata.refresh.interval.ms\" = \"500\"")];

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number}")).collect()
}

fn import(site: &Site, devices: &[String]) {
    let devices: Vec<&str> = devices.iter().map(String::as_str).collect();
    site.import("demo", &devices);
}

/// Readings of all devices at so many minutes after the beginning, by the minute, until each is OK.
fn post(gateway: SocketAddr, token: &str, began_ms: i64, devices: &[String], minutes: &[i64]) {
    let points: Vec<Value> = devices
        .iter()
        .flat_map(|device| minutes.iter().map(move |minute| (device, *minute)))
        .map(|(device, minute)| {
            let counter = |step: i64| (10_000 + minute * step) as f64 / 8.0;
            reading(device, began_ms + minute * MINUTE_MS, [80, 24, 16, 8].map(counter))
        })
        .collect();
    let request = post_points(COUNTER, token, &points);
    until("all readings are OK", DEADLINE, || {
        messages(&exchange(gateway, &request)).iter().all(String::is_empty).then_some(())
    });
}

fn partitions(site: &Site) -> Vec<u32> {
    let counts = wattline_kafka::partition_counts(&site.kafka()).expect("the topics");
    ["intervals", "counters"].map(|of| counts[&site.topic(of)] as u32).to_vec()
}

fn wait_for_exact_audit(site: &Site) {
    until("both sinks have everything", DEADLINE, || {
        site.output(&["audit", "--json", "--complete"]).status.success().then_some(())
    });
}

#[test]
fn partitions_are_added_and_every_chain_goes_on() {
    let site = Site::new("partitions");
    let token = site.token("demo");
    let began_ms = ago_ms(2 * HOUR_MS);
    let (old, between, new) = (names("old", 12), names("between", 6), names("new", 24));
    import(&site, &old);
    let first = site.gateway(QUICK);
    let _worker = site.worker(QUICK);
    post(first.address, &token, began_ms, &old, &[0, 5]);

    assert!(failure(&site, &[], &["partitions", "use"]).contains("no partitions were added"));
    assert!(failure(&site, &[], &["partitions", "add", "2", "--yes"]).contains("they can only become more"));
    assert!(site.run(&["partitions", "add", "7"]).contains("from 3 to 7"));
    assert_eq!(partitions(&site), [3, 3], "without --yes nothing is done");
    site.run(&["partitions", "add", "7", "--yes"]);
    assert_eq!(partitions(&site), [7, 7]);
    assert!(failure(&site, &[], &["partitions", "add", "9"]).contains("not used yet"));

    // A gateway that was there, and one that finds seven partitions at its start.
    let second = site.gateway(QUICK);
    import(&site, &between);
    post(first.address, &token, began_ms, &[old.clone(), between.clone()].concat(), &[10]);
    post(second.address, &token, began_ms, &[old.clone(), between.clone()].concat(), &[15]);

    assert!(site.run(&["partitions", "use"]).contains("among 7 partitions instead of 3"));
    site.run(&["partitions", "use", "--yes"]);
    import(&site, &new);
    let all = [old.clone(), between.clone(), new.clone()].concat();
    post(first.address, &token, began_ms, &new, &[0, 10, 15]);
    post(second.address, &token, began_ms, &all, &[20]);
    // Late, sent again, and by a gateway that begins now.
    let third = site.gateway(QUICK);
    post(third.address, &token, began_ms, &all, &[7, 20, 25]);
    wait_for_exact_audit(&site);

    let rows = site.ask(
        "SELECT format('{} {} {}', toString(count()), toString(max(kinds)), toString(sum(spread > 1))) FROM (SELECT device_id, uniqExact(_partition) AS spread, \
         uniqExact(_topic) AS kinds FROM readings GROUP BY device_id)",
    );
    assert_eq!(rows, "42 1 0", "every device is in one partition");
    let highest = |prefix: &str| {
        site.ask(&format!("SELECT toString(max(_partition)) FROM readings WHERE device_id LIKE '{prefix}-%'"))
    };
    assert!(highest("old").as_str() < "3" && highest("between").as_str() < "3");
    assert!(highest("new").as_str() >= "3", "new devices use what was added");
    // 0, 5, 7, 10, 15, 20, 25; 7, 10, 15, 20, 25; 0, 7, 10, 15, 20, 25.
    let derived = site.ask(
        "SELECT arrayStringConcat(arraySort(groupUniqArray(format('{} {} {} {}', splitByChar('-', device_id)[1], \
         toString(n), toString(wh), toString(odd)))), ', ') FROM \
         (SELECT device_id, count() AS n, sum(battery_total_energy_charge_wh) AS wh, \
                 countIf(battery_total_energy_charge_quality != 'VALID' OR gap) AS odd \
          FROM intervals FINAL WHERE source = 'COUNTER' GROUP BY device_id)",
    );
    assert_eq!(derived, "between 4 180 0, new 5 250 0, old 6 250 0");
    let audit = site.audit();
    assert_eq!((audit.clickhouse, audit.parquet), (12 * 7 + 6 * 5 + 24 * 6, 12 * 7 + 6 * 5 + 24 * 6));
}
