//! What a reader sees of a partition.

use wattline_clickhouse_sink::{RejectedPosition, Table};

use crate::fixture::{Database, MINUTES_5, Row, T0, TOPIC, intervals, readings, rejected, with_database};

/// Device, five-minute steps, in the chain, offset, index.
type Seen = (String, i64, bool, i64, i32);

fn seen(device: &str, at: i64, in_chain: bool, offset: i64, index: i32) -> Seen {
    (device.to_owned(), at, in_chain, offset, index)
}

/// One that is replaced, one without counters at the time of another, and one of long before.
fn some_rows() -> Vec<Row> {
    vec![
        Row::new("a", T0, 1_000, 10, 0),
        Row::new("a", T0, 2_000, 20, 0),
        Row { counters: [None; 4], ..Row::new("a", T0, 0, 20, 1) },
        Row::new("b", T0 + MINUTES_5, 3_000, 21, 2),
        Row::new("b", T0 - 9 * MINUTES_5, 100, 5, 0),
    ]
}

async fn points(database: &Database, partition: i32, from: i64) -> Vec<Seen> {
    let mut points = Vec::new();
    let each = |point: wattline_clickhouse_sink::StoredPoint<'_>| {
        assert_eq!(point.client_id, "demo");
        let at = (point.time_ms - T0) / MINUTES_5;
        points.push((point.device_id.to_owned(), at, point.in_chain, point.offset, point.index));
    };
    database.sink.readings(TOPIC, partition, from, each).await.unwrap();
    points.sort();
    points
}

#[test]
fn readings_are_one_a_key() {
    with_database("audit_readings", |database| async move {
        let sink = &database.sink;
        for (n, row) in some_rows().iter().enumerate() {
            sink.insert(Table::Readings, &readings(std::slice::from_ref(row)), &n.to_string()).await.unwrap();
        }
        let expected = [seen("a", 0, false, 20, 1), seen("a", 0, true, 20, 0), seen("b", 1, true, 21, 2)];
        assert_eq!(points(&database, 3, 6).await, expected);
        assert_eq!(points(&database, 3, 0).await.len(), 4);
        assert_eq!(points(&database, 3, 21).await, expected[2..]);
        assert_eq!(points(&database, 4, 0).await, []);

        let mut older = Vec::new();
        for (before, from_ms) in [(20, T0 - 9 * MINUTES_5), (20, T0 - MINUTES_5), (21, T0)] {
            let each = |point: wattline_clickhouse_sink::StoredPoint<'_>| older.push(point.offset);
            sink.older_readings(TOPIC, 3, before, from_ms..=T0, each).await.unwrap();
            older.push(-1);
        }
        assert_eq!(older, [5, -1, -1, 20, -1]);
        assert_eq!(sink.reported_intervals(TOPIC, 3, 0, |_| panic!("a reading")).await.ok(), Some(()));
    });
}

#[test]
fn derived_intervals_come_with_what_they_say() {
    with_database("audit_intervals", |database| async move {
        let mut rows = some_rows();
        rows[3].counters = [Some(-1), None, Some(999_999_999_999_999_999), Some(0)];
        database.sink.insert(Table::Intervals, &intervals(&rows), "all").await.unwrap();
        let mut found = Vec::new();
        let each = |interval: wattline_clickhouse_sink::StoredInterval<'_>| {
            assert_eq!(
                (interval.client_id, interval.qualities(), interval.gap),
                ("demo", ["VALID"; 4], false)
            );
            assert_eq!(interval.end_ms - interval.start_ms, MINUTES_5);
            let at = (interval.end_ms - T0) / MINUTES_5;
            found.push((
                interval.device_id.to_owned(),
                at,
                interval.energies(),
                interval.offset,
                interval.index,
            ));
        };
        database.sink.derived_intervals(TOPIC, 3, 6, each).await.unwrap();
        found.sort();
        let energies = [Some(-1), None, Some(999_999_999_999_999_999), Some(0)];
        let expected = [("a".to_owned(), 0, [None; 4], 20, 1), ("b".to_owned(), 1, energies, 21, 2)];
        assert_eq!(found, expected);

        // The same, reported.
        database.run("ALTER TABLE intervals DELETE WHERE true SETTINGS mutations_sync = 1").await;
        let columns =
            "client_id, device_id, source, start_time, end_time, _topic, _partition, _offset, _index";
        let row = format!("SELECT 'demo', 'c', 'REPORTED', 0, 300, '{TOPIC}', 3, 7, 1");
        database.run(&format!("INSERT INTO intervals ({columns}) {row}")).await;
        let mut found = Vec::new();
        let each = |point: wattline_clickhouse_sink::StoredPoint<'_>| {
            found.push((
                point.device_id.to_owned(),
                point.time_ms,
                point.in_chain,
                point.offset,
                point.index,
            ));
        };
        database.sink.reported_intervals(TOPIC, 3, 0, each).await.unwrap();
        assert_eq!(found, [("c".to_owned(), 300_000, false, 7, 1)]);
        let none = database.sink.derived_intervals(TOPIC, 3, 0, |_| panic!("a reported interval")).await;
        assert!(none.is_ok(), "{none:?}");
    });
}

#[test]
fn the_rejected_are_told_by_their_positions() {
    with_database("audit_rejected", |database| async move {
        let batch = rejected(&some_rows(), b"x");
        for token in ["once", "again"] {
            database.sink.insert(Table::Rejected, &batch, token).await.unwrap();
        }
        let mut found = database.sink.rejected_positions(TOPIC, 3, 20).await.unwrap();
        found.sort();
        let at = |offset, index| RejectedPosition { offset, index, is_whole_record: true };
        assert_eq!(found, [at(20, 0), at(20, 1), at(21, 2)]);
    });
}
