//! What was rejected is listed, and comes back as telemetry once it can be read.

use serde_json::Value;
use wattline_kafka::{Producer, ProducerSettings, Record};
use wattline_model::{Kind, Point, Quantities, Quantity};
use wattline_wire::record::{self, Header, VERSION, VERSION_OF_ONE};

use crate::http;
use crate::load::runtime;
use crate::points::{COUNTER, MINUTE_MS, ago_ms, all_ok, now_ms, post_points, reading, rfc3339};
use crate::site::{Audit, Site};

/// The partition that the points of the device `a` of the client `demo` go to.
pub fn partition_of_a() -> i32 {
    wattline_wire::partition_of(wattline_wire::device_hash("demo", "a"), Site::PARTITIONS) as i32
}

/// Appends a record by hand, to where the device `a` has its points.
pub fn append(site: &Site, topic: &str, value: &[u8]) {
    let settings = ProducerSettings {
        delivery_timeout_ms: 10_000,
        queue_bytes_max: 1 << 20,
        linger_ms: 0,
        compression: "none".into(),
    };
    let producer = Producer::new(&site.kafka(), &settings).expect("a producer");
    let record = Record { partition: partition_of_a(), value };
    let appended = runtime().block_on(producer.append(&site.topic(topic), &[record]));
    assert!(appended.unconfirmed.is_empty(), "{appended:?}");
}

/// A record of one counter reading of the device `a`, as a gateway writes it.
fn record_of(time_ms: i64) -> Vec<u8> {
    let mut quantities = Quantities::default();
    Quantity::ALL.iter().for_each(|&quantity| quantities.set(quantity, 1_000));
    let point = Point {
        device_id: "a".into(),
        time_ms,
        duration_ms: 0,
        last_is_online: true,
        last_is_grid_online: Some(true),
        last_mode: None,
        quantities,
        oem_raw_data: None,
        limits: Default::default(),
    };
    let mut bytes = Vec::new();
    record::begin(&mut bytes, &Header { client_id: "demo", request_id: "by-hand", received_at_ms: now_ms() });
    record::push(&mut bytes, Kind::BatteryCounter, &point);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listed(site: &Site, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["rejected", "list", "--json"], arguments].concat();
    site.run(&arguments).lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

#[test]
fn what_a_later_version_can_read_is_replayed_once() {
    let site = Site::new("rejected");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    let at_ms = ago_ms(30 * MINUTE_MS);
    let readable = record_of(at_ms);
    assert_eq!(u64::from(readable[1]), VERSION_OF_ONE, "the version comes first");
    let mut of_the_next_version = readable.clone();
    of_the_next_version[1] = VERSION as u8 + 1;
    append(&site, "counters", &of_the_next_version);
    append(&site, "counters", b"\xff\xfe{not a record}");
    // A conflict, which the second reading loses.
    for wh in [5.0, 4.0] {
        let point = reading("a", at_ms + MINUTE_MS, [wh; 4]);
        all_ok(&http::exchange(gateway.address, &post_points(COUNTER, &token, &[point])), 1);
    }
    site.wait_until_stored();
    assert_eq!(site.audit(), Audit { kafka: 4, clickhouse: 1, parquet: 1, rejected: 3, duplicates: 0 });

    let rows = listed(&site, &[]);
    assert_eq!(rows.len(), 3, "{rows:?}");
    let of = |rows: &[Value], reason: &str| {
        rows.iter()
            .find(|row| row["reason"] == reason)
            .unwrap_or_else(|| panic!("{reason}: {rows:?}"))
            .clone()
    };
    let conflict = of(&rows, "EQUAL_TIMESTAMP_CONFLICT");
    assert_eq!(
        (&conflict["client_id"], &conflict["device_id"], &conflict["device_time"], &conflict["offset"]),
        (&"demo".into(), &"a".into(), &rfc3339(at_ms + MINUTE_MS).into(), &3.into()),
    );
    let undecodable = of(&rows, "UNDECODABLE_RECORD");
    assert_eq!(
        (&undecodable["record"], &undecodable["bytes"], &undecodable["client_id"]),
        (&"//57bm90IGEgcmVjb3JkfQ==".into(), &16.into(), &Value::Null)
    );
    assert!(rows.iter().all(|row| row["replayed_at"].is_null()), "{rows:?}");
    assert_eq!(listed(&site, &["--reason", "UNKNOWN_VERSION", "--topic", &site.topic("counters")]).len(), 1);
    assert_eq!(listed(&site, &["--topic", &site.topic("intervals")]).len(), 0);
    assert_eq!(listed(&site, &["--limit", "2"]).len(), 2);
    let table = site.run(&["rejected", "list"]);
    assert!(table.contains("UNKNOWN_VERSION") && table.contains(&rfc3339(at_ms + MINUTE_MS)), "{table}");
    let unknown = site.output(&["rejected", "list", "--reason", "BAD_MOOD"]);
    assert!(!unknown.status.success());

    // All three would come back.
    let told = site.run(&["rejected", "replay", "--yes"]);
    assert!(told.starts_with("0 appended") && told.matches("left: ").count() == 3, "{told}");

    // The version that can read the record is there.
    http::post_text(
        &format!("{}/?database={}", site.clickhouse, site.database()),
        &format!(
            "INSERT INTO rejected SELECT * REPLACE (unhex('{}') AS record) FROM rejected FINAL \
             WHERE reason = 'UNKNOWN_VERSION'",
            hex(&readable)
        ),
    );
    let told = site.run(&["rejected", "replay"]);
    assert!(told.starts_with("1 would be appended") && told.contains("--yes"), "{told}");
    assert_eq!(site.audit().kafka, 4, "nothing was done");
    let told = site.run(&["rejected", "replay", "--yes"]);
    assert!(told.starts_with("1 appended"), "{told}");
    site.wait_until_stored();
    assert_eq!(site.audit(), Audit { kafka: 5, clickhouse: 2, parquet: 2, rejected: 3, duplicates: 0 });
    // The chain goes on with it.
    assert_eq!(site.ask("SELECT count() FROM intervals FINAL"), "1");
    let replayed = of(&listed(&site, &[]), "UNKNOWN_VERSION");
    assert!(replayed["replayed_at"].is_string(), "{replayed}");

    let told = site.run(&["rejected", "replay", "--yes"]);
    assert!(told.starts_with("0 appended"), "once is enough: {told}");
    let told = site.run(&["rejected", "replay", "--again", "--yes", "--reason", "UNKNOWN_VERSION"]);
    assert!(told.starts_with("1 appended"), "{told}");
    let told = site.run(&["rejected", "replay", "--force", "--yes", "--limit", "1"]);
    assert!(told.starts_with("1 appended"), "{told}");
    site.wait_until_stored();
    // Sent again it is a duplicate; what was forced is rejected again.
    assert_eq!(site.audit(), Audit { kafka: 7, clickhouse: 2, parquet: 2, rejected: 4, duplicates: 1 });
    assert_eq!(listed(&site, &["--reason", "UNDECODABLE_RECORD"]).len(), 2);
}
