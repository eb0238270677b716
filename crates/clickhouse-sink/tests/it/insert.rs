//! Inserts, tokens, and what is done after a doubt.

use wattline_clickhouse_sink::{Range, Table, Verified, arrow_stream};

use crate::fixture::{MINUTES_5, Row, T0, TOPIC, intervals, readings, rejected, with_database};

fn range(first: i64, last: i64) -> Range<'static> {
    Range { topic: TOPIC, partition: 3, first, last }
}

fn some_rows() -> Vec<Row> {
    (0..6)
        .map(|n| {
            Row::new(
                &format!("bat-{}", n % 2),
                T0 + i64::from(n / 2) * MINUTES_5,
                1_000,
                10 + i64::from(n / 3),
                n % 3,
            )
        })
        .collect()
}

#[test]
fn every_column_lands_as_it_was() {
    with_database("columns", |database| async move {
        let mut rows = some_rows();
        rows[5].counters = [None; 4];
        rows[4].counters = [Some(-1), Some(999_999_999_999_999_999), Some(0), Some(123_456)];
        database.sink.insert(Table::Readings, &readings(&rows), "r").await.unwrap();
        database.sink.insert(Table::Intervals, &intervals(&rows), "i").await.unwrap();
        database.sink.insert(Table::Rejected, &rejected(&rows[..1], b"\x00\xff?'\\"), "x").await.unwrap();

        let lines = database.ask("SELECT toString(tuple(*)) FROM readings ORDER BY _offset, _index").await;
        let intervals =
            database.ask("SELECT toString(tuple(*)) FROM intervals ORDER BY _offset, _index").await;
        let rejected =
            database.ask("SELECT toString(tuple(* EXCEPT record)) || hex(record) FROM rejected").await;
        expect_test::expect_file!["columns.txt"].assert_eq(&[lines, intervals, rejected].concat().join("\n"));
    });
}

#[test]
fn a_batch_that_goes_in_many_pieces_lands_whole() {
    const ROWS: i64 = 20_000;
    with_database("pieces", |database| async move {
        let rows: Vec<Row> =
            (0..ROWS).map(|n| Row::new(&format!("bat-{n}"), T0 + n, i128::from(n), n, 0)).collect();
        let batch = readings(&rows);
        assert!(arrow_stream(Table::Readings, &batch).unwrap().len() > 10);
        database.sink.insert(Table::Readings, &batch, "r").await.unwrap();
        let right = database
            .ask(&format!(
                "SELECT toString(countIf(device_id = concat('bat-', toString(_offset)) \
                   AND toUnixTimestamp64Milli(timestamp) = {T0} + _offset \
                   AND battery_total_energy_charge_wh * 1000 = _offset)) FROM readings"
            ))
            .await;
        assert_eq!(right, [ROWS.to_string()]);
    });
}

#[test]
fn a_null_where_the_table_has_none_is_refused() {
    with_database("nulls", |database| async move {
        let batch = readings(&some_rows());
        let columns = (0..batch.num_columns()).map(|n| {
            let field = batch.schema().field(n).clone();
            let array = batch.column(n).clone();
            match field.name().as_str() {
                "device_id" => {
                    (field.name().clone(), arrow_array::new_null_array(field.data_type(), array.len()))
                }
                name => (name.to_owned(), array),
            }
        });
        let holed = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
        let refused = database.sink.insert(Table::Readings, &holed, "n").await.unwrap_err();
        assert_eq!(refused.kind(), "refused", "{refused}");
        assert_eq!(database.seen(Table::Readings).await, "0");
    });
}

#[test]
fn the_same_token_inserts_once() {
    with_database("token", |database| async move {
        let batch = intervals(&some_rows());
        for _ in 0..3 {
            database.sink.insert(Table::Intervals, &batch, "counters/3/10/11").await.unwrap();
        }
        assert_eq!(database.ask("SELECT toString(count()) FROM intervals").await, ["6"]);
        // Another range with equal rows is another insert.
        database.sink.insert(Table::Intervals, &batch, "counters/3/10/12").await.unwrap();
        assert_eq!(database.ask("SELECT toString(count()) FROM intervals").await, ["12"]);
        assert_eq!(database.seen(Table::Intervals).await, "6", "one row a key to a reader");
    });
}

#[test]
fn after_a_doubt_only_what_is_missing_is_inserted() {
    for (name, table, batch_of) in [
        ("missing_i", Table::Intervals, intervals as fn(&[Row]) -> _),
        ("missing_r", Table::Readings, readings),
        ("missing_x", Table::Rejected, |rows| rejected(rows, b"x")),
    ] {
        with_database(name, |database| async move {
            let sink = &database.sink;
            let rows = some_rows();
            let whole = batch_of(&rows);
            // Nothing there; then all; then what a cut-short insert left. The token of the first
            // insert is still in the window and must not stand in the way.
            let verified = sink.insert_missing(table, &whole, range(10, 11)).await.unwrap();
            assert_eq!(verified, Verified { found: 0, inserted: 6 });
            let verified = sink.insert_missing(table, &whole, range(10, 11)).await.unwrap();
            assert_eq!(verified, Verified { found: 6, inserted: 0 });
            database.run(&format!("TRUNCATE TABLE {table}")).await;
            sink.insert(table, &batch_of(&rows[1..4]), "part").await.unwrap();
            let verified = sink.insert_missing(table, &whole, range(10, 11)).await.unwrap();
            assert_eq!(verified, Verified { found: 3, inserted: 3 });
            assert_eq!(database.seen(table).await, "6");
        });
    }
}

#[test]
fn a_row_replaced_by_a_later_version_is_not_missing() {
    with_database("replaced", |database| async move {
        let sink = &database.sink;
        let old = Row::new("bat-1", T0, 1_000, 10, 0);
        let new = Row { offset: 20, ..old.clone() };
        for (table, batch_of) in
            [(Table::Intervals, intervals as fn(&[Row]) -> _), (Table::Readings, readings)]
        {
            sink.insert(table, &batch_of(&[old.clone(), Row::new("bat-1", T0 + 1, 5, 10, 1)]), "a")
                .await
                .unwrap();
            sink.insert(table, &batch_of(std::slice::from_ref(&new)), "b").await.unwrap();
            database.run(&format!("OPTIMIZE TABLE {table} FINAL")).await;
            assert_eq!(sink.stored_positions(table, range(10, 10)).await.unwrap().len(), 1);
            // Written again it is merged away again; both times it counts as there.
            let verified = sink
                .insert_missing(table, &batch_of(std::slice::from_ref(&old)), range(10, 10))
                .await
                .unwrap();
            assert_eq!(verified, Verified { found: 0, inserted: 1 });
            // Two rows of one key in one insert: the engine keeps the later at once.
            let both = batch_of(&[Row { offset: 30, ..old.clone() }, Row { offset: 31, ..old.clone() }]);
            sink.insert_missing(table, &both, range(30, 31)).await.unwrap();
            let versions =
                database.ask(&format!("SELECT toString(_offset) FROM {table} FINAL WHERE _index = 0")).await;
            assert_eq!(versions, ["31"]);
        }
    });
}

#[test]
fn rows_that_do_not_stay_are_an_error() {
    with_database("lost", |database| async move {
        // A table that swallows what it is given, as a wrong view or engine might.
        database.run("DROP TABLE intervals").await;
        database.run("CREATE TABLE intervals AS readings ENGINE = Null").await;
        database.run("DROP TABLE readings").await;
        database.run("CREATE TABLE readings AS intervals ENGINE = Null").await;
        let rows = readings(&some_rows());
        let error = database.sink.insert_missing(Table::Readings, &rows, range(10, 11)).await.unwrap_err();
        assert_eq!(error.kind(), "still_missing", "{error}");
    });
}

#[test]
fn the_two_intervals_of_a_late_reading_are_two_rows() {
    with_database("late", |database| async move {
        let late = [Row::new("bat-1", T0, 1_000, 10, 0), Row::new("bat-1", T0 + MINUTES_5, 2_000, 10, 0)];
        database.sink.insert(Table::Intervals, &intervals(&late[..1]), "half").await.unwrap();
        let verified =
            database.sink.insert_missing(Table::Intervals, &intervals(&late), range(10, 10)).await.unwrap();
        assert_eq!(verified, Verified { found: 1, inserted: 1 });
        assert_eq!(database.seen(Table::Intervals).await, "2");
    });
}
