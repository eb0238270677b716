//! Files appear whole or not at all, under whatever a crash leaves behind: in a folder and in a bucket.

mod encodings;
mod fixture;
mod place;

use std::fs;

use fixture::{Fleet, day};
use parquet::file::reader::{FileReader, SerializedFileReader};
use place::Place;
use wattline_parquet_sink::{Folder, Kind, PartFile, Position, Store, derived_intervals, points};

const TOPIC: &str = "wattline.counters";

fn open(store: &Store, fleet: &Fleet, first: i64) -> PartFile {
    store.open(Kind::Readings, TOPIC, 3, first, fleet.schema()).unwrap()
}

#[test]
fn a_file_appears_whole_under_the_name_of_its_range() {
    Place::each(a_file_appears_whole);
}

fn a_file_appears_whole(place: &Place) {
    let store = &place.store;
    let mut fleet = Fleet::new(50);
    let mut part = open(store, &fleet, 1_000);
    for _ in 0..4 {
        part.append(&fleet.batch()).unwrap();
        assert_eq!(store.ranges(TOPIC, 3, Kind::Readings).unwrap(), []);
    }
    assert_eq!(part.rows(), 200);
    assert!(!store.holds(TOPIC, 3).unwrap());
    let finished = part.finish(1_003, day()).unwrap();

    let name = "kind=readings/day=2026-11-24/wattline.counters-3-1000-1003.parquet";
    assert_eq!((place.names(), finished.name.as_str()), (vec![name.to_owned()], name));
    let bytes = place.bytes(name);
    assert_eq!((finished.rows, finished.bytes), (200, bytes.len() as u64));
    let ranges = store.ranges(TOPIC, 3, Kind::Readings).unwrap();
    assert_eq!(ranges.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(), [(1_000, 1_003)]);
    assert_eq!(ranges[0].name, finished.name);
    assert_eq!(store.ranges(TOPIC, 2, Kind::Readings).unwrap(), []);
    assert_eq!(store.ranges(TOPIC, 3, Kind::Intervals).unwrap(), []);
    assert!(store.holds(TOPIC, 3).unwrap() && !store.holds(TOPIC, 2).unwrap());

    let mut found = Vec::new();
    points(store, name, Kind::Readings, |point| {
        assert!(point.client_id == "demo" && point.device_id.starts_with("bat-0000") && point.in_chain);
        found.push((point.time_ms, point.position));
    })
    .unwrap();
    let position = |n| Position { offset: 1_000 + n / 50, index: (n % 50) as i32 };
    let expected: Vec<_> = (0..200).map(|n| (1_795_000_000_000 + n / 50 * 300_000, position(n))).collect();
    assert_eq!(found, expected);
    let written = fixture::whole(&Fleet::new(50).take(4));
    let copy = place.aside.path().join("copy");
    fs::write(&copy, bytes).unwrap();
    assert_eq!(fixture::read(&copy, written.schema()), written);

    let file = SerializedFileReader::new(fs::File::open(&copy).unwrap()).unwrap();
    let metadata: Vec<(String, String)> = file
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .filter(|entry| entry.key.starts_with("wattline."))
        .map(|entry| (entry.key.clone(), entry.value.clone().unwrap()))
        .collect();
    expect_test::expect![[r#"
        [("wattline.format", "1"), ("wattline.kind", "readings"), ("wattline.topic", "wattline.counters"), ("wattline.partition", "3"), ("wattline.first_offset", "1000"), ("wattline.last_offset", "1003")]
    "#]].assert_eq(&format!("{metadata:?}\n"));
}

#[test]
fn derived_intervals_are_read_back() {
    Place::each(derived_intervals_come_back);
}

fn derived_intervals_come_back(Place { store, .. }: &Place) {
    let batch = fixture::intervals(&Fleet::new(50).batch());
    let mut part = store.open(Kind::Intervals, TOPIC, 3, 1_000, batch.schema()).unwrap();
    part.append(&batch).unwrap();
    let name = part.finish(1_000, day()).unwrap().name;

    let mut found = Vec::new();
    derived_intervals(store, &name, |interval| {
        assert!(interval.client_id == "demo" && interval.device_id.starts_with("bat-0000") && interval.gap);
        assert_eq!((interval.start_ms, interval.end_ms), (1_795_000_000_000, 1_795_000_000_000));
        assert_eq!(interval.qualities, ["JUMP", "VALID", "VALID", "VALID"]);
        assert!(interval.energies[0].is_none() && interval.energies[1].is_some(), "{interval:?}");
        found.push(interval.position);
    })
    .unwrap();
    // Those of odd places were reported.
    let at = |index| Position { offset: 1_000, index };
    assert_eq!(found, (0..50).step_by(2).map(at).collect::<Vec<_>>());
    let mut found = Vec::new();
    points(store, &name, Kind::Intervals, |point| found.push((point.in_chain, point.position))).unwrap();
    assert_eq!(found, (1..50).step_by(2).map(|index| (false, at(index))).collect::<Vec<_>>());
}

#[test]
fn a_process_that_dies_leaves_nothing_that_counts() {
    Place::each(what_a_dead_process_leaves);
    assert_eq!(Folder::new("/nowhere").sweep(TOPIC, 3).unwrap(), 0);
}

fn what_a_dead_process_leaves(place: &Place) {
    let store = &place.store;
    let mut fleet = Fleet::new(10);
    // Killed in the middle of a file of this partition, of another one, and of another topic.
    for (topic, partition) in [(TOPIC, 3), (TOPIC, 33), ("wattline", 3)] {
        let mut part = store.open(Kind::Readings, topic, partition, 5, fleet.schema()).unwrap();
        part.append(&fleet.batch()).unwrap();
        std::mem::forget(part);
    }
    assert_eq!(store.ranges(TOPIC, 3, Kind::Readings).unwrap(), []);
    // A folder has what was under way; a bucket has never seen it, and neither has the folder beside it.
    let left = match store {
        Store::Folder(_) => 1,
        Store::Bucket(_) => 0,
    };
    assert_eq!(place.names().len(), 3 * left);
    assert_eq!(fs::read_dir(place.aside.path()).unwrap().count(), 0);
    assert_eq!(store.sweep(TOPIC, 3).unwrap(), left);
    assert_eq!(store.sweep(TOPIC, 3).unwrap(), 0);
    assert_eq!(place.names().len(), 2 * left);
}

#[test]
fn the_same_range_again_is_the_same_file() {
    Place::each(the_same_range_twice);
}

fn the_same_range_twice(place: &Place) {
    let store = &place.store;
    let mut bytes = Vec::new();
    for attempt in 0..2 {
        let mut fleet = Fleet::new(20);
        let mut part = open(store, &fleet, 7);
        part.append(&fleet.batch()).unwrap();
        let finished = part.finish(7, day()).unwrap();
        bytes.push(place.bytes(&finished.name));
        assert_eq!((finished.rows, finished.bytes), (20, bytes[0].len() as u64));
        assert_eq!(place.names().len(), 1, "attempt {attempt}");
    }
    assert_eq!(bytes[0], bytes[1]);
    // Two at once, as a zombie and its successor: both finish, one file, that of the first.
    let mut fleet = Fleet::new(20);
    let (mut one, mut two) = (open(store, &fleet, 8), open(store, &fleet, 8));
    one.append(&fleet.batch()).unwrap();
    two.append(&fleet.batch()).unwrap();
    two.append(&fleet.batch()).unwrap();
    let (one, two) = (one.finish(8, day()).unwrap(), two.finish(8, day()).unwrap());
    assert_eq!((&one.name, one.bytes), (&two.name, two.bytes));
    assert_eq!(place.bytes(&one.name).len() as u64, one.bytes);
    assert_eq!(place.names().len(), 2);
}

#[test]
fn what_is_dropped_is_gone() {
    Place::each(|place| {
        let mut fleet = Fleet::new(10);
        let mut part = open(&place.store, &fleet, 1);
        part.append(&fleet.batch()).unwrap();
        part.discard();
        drop(open(&place.store, &fleet, 2));
        assert_eq!(place.names(), Vec::<String>::new());
    });
}

#[test]
fn a_bucket_is_rehearsed_and_nothing_stays() {
    for (conditional, refuses) in [(true, true), (false, true)] {
        let place = Place::bucket(conditional);
        let Store::Bucket(bucket) = &place.store else { unreachable!("a bucket") };
        bucket.spool_is_usable().unwrap();
        assert_eq!(bucket.rehearse().unwrap(), refuses);
        assert_eq!(place.names(), Vec::<String>::new());
    }
}

#[test]
fn memory_does_not_grow_with_the_file() {
    Place::each(memory_stays);
}

fn memory_stays(place: &Place) {
    let limit = place::ROW_GROUP_BYTES_MAX;
    let mut fleet = Fleet::new(1_000);
    let mut part = open(&place.store, &fleet, 0);
    let mut highest = [0; 2];
    for half in &mut highest {
        for _ in 0..150 {
            part.append(&fleet.batch()).unwrap();
            *half = part.memory_bytes().max(*half);
        }
    }
    let finished = part.finish(299, day()).unwrap();
    let copy = place.aside.path().join("copy");
    fs::write(&copy, place.bytes(&finished.name)).unwrap();
    let groups = SerializedFileReader::new(fs::File::open(&copy).unwrap()).unwrap().num_row_groups();
    assert!(groups >= 20, "{groups} row groups");
    assert!(highest[1] < highest[0] * 11 / 10 && highest[1] < 16 * limit, "{highest:?} bytes held");
}

#[test]
fn failures_of_the_disk_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(1);
    // A file where a folder has to be.
    fs::write(root.path().join(".tmp"), b"").unwrap();
    let store = Store::Folder(Folder::new(root.path()));
    let Err(error) = store.open(Kind::Readings, TOPIC, 3, 0, fleet.schema()) else { panic!("opened") };
    assert_eq!(error.kind(), "io", "{error}");
    // A file that is not Parquet.
    let error = points(&store, ".tmp", Kind::Readings, |_| {}).unwrap_err();
    assert_eq!(error.kind(), "format", "{error}");
    // An object that is not there.
    let error = points(&Place::bucket(true).store, "kind=x", Kind::Readings, |_| {}).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), ("store", "cannot read memory://bucket/kind=x"));
}

#[test]
fn a_point_takes_few_bytes() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::new(root.path()));
    let mut fleet = Fleet::new(1_000);
    let mut part = open(&store, &fleet, 0);
    for _ in 0..100 {
        part.append(&fleet.batch()).unwrap();
    }
    let finished = part.finish(99, day()).unwrap();
    let bytes = finished.bytes as f64 / finished.rows as f64;
    assert!(
        bytes < 32.0,
        "{bytes:.1} bytes a point: {}",
        fixture::bytes_by_column(&root.path().join(&finished.name))
    );
}
