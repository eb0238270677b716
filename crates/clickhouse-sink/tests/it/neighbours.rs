//! The readings around those of a batch.

use wattline_clickhouse_sink::{Around, StoredReading, Table, Thousandths};

use crate::fixture::{Database, MINUTES_5, Row, T0, TOPIC, readings, with_database};

const DAY: i64 = 86_400_000;

async fn around(database: &Database, before: i64, asked: &[(&str, i64, i64)]) -> Vec<StoredReading> {
    let devices: Vec<Around<'_>> = asked
        .iter()
        .map(|&(device_id, min_ms, max_ms)| Around { client_id: "demo", device_id, min_ms, max_ms })
        .collect();
    database.sink.neighbours(TOPIC, 3, before, &devices).await.unwrap()
}

fn times(found: &[StoredReading]) -> Vec<(&str, i64)> {
    found
        .iter()
        .map(|reading| (reading.device_id.as_str(), (reading.timestamp_ms - T0) / MINUTES_5))
        .collect()
}

#[test]
fn before_within_and_after() {
    with_database("around", |database| async move {
        let strange = "b?'\\\"`ü\u{1F50B};--";
        let mut rows: Vec<Row> = Vec::new();
        for n in 0..10_i64 {
            for (at, device) in ["a", strange].into_iter().enumerate() {
                rows.push(Row::new(device, T0 + n * MINUTES_5, i128::from(n) * 1_000, 100 + n, at as i32));
            }
        }
        // Another client's device of the same id, and one without counters.
        rows.push(Row { client: "other", ..Row::new("a", T0 + MINUTES_5 / 2, 7, 100, 5) });
        rows.push(Row { counters: [None; 4], ..Row::new("a", T0 + 4 * MINUTES_5 + 1, 7, 104, 6) });
        // One whose only earlier reading is 40 days old.
        rows.push(Row::new("rare", T0 - 40 * DAY, 1, 100, 7));
        // One that has a hole of three days.
        rows.push(Row::new("hole", T0 - DAY, 1, 100, 8));
        rows.push(Row::new("hole", T0 + 2 * DAY, 2, 100, 9));
        database.sink.insert(Table::Readings, &readings(&rows), "all").await.unwrap();

        let late = T0 + 4 * MINUTES_5 + 60_000;
        let found = around(&database, 1_000, &[("a", late, late)]).await;
        assert_eq!(times(&found), [("a", 4), ("a", 5)]);
        let found =
            around(&database, 1_000, &[(strange, T0 + 2 * MINUTES_5, T0 + 4 * MINUTES_5), ("a", late, late)])
                .await;
        assert_eq!(
            times(&found),
            [("a", 4), ("a", 5), (strange, 1), (strange, 2), (strange, 3), (strange, 4), (strange, 5)]
        );
        // The rows of a later attempt do not count.
        assert_eq!(times(&around(&database, 103, &[("a", late, late)]).await), [("a", 2)]);
        // After all, before all, never seen, long ago.
        assert_eq!(times(&around(&database, 1_000, &[("a", T0 + DAY, T0 + DAY)]).await), [("a", 9)]);
        assert_eq!(times(&around(&database, 1_000, &[("a", T0 - 1, T0 - 1)]).await), [("a", 0)]);
        assert_eq!(
            times(&around(&database, 1_000, &[("new", T0, T0), ("a", T0 + DAY, T0 + DAY)]).await),
            [("a", 9)]
        );
        let found = around(&database, 1_000, &[("rare", T0, T0), ("a", T0 + DAY, T0 + DAY)]).await;
        assert_eq!(times(&found), [("a", 9), ("rare", -40 * DAY / MINUTES_5)]);
        let found = around(&database, 1_000, &[("hole", T0, T0 + 1), ("a", T0 + DAY, T0 + DAY)]).await;
        assert_eq!(times(&found), [("a", 9), ("hole", -288), ("hole", 576)]);
        assert!(around(&database, 1_000, &[]).await.is_empty());
    });
}

#[test]
fn a_reading_comes_back_whole() {
    with_database("whole", |database| async move {
        let row = Row::new("a", T0, 123_456, 100, 1);
        database.sink.insert(Table::Readings, &readings(&[row]), "one").await.unwrap();
        let found = around(&database, 101, &[("a", T0 + 1, T0 + 1)]).await;
        let [reading] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(reading.counters(), [123_456, 123_457, 123_458, 123_459]);
        assert_eq!((reading.offset, reading.index, reading.received_at_ms), (100, 1, T0 + 1_234));
        assert_eq!((reading.last_is_online, reading.last_is_grid_online), (true, Some(false)));
        assert_eq!(reading.last_mode, None);
        assert_eq!(reading.home_last_power_w, Some(Thousandths(1_501)));
        assert_eq!(reading.battery_last_backup_reserve_percentage, None);
        assert_eq!(reading.oem_raw_data.as_deref(), Some(r#"{"a":"ü?'\\"}"#));
        assert_eq!((reading.limit_solar_w, reading.counter_modulus_wh), (5_000, None));
    });
}

#[test]
fn of_several_readings_at_a_time_the_larger_wins_whatever_its_version() {
    with_database("larger", |database| async move {
        let small = Row::new("a", T0, 1_000, 200, 0);
        let mut large = Row::new("a", T0, 1_000, 100, 0);
        large.counters[3] = Some(9_000_000);
        for (row, token) in [(large, "l"), (small, "s")] {
            database.sink.insert(Table::Readings, &readings(&[row]), token).await.unwrap();
        }
        let found = around(&database, 1_000, &[("a", T0, T0)]).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].counters()[3], 9_000_000);
    });
}

#[test]
fn many_devices_are_asked_in_turn() {
    with_database("many", |database| async move {
        let names: Vec<String> = (0..7_000).map(|n| format!("bat-{n:06}")).collect();
        let mut rows = Vec::new();
        for (n, name) in names.iter().enumerate() {
            for step in 0..2 {
                rows.push(Row::new(
                    name,
                    T0 + step * MINUTES_5,
                    1_000,
                    (n / 500) as i64 * 2 + step,
                    (n % 500) as i32,
                ));
            }
        }
        database.sink.insert(Table::Readings, &readings(&rows), "all").await.unwrap();
        let asked: Vec<(&str, i64, i64)> = names.iter().map(|name| (name.as_str(), T0 + 1, T0 + 1)).collect();
        let found = around(&database, 1_000, &asked).await;
        assert_eq!(found.len(), 14_000);
        assert!(found.is_sorted_by_key(|reading| (reading.device_id.clone(), reading.timestamp_ms)));
    });
}
