use wattline_clickhouse_sink::{RejectedFilter, Table};

use crate::fixture::{Row, T0, TOPIC, rejected, with_database};

#[test]
fn a_mark_lasts_and_takes_nothing_from_the_row() {
    with_database("marks", |database| async move {
        let rows: Vec<Row> = (0..6).map(|n| Row::new("a", T0, 1_000, 10 + i64::from(n / 3), n % 3)).collect();
        let batch = rejected(&rows, b"\xff\x00");
        database.sink.insert(Table::Rejected, &batch, "once").await.unwrap();
        let all = RejectedFilter::default();
        let places = database.sink.rejected_places(&all, false).await.unwrap();
        assert_eq!(places.len(), 6);
        let marked = &places[1..3];
        let before = database.sink.rejected_at(marked).await.unwrap();
        assert!(before.iter().all(|row| row.replayed_at_ms == 0 && row.record == b"\xff\x00"), "{before:?}");
        database.sink.mark_replayed(marked).await.unwrap();

        // Before and after a merge.
        for _ in 0..2 {
            let after = database.sink.rejected_at(marked).await.unwrap();
            assert!(after.iter().all(|row| row.replayed_at_ms > 0), "{after:?}");
            let unmarked = after.into_iter().map(|mut row| {
                row.replayed_at_ms = 0;
                row
            });
            assert_eq!(unmarked.collect::<Vec<_>>(), before);
            let left = database.sink.rejected_places(&all, false).await.unwrap();
            assert_eq!(left, [&places[..1], &places[3..]].concat());
            assert_eq!(database.sink.rejected_places(&all, true).await.unwrap(), places);
            database.run("OPTIMIZE TABLE rejected FINAL").await;
        }

        let of = |reason: &str, topic: &str| RejectedFilter { reason: reason.into(), topic: topic.into() };
        for (filter, rows) in [(of("UNDECODABLE", ""), 6), (of("", TOPIC), 6), (of("OTHER", TOPIC), 0)] {
            assert_eq!(database.sink.newest_rejected(&filter, 10).await.unwrap().len(), rows, "{filter:?}");
        }
        assert_eq!(database.sink.newest_rejected(&all, 2).await.unwrap().len(), 2);
    });
}
