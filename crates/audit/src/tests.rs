//! What the worker of `case` stores is exact, and each defect that is made in it is told.

mod case;

use proptest::prelude::*;
use wattline_model::{Kind, Position};

use crate::key::Row;
use crate::points::Demanded;
use case::{Case, Interval, P, T0, encode};

/// Two devices: a resend, a late reading, a conflict, a reading without counters, and one undecodable record.
const READINGS: &[&[P]] = &[
    &[("a", 0, Some(100)), ("b", 0, Some(50)), ("a", 2, Some(300))],
    &[("a", 0, Some(100)), ("a", 1, Some(150))],
    &[],
    &[("b", 1, Some(70)), ("b", 1, None), ("a", 2, Some(310))],
];
const INTERVALS: &[&[P]] = &[
    &[("a", 0, Some(10)), ("b", 0, Some(20))],
    &[("a", 1, Some(10)), ("a", 0, Some(10))],
    &[("b", 1, None)],
];

fn readings() -> Case {
    Case::new(Kind::BatteryCounter, READINGS)
}

fn reported() -> Case {
    Case::new(Kind::Battery, INTERVALS)
}

#[test]
fn what_a_worker_stores_is_exact() {
    readings().check_exact([9, 6, 6, 2, 1, 0, 0], [3, 3, 3]);
    reported().check_exact([5, 4, 4, 0, 1, 0, 0], [0, 0, 0]);
}

#[test]
fn what_is_not_demanded_yet_is_pending() {
    let case = Case::stored_to(Kind::BatteryCounter, READINGS, 2, 1);
    // The conflict is not rejected yet, nor the undecodable record; ClickHouse lacks two points of b, and
    // Parquet a late one as well.
    case.check_exact([9, 4, 3, 0, 1, 4, 5], [3, 2, 1]);

    let mut case = Case::stored_to(Kind::BatteryCounter, READINGS, 2, 1);
    case.demanded = Demanded { clickhouse: 4, parquet: 4 };
    case.check_told(&[
        "ClickHouse: interval is missing (1): demo/b at 2026-11-24T00:05:00Z, from 3:0",
        "ClickHouse: interval is not the newest (1): demo/a at 2026-11-24T00:10:00Z, from 1:1, which is at 3:2",
        "ClickHouse: missing (2): demo/b at 2026-11-24T00:05:00Z, from 3:1; \
         demo/b at 2026-11-24T00:05:00Z, from 3:0",
        "ClickHouse: not the point that stays (1): demo/a at 2026-11-24T00:10:00Z, from 0:2, which is at 3:2",
        "Parquet: interval is missing (2): demo/a at 2026-11-24T00:05:00Z, from 1:1; \
         demo/b at 2026-11-24T00:05:00Z, from 3:0",
        "Parquet: interval is not the newest (1): demo/a at 2026-11-24T00:10:00Z, from 0:2, which is at 3:2",
        "Parquet: missing (3): demo/a at 2026-11-24T00:05:00Z, from 1:1; \
         demo/b at 2026-11-24T00:05:00Z, from 3:1; demo/b at 2026-11-24T00:05:00Z, from 3:0",
        "Parquet: not the point that stays (1): demo/a at 2026-11-24T00:10:00Z, from 0:2, which is at 3:2",
        "rejected: missing (2): 0:2; 2:0",
    ]);
}

#[test]
fn a_live_worker_may_be_further() {
    // Stored after the offsets were read that say what is demanded.
    for demanded in 0..4 {
        let mut case = readings();
        case.demanded = Demanded { clickhouse: demanded, parquet: demanded };
        case.check_exact([9, 6, 6, 2, 1, 0, 0], [3, 3, 3]);
    }
}

#[test]
fn a_missing_row_is_told() {
    let mut case = reported();
    case.stored.clickhouse.retain(|row| row.position.offset != 2);
    case.stored.parquet.retain(|row| row.position != Position { offset: 0, index: 1 });
    case.check_told(&[
        "ClickHouse: missing (1): demo/b at 2026-11-24T00:05:00Z, from 2:0",
        "Parquet: missing (1): demo/b at 2026-11-24T00:00:00Z, from 0:1",
    ]);
}

#[test]
fn a_row_too_many_is_told() {
    let mut case = reported();
    let key = case.key("c", 0, false);
    let moved = case.key("b", 1, false);
    case.stored.clickhouse.push(Row { key, position: Position { offset: 1, index: 5 } });
    case.stored.parquet.push(Row { key: moved, position: Position { offset: 0, index: 0 } });
    case.check_told(&[
        "ClickHouse: not in Kafka (1): demo/c at 2026-11-24T00:00:00Z, from 1:5",
        "Parquet: not where Kafka has it (1): demo/b at 2026-11-24T00:05:00Z, from 0:0",
    ]);
}

#[test]
fn a_row_stored_twice_is_told() {
    let mut case = readings();
    let again = case.stored.parquet[1];
    case.stored.parquet.push(again);
    let again = case.parquet[0].clone();
    case.parquet.push(again);
    case.check_told(&[
        "Parquet: interval stored twice (1): demo/a at 2026-11-24T00:10:00Z, from 0:2",
        "Parquet: stored twice (1): demo/b at 2026-11-24T00:00:00Z, from 0:1",
    ]);
}

#[test]
fn the_resend_is_what_stays_of_an_interval() {
    let mut case = reported();
    case.stored.clickhouse[0].position = Position { offset: 0, index: 0 };
    case.check_told(&[
        "ClickHouse: not the point that stays (1): demo/a at 2026-11-24T00:00:00Z, from 0:0, which is at 1:1",
    ]);
}

#[test]
fn the_loser_of_a_conflict_and_an_undecodable_record_are_rejected() {
    let mut case = readings();
    case.stored.rejected.clear();
    case.check_told(&["rejected: missing (2): 0:2; 2:0"]);

    // The winner in the place of the loser, and a point that nothing is wrong with.
    let mut case = readings();
    case.stored.rejected = vec![Position { offset: 2, index: 0 }, Position { offset: 3, index: 2 }];
    case.stored.rejected.push(Position { offset: 1, index: 0 });
    case.check_told(&[
        "rejected: missing (1): 0:2",
        "rejected: not a point of Kafka that loses (2): 1:0; 3:2",
    ]);
}

/// After an upgrade the record that was put aside can be read; it counts as what became of it, and so does the
/// one by which it was replayed.
#[test]
fn a_record_that_an_earlier_version_could_not_read_stays_put_aside() {
    let replayed: &[&[P]] = &[&[("a", 0, Some(100))], &[], &[("a", 1, Some(150)), ("b", 0, Some(1))]];
    for kind in [Kind::Battery, Kind::BatteryCounter] {
        let mut case = Case::new(kind, replayed);
        case.records[1] = encode(kind, replayed[2]);
        case.stored.put_aside.insert(1);
        let pairs = u64::from(kind == Kind::BatteryCounter);
        case.check_exact([4, 3, 3, 1, 0, 0, 0], [pairs; 3]);
    }
}

#[test]
fn a_wrong_interval_is_told() {
    let mut case = readings();
    case.clickhouse[0].energy_mwh[1] = Some(-50_001);
    case.clickhouse[1].start_ms = T0;
    case.clickhouse[2].quality[3] = "RESET";
    case.parquet.last_mut().unwrap().gap = true;
    case.check_told(&[
        "ClickHouse: interval is wrong (3): demo/a at 2026-11-24T00:05:00Z, from 1:1: \
         battery_total_energy_discharge_wh is -50.001 VALID, should be 50.000 VALID; \
         demo/a at 2026-11-24T00:10:00Z, from 3:2: \
         starts at 2026-11-24T00:00:00Z, should at 2026-11-24T00:05:00Z; \
         demo/b at 2026-11-24T00:05:00Z, from 3:0: \
         solar_total_energy_wh is 20.000 RESET, should be 20.000 VALID",
        "Parquet: interval is wrong (1): demo/b at 2026-11-24T00:05:00Z, from 3:0: \
         gap is true, should be false",
    ]);
}

#[test]
fn an_interval_too_many_or_not_renewed_is_told() {
    let mut case = readings();
    // The late reading in the middle did not renew the row behind it in ClickHouse.
    case.clickhouse[1] = case.parquet[0].clone();
    let key = case.key("a", 7, true);
    let stray = Interval { key, ..case.parquet[0].clone() };
    case.parquet.push(stray);
    let first = case.key("b", 0, true);
    let stray = Interval { key: first, ..case.parquet[0].clone() };
    case.parquet.push(stray);
    case.check_told(&[
        "ClickHouse: interval is not the newest (1): demo/a at 2026-11-24T00:10:00Z, from 0:2, which is at 3:2",
        "Parquet: interval is wrong (1): demo/b at 2026-11-24T00:00:00Z, from 0:2: no reading before it",
        "Parquet: interval without its reading in Kafka (1): demo/a at 2026-11-24T00:35:00Z, from 0:2",
    ]);
}

#[test]
fn many_problems_of_a_kind_are_counted_and_few_are_named() {
    let records: Vec<Vec<P>> = (0..100).map(|at| vec![("a", at, Some(1))]).collect();
    let records: Vec<&[P]> = records.iter().map(Vec::as_slice).collect();
    let mut case = Case::new(Kind::Battery, &records);
    case.stored.parquet.clear();
    let (_, _, problems) = case.run();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("Parquet: missing (100): demo/a at 2026-11-24T00:00:00Z, from 0:0; "));
    assert!(problems[0].ends_with("; demo/a at 2026-11-24T00:20:00Z, from 4:0; …"), "{}", problems[0]);
}

#[test]
fn what_kafka_no_longer_has_is_not_held_against_the_sinks() {
    // Of a the reading at 1 is a resend of one that is gone, and that at 3 follows one that is gone.
    // Of b the reading at 2 comes before one that is gone, and that at 1 loses against one that is.
    let records: &[&[P]] = &[
        &[("a", 1, Some(150)), ("b", 1, Some(90)), ("b", 3, Some(95))],
        &[("a", 2, Some(200))],
        &[("a", 1, Some(150)), ("a", 3, Some(300)), ("b", 1, Some(80)), ("b", 2, Some(92))],
        &[("a", 4, Some(400))],
    ];
    Case::new(Kind::BatteryCounter, records).forget_below(2).check_exact([5, 3, 3, 1, 1, 0, 0], [3, 3, 3]);
}

#[derive(Clone, Debug)]
struct Drawn {
    records: Vec<Vec<P>>,
    stored: (usize, usize),
    demanded: (usize, usize),
    low: usize,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let device = prop_oneof![Just("a"), Just("b")];
    let point = (device, 0..8i64, proptest::option::weighted(0.8, 0..4i64));
    let records = proptest::collection::vec(proptest::collection::vec(point, 0..4), 1..12);
    (records, any::<[proptest::sample::Index; 5]>()).prop_map(|(records, at)| {
        let below = |index: &proptest::sample::Index, end: usize| index.index(end + 1);
        let stored = (below(&at[0], records.len()), below(&at[1], records.len()));
        let demanded = (below(&at[2], stored.0), below(&at[3], stored.1));
        let low = below(&at[4], demanded.0.min(demanded.1));
        Drawn { records, stored, demanded, low }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_log_stored_in_part_is_exact(drawn in drawn(), is_reading: bool) {
        let kind = if is_reading { Kind::BatteryCounter } else { Kind::Battery };
        let records: Vec<&[P]> = drawn.records.iter().map(Vec::as_slice).collect();
        let mut case = Case::stored_to(kind, &records, drawn.stored.0 as i64, drawn.stored.1 as i64);
        case.demanded =
            Demanded { clickhouse: drawn.demanded.0 as i64, parquet: drawn.demanded.1 as i64 };
        let (counts, _, problems) = case.run();
        prop_assert_eq!(problems, Vec::<String>::new());
        let others = counts.rejected + counts.duplicates;
        prop_assert_eq!(counts.kafka, counts.clickhouse + counts.pending_clickhouse + others);
        prop_assert_eq!(counts.kafka, counts.parquet + counts.pending_parquet + others);
    }

    /// Without conflicts: of one that begins before the oldest record, Kafka alone cannot tell all.
    #[test]
    fn any_log_that_lost_its_beginning_is_exact(drawn in drawn(), is_reading: bool) {
        let kind = if is_reading { Kind::BatteryCounter } else { Kind::Battery };
        let mut records = drawn.records;
        for (_, at, value) in records.iter_mut().flatten() {
            *value = value.map(|_| *at * 10);
        }
        let records: Vec<&[P]> = records.iter().map(Vec::as_slice).collect();
        let mut case = Case::stored_to(kind, &records, drawn.stored.0 as i64, drawn.stored.1 as i64);
        case.demanded =
            Demanded { clickhouse: drawn.demanded.0 as i64, parquet: drawn.demanded.1 as i64 };
        let (_, _, problems) = case.forget_below(drawn.low as i64).run();
        prop_assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn any_row_that_is_lost_is_missed(drawn in drawn(), is_reading: bool, lost: proptest::sample::Index) {
        let kind = if is_reading { Kind::BatteryCounter } else { Kind::Battery };
        let records: Vec<&[P]> = drawn.records.iter().map(Vec::as_slice).collect();
        let mut case = Case::new(kind, &records);
        let lengths = [case.stored.clickhouse.len(), case.stored.rejected.len(), case.clickhouse.len()];
        prop_assume!(lengths.iter().sum::<usize>() > 0);
        let lost = lost.index(lengths.iter().sum());
        if lost < lengths[0] {
            case.stored.clickhouse.remove(lost);
        } else if lost < lengths[0] + lengths[1] {
            case.stored.rejected.remove(lost - lengths[0]);
        } else {
            case.clickhouse.remove(lost - lengths[0] - lengths[1]);
        }
        prop_assert_eq!(case.run().2.len(), 1);
    }
}
