//! What becomes of counter readings that come late, twice or in contradiction, and of records that are none.

use serde_json::json;
use wattline_kafka::{Producer, ProducerSettings, Reader, Record};
use wattline_model::{Kind, Point, Quantity};
use wattline_wire::record::{self, Header, VERSION, VERSION_OF_ONE};

use crate::http::Connection;
use crate::load::runtime;
use crate::points::{
    BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, now_ms, post_points, reading, table_time,
};
use crate::site::{Audit, Site};
use crate::stored::{Row, Table, thousandths, value};

const CHARGE: &str = "battery_total_energy_charge_wh";
const COLUMNS: [&str; 2] = ["start_time", CHARGE];

/// Start, end and energy of every interval of the device, oldest first.
fn derived(site: &Site) -> Vec<(String, String, i64)> {
    let rows = site.rows(Table::Intervals, &COLUMNS);
    let cells = |row: &Row| {
        (value(row, "start_time").to_owned(), value(row, "end_time").to_owned(), thousandths(row, CHARGE))
    };
    let mut derived: Vec<_> = rows.iter().map(cells).collect();
    derived.sort();
    derived
}

fn expected(rows: &[(i64, i64, i64)]) -> Vec<(String, String, i64)> {
    rows.iter().map(|&(start, end, mwh)| (table_time(start), table_time(end), mwh)).collect()
}

#[test]
fn a_late_reading_costs_two_rows_and_a_repeated_one_none() {
    let site = Site::new("late");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let mut worker = site.worker(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    let at = |minutes: i64| ago_ms(0) / 60_000 * 60_000 - (120 - minutes) * MINUTE_MS;
    let base = at(0);
    let at = |minutes: i64| base + minutes * MINUTE_MS;
    let mut post = |readings: &[(i64, f64)]| {
        let points: Vec<_> =
            readings.iter().map(|&(minutes, wh)| reading("a", at(minutes), [wh; 4])).collect();
        all_ok(&connection.exchange(&post_points(COUNTER, &token, &points)), points.len());
        site.wait_until_stored();
    };
    // All rows that were ever written: in Parquet nothing is replaced.
    let written = || site.parquet_rows(Table::Intervals, &["end_time"]).len();
    let readings = || site.parquet_rows(Table::Readings, &["timestamp"]).len();

    post(&[(0, 100.0), (5, 110.0)]);
    post(&[(15, 140.5)]);
    assert_eq!((written(), readings()), (2, 3));
    post(&[(10, 120.0)]);
    assert_eq!((written(), readings()), (4, 4), "a late reading writes two rows");
    let whole = [(at(0), at(5), 10_000), (at(5), at(10), 10_000), (at(10), at(15), 20_500)];
    assert_eq!(derived(&site), expected(&whole));

    // The same again, together and one by one, and after a restart that forgot everything.
    post(&[(0, 100.0), (5, 110.0), (10, 120.0), (15, 140.5)]);
    post(&[(10, 120.0)]);
    worker.process.term();
    assert!(worker.process.wait(crate::restarts::STOP_DEADLINE).success());
    worker = site.worker(&[]);
    post(&[(15, 140.5), (0, 100.0), (5, 110.0)]);
    assert_eq!((written(), readings()), (4, 4), "what is repeated writes nothing");
    assert_eq!(derived(&site), expected(&whole));
    assert_eq!(worker.ops.metric("wattline_worker_readings_repeated_total", &[]), 3.0);

    // Late, and older than all.
    post(&[(-10, 90.0)]);
    assert_eq!((written(), readings()), (5, 5), "before the first there is no interval to replace");
    assert_eq!(derived(&site)[0], expected(&[(at(-10), at(0), 10_000)])[0]);
    let audit = Audit { kafka: 13, clickhouse: 5, parquet: 5, rejected: 0, duplicates: 8 };
    assert_eq!(site.audit(), audit);
}

#[test]
fn of_two_readings_at_one_time_one_stays_and_the_other_is_kept_with_its_reason() {
    let site = Site::new("conflict");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let worker = site.worker(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    let base = ago_ms(60 * MINUTE_MS);
    let at = |minutes: i64| base + minutes * MINUTE_MS;
    let mut post = |minutes: i64, counters: [f64; 4]| {
        let mut point = reading("a", at(minutes), counters);
        point["oem_raw_data"] = json!({ "counters": counters });
        all_ok(&connection.exchange(&post_points(COUNTER, &token, &[point])), 1);
        site.wait_until_stored();
    };
    post(0, [100.0; 4]);
    post(5, [110.0, 110.0, 110.0, 110.0]);
    // Smaller by its last counter: it goes away, whatever came first.
    post(5, [110.0, 110.0, 110.0, 109.999]);
    assert_eq!(derived(&site), expected(&[(at(0), at(5), 10_000)]));
    // Larger by its first: it takes the place.
    post(5, [111.0, 0.0, 110.0, 110.0]);
    assert_eq!(derived(&site), expected(&[(at(0), at(5), 11_000)]));

    let rejected = rejected(&site);
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert_eq!(worker.ops.metric("wattline_worker_rejected_total", &[]), 2.0);
    let partition: i32 = value(&rejected[0], "_partition").parse().unwrap();
    let lost = [("2", [110_000, 110_000, 110_000, 109_999]), ("1", [110_000; 4])];
    for (row, (offset, counters)) in rejected.iter().zip([lost[1], lost[0]]) {
        assert_eq!(value(row, "reason"), "EQUAL_TIMESTAMP_CONFLICT");
        assert_eq!((value(row, "_topic"), value(row, "_offset")), (site.topic("counters").as_str(), offset));
        assert_eq!((value(row, "_index"), value(row, "_partition")), ("0", partition.to_string().as_str()));
        let bytes = from_hex(value(row, "bytes"));
        let decoded = record::decode(&bytes).unwrap();
        assert_eq!(decoded.requests[0].header.client_id, "demo");
        let [point] = decoded.points.as_slice() else { panic!("{decoded:?}") };
        assert_eq!((&*point.device_id, point.time_ms), ("a", at(5)));
        assert_eq!(point.quantities.counters(), Some(counters));
        assert!(point.oem_raw_data.as_deref().is_some_and(|text| text.contains("110")));
        assert_eq!(point.limits.solar_w, 50_000);
    }
    // The winner is the reading that stays, in both sinks.
    let readings = site.rows(Table::Readings, &[CHARGE]);
    let charges: Vec<i64> = readings.iter().map(|row| thousandths(row, CHARGE)).collect();
    assert_eq!(charges, [100_000, 111_000]);
    assert_eq!(rejected_topic(&site).len(), 2);
    let audit = Audit { kafka: 4, clickhouse: 2, parquet: 2, rejected: 2, duplicates: 0 };
    assert_eq!(site.audit(), audit);
}

#[test]
fn a_record_that_is_none_goes_to_the_rejected_and_the_partition_moves_on() {
    let site = Site::new("undecodable");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let partition = wattline_wire::partition_of(wattline_wire::device_hash("demo", "a"), Site::PARTITIONS);
    let at_ms = ago_ms(10 * MINUTE_MS);

    // Both topics: bytes that are no record, nothing at all, a record cut off, a record of the next version, and
    // a good one.
    let header = Header { client_id: "demo", request_id: "by-hand", received_at_ms: now_ms() };
    let good = |kind: Kind| {
        let mut quantities = wattline_model::Quantities::default();
        Quantity::ALL.iter().for_each(|&quantity| quantities.set(quantity, 1_000));
        let point = Point {
            device_id: "a".into(),
            time_ms: at_ms,
            duration_ms: if kind == Kind::Battery { 60_000 } else { 0 },
            last_is_online: true,
            last_is_grid_online: Some(true),
            last_mode: None,
            quantities,
            oem_raw_data: None,
            limits: Default::default(),
        };
        let mut bytes = Vec::new();
        record::begin(&mut bytes, &header);
        record::push(&mut bytes, kind, &point);
        bytes
    };
    let records = |kind: Kind| {
        let good = good(kind);
        let mut next_version = good.clone();
        assert_eq!(u64::from(next_version[1]), VERSION_OF_ONE, "the version comes first");
        next_version[1] = VERSION as u8 + 1;
        let cut = good[..good.len() - 1].to_vec();
        [b"\xff\xfe{not a record}".to_vec(), b"".to_vec(), cut, next_version, good]
    };
    let settings = ProducerSettings {
        delivery_timeout_ms: 10_000,
        queue_bytes_max: 1 << 20,
        linger_ms: 0,
        compression: "none".into(),
    };
    let producer = Producer::new(&site.kafka(), &settings).unwrap();
    for (topic, kind) in [("intervals", Kind::Battery), ("counters", Kind::BatteryCounter)] {
        for value in records(kind) {
            let record = Record { partition: partition as i32, value: &value };
            let appended = runtime().block_on(producer.append(&site.topic(topic), &[record]));
            assert!(appended.unconfirmed.is_empty());
        }
    }
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    let later_ms = at_ms + MINUTE_MS;
    all_ok(&connection.exchange(&post_points(BATTERY, &token, &[interval("a", later_ms)])), 1);
    all_ok(&connection.exchange(&post_points(COUNTER, &token, &[reading("a", later_ms, [2.0; 4])])), 1);
    site.wait_until_stored();

    let rows = site.rows(Table::Intervals, &["source"]);
    let of = |source: &str| rows.iter().filter(|row| value(row, "source") == source).count();
    assert_eq!((of("REPORTED"), of("COUNTER")), (2, 1), "the good records around the bad ones are stored");
    let rejected = rejected(&site);
    let found: Vec<(String, String, String, Vec<u8>)> = rejected
        .iter()
        .map(|row| {
            let text = |column: &str| value(row, column).to_owned();
            (text("_topic"), text("_offset"), text("reason"), from_hex(value(row, "bytes")))
        })
        .collect();
    let mut expected = Vec::new();
    for (topic, kind) in [("intervals", Kind::Battery), ("counters", Kind::BatteryCounter)] {
        for (offset, bytes) in records(kind).into_iter().enumerate().take(4) {
            let reason = if offset == 3 { "UNKNOWN_VERSION" } else { "UNDECODABLE_RECORD" };
            expected.push((site.topic(topic), offset.to_string(), reason.to_owned(), bytes));
        }
    }
    assert_eq!(found, expected);
    let mut told = rejected_topic(&site);
    told.sort();
    let mut original: Vec<Vec<u8>> = expected.into_iter().map(|(.., bytes)| bytes).collect();
    original.sort();
    assert_eq!(told, original);
    let audit = Audit { kafka: 12, clickhouse: 4, parquet: 4, rejected: 8, duplicates: 0 };
    assert_eq!(site.audit(), audit);
}

/// The rejected, their bytes as hexadecimal digits.
fn rejected(site: &Site) -> Vec<Row> {
    site.query(
        "SELECT reason, _topic, _partition, _offset, _index, hex(record) AS bytes FROM rejected FINAL \
         ORDER BY _topic DESC, _offset",
    )
}

/// What the topic of the rejected holds.
fn rejected_topic(site: &Site) -> Vec<Vec<u8>> {
    let (reader, topic) = (Reader::new(&site.kafka()).unwrap(), site.topic("rejected"));
    let (from, to) = reader.watermarks(&topic, 0).unwrap();
    let mut values = Vec::new();
    reader
        .read(&topic, 0, from, to, |_, _, value| {
            values.push(value.to_vec());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    values
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}
