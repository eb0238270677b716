//! Files appear whole or not at all, under whatever a crash leaves behind.

mod fixture;

use std::fs;
use std::path::Path;

use fixture::{Fleet, day};
use parquet::file::reader::{FileReader, SerializedFileReader};
use wattline_parquet_sink::{Folder, Kind, PartFile, Position, derived_intervals, points};

const TOPIC: &str = "wattline.counters";

fn open(folder: &Folder, fleet: &Fleet, first: i64) -> PartFile {
    folder.open(Kind::Readings, TOPIC, 3, first, fleet.schema()).unwrap()
}

/// Every file under the root, by its path from there.
fn files(root: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort();
    found
}

#[test]
fn a_file_appears_whole_under_the_name_of_its_range() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path().join("made/by/the/sink"));
    let mut fleet = Fleet::new(50);
    let mut part = open(&folder, &fleet, 1_000);
    for _ in 0..4 {
        part.append(&fleet.batch()).unwrap();
        assert_eq!(folder.ranges(TOPIC, 3, Kind::Readings).unwrap(), []);
    }
    assert_eq!(part.rows(), 200);
    let finished = part.finish(1_003, day()).unwrap();

    let name = "made/by/the/sink/kind=readings/day=2026-11-24/wattline.counters-3-1000-1003.parquet";
    assert_eq!(files(root.path()), [name]);
    assert_eq!((finished.rows, finished.bytes), (200, fs::metadata(root.path().join(name)).unwrap().len()));
    let ranges = folder.ranges(TOPIC, 3, Kind::Readings).unwrap();
    assert_eq!(ranges.iter().map(|range| (range.first, range.last)).collect::<Vec<_>>(), [(1_000, 1_003)]);
    assert_eq!(ranges[0].path, finished.path);
    assert_eq!(folder.ranges(TOPIC, 2, Kind::Readings).unwrap(), []);
    assert_eq!(folder.ranges(TOPIC, 3, Kind::Intervals).unwrap(), []);

    let mut found = Vec::new();
    points(&finished.path, Kind::Readings, |point| {
        assert!(point.client_id == "demo" && point.device_id.starts_with("bat-0000") && point.in_chain);
        found.push((point.time_ms, point.position));
    })
    .unwrap();
    let position = |n| Position { offset: 1_000 + n / 50, index: (n % 50) as i32 };
    let expected: Vec<_> = (0..200).map(|n| (1_795_000_000_000 + n / 50 * 300_000, position(n))).collect();
    assert_eq!(found, expected);
    let written = fixture::whole(&Fleet::new(50).take(4));
    assert_eq!(fixture::read(&finished.path, written.schema()), written);

    let file = SerializedFileReader::new(fs::File::open(&finished.path).unwrap()).unwrap();
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
    let root = tempfile::tempdir().unwrap();
    let batch = fixture::intervals(&Fleet::new(50).batch());
    let mut part = Folder::new(root.path()).open(Kind::Intervals, TOPIC, 3, 1_000, batch.schema()).unwrap();
    part.append(&batch).unwrap();
    let path = part.finish(1_000, day()).unwrap().path;

    let mut found = Vec::new();
    derived_intervals(&path, |interval| {
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
    points(&path, Kind::Intervals, |point| found.push((point.in_chain, point.position))).unwrap();
    assert_eq!(found, (1..50).step_by(2).map(|index| (false, at(index))).collect::<Vec<_>>());
}

#[test]
fn a_process_that_dies_leaves_nothing_that_counts() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let mut fleet = Fleet::new(10);
    // Killed in the middle of a file of this partition, of another one, and of another topic.
    for (topic, partition) in [(TOPIC, 3), (TOPIC, 33), ("wattline", 3)] {
        let mut part = folder.open(Kind::Readings, topic, partition, 5, fleet.schema()).unwrap();
        part.append(&fleet.batch()).unwrap();
        std::mem::forget(part);
    }
    assert_eq!(files(root.path()).len(), 3);
    assert_eq!(folder.ranges(TOPIC, 3, Kind::Readings).unwrap(), []);
    assert_eq!(folder.sweep(TOPIC, 3).unwrap(), 1);
    assert_eq!(folder.sweep(TOPIC, 3).unwrap(), 0);
    assert_eq!(files(root.path()).len(), 2);
    assert_eq!(Folder::new(root.path().join("none")).sweep(TOPIC, 3).unwrap(), 0);
}

#[test]
fn the_same_range_again_is_the_same_file() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let mut bytes = Vec::new();
    for attempt in 0..2 {
        let mut fleet = Fleet::new(20);
        let mut part = open(&folder, &fleet, 7);
        part.append(&fleet.batch()).unwrap();
        let finished = part.finish(7, day()).unwrap();
        assert_eq!(finished.rows, 20);
        bytes.push(fs::read(&finished.path).unwrap());
        let kept = fs::metadata(&finished.path).unwrap().modified().unwrap();
        assert_eq!(files(root.path()).len(), 1, "attempt {attempt}");
        assert_eq!(kept, fs::metadata(&finished.path).unwrap().modified().unwrap());
    }
    assert_eq!(bytes[0], bytes[1]);
    // Two at once, as a zombie and its successor: both finish, one file.
    let mut fleet = Fleet::new(20);
    let batch = fleet.batch();
    let (mut one, mut two) = (open(&folder, &fleet, 8), open(&folder, &fleet, 8));
    one.append(&batch).unwrap();
    two.append(&batch).unwrap();
    assert_eq!(one.finish(8, day()).unwrap().path, two.finish(8, day()).unwrap().path);
    assert_eq!(files(root.path()).len(), 2);
}

#[test]
fn what_is_dropped_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let mut fleet = Fleet::new(10);
    let mut part = open(&folder, &fleet, 1);
    part.append(&fleet.batch()).unwrap();
    part.discard();
    drop(open(&folder, &fleet, 2));
    assert_eq!(files(root.path()), Vec::<String>::new());
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let root = tempfile::tempdir().unwrap();
    let limit = 256 * 1024;
    let folder = Folder::new(root.path()).with_row_group_bytes_max(limit);
    let mut fleet = Fleet::new(1_000);
    let mut part = open(&folder, &fleet, 0);
    let mut highest = [0; 2];
    for half in &mut highest {
        for _ in 0..150 {
            part.append(&fleet.batch()).unwrap();
            *half = part.memory_bytes().max(*half);
        }
    }
    let finished = part.finish(299, day()).unwrap();
    let groups = SerializedFileReader::new(fs::File::open(&finished.path).unwrap()).unwrap().num_row_groups();
    assert!(groups >= 20, "{groups} row groups");
    assert!(highest[1] < highest[0] * 11 / 10 && highest[1] < 16 * limit, "{highest:?} bytes held");
}

#[test]
fn failures_of_the_disk_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(1);
    // A file where a folder has to be.
    fs::write(root.path().join(".tmp"), b"").unwrap();
    let folder = Folder::new(root.path());
    let Err(error) = folder.open(Kind::Readings, TOPIC, 3, 0, fleet.schema()) else { panic!("opened") };
    assert_eq!(error.kind(), "io", "{error}");
    // A file that is not Parquet.
    let error = points(&root.path().join(".tmp"), Kind::Readings, |_| {}).unwrap_err();
    assert_eq!(error.kind(), "format", "{error}");
}

#[test]
fn a_point_takes_few_bytes() {
    let root = tempfile::tempdir().unwrap();
    let folder = Folder::new(root.path());
    let mut fleet = Fleet::new(1_000);
    let mut part = open(&folder, &fleet, 0);
    for _ in 0..100 {
        part.append(&fleet.batch()).unwrap();
    }
    let finished = part.finish(99, day()).unwrap();
    let bytes = finished.bytes as f64 / finished.rows as f64;
    assert!(bytes < 32.0, "{bytes:.1} bytes a point: {}", fixture::bytes_by_column(&finished.path));
}
