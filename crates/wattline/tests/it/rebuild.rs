//! Damaged tables and lost files are computed anew; what is read is the old or the new.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::http::{self, Connection};
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::rejected::append;
use crate::restarts::STOP_DEADLINE;
use crate::site::{Gateway, Keys, Site, Worker, files_below};
use crate::stored::{Row, Table};

const ENERGIES: [&str; 4] = [
    "battery_total_energy_charge_wh",
    "battery_total_energy_discharge_wh",
    "home_total_energy_wh",
    "solar_total_energy_wh",
];

/// Everything that a reader sees.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    intervals: Vec<Row>,
    readings: Vec<Row>,
    rejected: BTreeSet<Row>,
}

fn seen(site: &Site) -> Seen {
    let rejected = "SELECT reason, rejected_at, replayed_at, _topic, _partition, _offset, _index, _version \
                    FROM rejected FINAL";
    Seen {
        intervals: site.rows(Table::Intervals, &[]),
        readings: site.rows(Table::Readings, &[]),
        rejected: site.query(rejected).into_iter().collect(),
    }
}

fn sql(site: &Site, text: &str) {
    let url = format!("{}/?database={}&mutations_sync=1", site.clickhouse, site.database());
    http::post_text(&url, text);
}

/// What an operator does when nobody needs the old tables and files any more.
pub fn drop_before(site: &Site) {
    sql(site, &format!("DROP DATABASE {}_before_rebuild", site.database()));
    fs::remove_dir_all(site.path("parquet.before_rebuild")).expect("the old folder");
}

/// The rows of two tables in one query; none where it failed.
fn both_counts(site: &Site) -> Option<String> {
    let url = format!("{}/?database={}", site.clickhouse, site.database());
    let both = "SELECT count(), 'intervals' FROM intervals FINAL UNION ALL SELECT count(), 'readings' FROM readings \
                FINAL ORDER BY 2 SETTINGS max_threads = 1";
    let (status, text) = http::try_post_text(&url, both);
    (status == 200).then_some(text)
}

/// Runs a command while somebody asks for both counts all the time, and gives every answer that there was.
fn read_during(site: &Site, arguments: &[&str]) -> (Output, BTreeSet<String>) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut answers = BTreeSet::new();
            while !is_done.load(Ordering::Relaxed) {
                answers.extend(both_counts(site));
            }
            answers
        });
        let output = site.output(arguments);
        is_done.store(true, Ordering::Relaxed);
        (output, reading.join().expect("the reader"))
    })
}

/// Kafka drops all records of a topic, as its retention does.
fn empty_topic(site: &Site, topic: &str) {
    let program = Path::new(env!("CARGO_BIN_EXE_wattline")).with_file_name("topic-fault");
    if !program.exists() {
        // It is built with the whole workspace, and not with this crate.
        let build = ["build", "--quiet", "--package", "wattline-kafka", "--bin", "topic-fault"];
        let built = Command::new(env!("CARGO")).args(build).status().expect("cargo starts");
        assert!(built.success(), "topic-fault is built");
    }
    let emptied = Command::new(program).args([&site.kafka().brokers, "empty", topic]).status();
    assert!(emptied.expect("topic-fault starts").success());
}

fn stop(mut worker: Worker) {
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
}

#[track_caller]
fn failure(site: &Site, keys: Keys<'_>, arguments: &[&str]) -> String {
    let output = site.command(keys, arguments).output().expect("the binary starts");
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// Points of every fate: reported and derived, repeated within a record and after it, late, in conflict both
/// ways, without counters, and a record that is none.
fn post_all_kinds(site: &Site, gateway: &Gateway, token: &str) {
    let mut connection = Connection::open(gateway.address).expect("a connection");
    let base = ago_ms(90 * MINUTE_MS);
    let at = |minutes: i64| base + minutes * MINUTE_MS;
    let of = |device: &str, minutes: i64, wh: f64| reading(device, at(minutes), [wh; 4]);
    let mut offline = of("a", 40, 0.0);
    for field in ENERGIES {
        offline[field] = Value::Null;
    }
    offline["last_is_online"] = json!(false);
    let mut detailed = of("a", 20, 130.0);
    detailed["oem_raw_data"] = json!({ "fan": "loud" });
    detailed["last_mode"] = json!("CHARGE");
    let batches: [&[Value]; 6] = [
        // The repeated one leaves a gap in the record's places.
        &[of("a", 0, 100.0), of("a", 0, 100.0), of("a", 10, 120.0), of("b", 0, 7.0)],
        &[detailed, offline],
        // Late, and in conflict: the smaller goes at once, the larger takes the other's place.
        &[of("a", 5, 111.0)],
        &[of("a", 10, 119.0), of("b", 5, 9.0)],
        &[of("a", 10, 121.0)],
        &[of("a", 0, 100.0), of("b", 15, 9.5)],
    ];
    for points in batches {
        all_ok(&connection.exchange(&post_points(COUNTER, token, points)), points.len());
        site.wait_until_stored();
    }
    for _ in 0..2 {
        let points = [interval("a", at(0)), interval("a", at(5)), interval("b", at(0))];
        all_ok(&connection.exchange(&post_points(BATTERY, token, &points)), 3);
    }
    append(site, "counters", b"\xff not a record");
    append(site, "intervals", b"");
    site.wait_until_stored();
}

#[test]
fn what_is_damaged_is_computed_anew_from_kafka_and_from_parquet() {
    let site = Site::new("rebuild");
    let token = site.token("demo");
    site.import("demo", &["a", "b"]);
    let gateway = site.gateway(&[]);
    let worker = site.worker(&[]);
    post_all_kinds(&site, &gateway, &token);
    let (whole, counts) = (seen(&site), site.audit());
    assert_eq!((counts.rejected, counts.duplicates), (4, 5), "{counts:?}");

    let told = failure(&site, &[], &["rebuild", "--yes"]);
    assert!(told.contains("has members") && told.contains("stop all workers"), "{told}");
    stop(worker);
    let told = site.run(&["rebuild"]);
    assert!(told.contains("--yes") && told.contains(&site.topic("counters")), "{told}");
    assert_eq!(seen(&site), whole, "without --yes nothing is done");

    // Rows are gone, rows are wrong, and a file is gone.
    sql(&site, "DELETE FROM intervals WHERE device_id = 'b'");
    sql(&site, "ALTER TABLE intervals UPDATE battery_total_energy_charge_wh = 1 WHERE source = 'COUNTER'");
    sql(&site, "DELETE FROM readings WHERE in_chain = false");
    sql(&site, "TRUNCATE TABLE rejected");
    fs::remove_file(&files_below(&site.parquet().join("kind=readings"))[0]).expect("a file of readings");
    assert_eq!(site.output(&["audit", "--complete"]).status.code(), Some(1));

    // The files have lost points, so nothing that is computed from them takes any place.
    let told = failure(&site, &[], &["rebuild", "--from", "parquet", "--yes"]);
    assert!(told.contains("not exact"), "{told}");
    let old = both_counts(&site).expect("an answer");
    let (output, answers) = read_during(&site, &["rebuild", "--yes"]);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(told.contains(&format!("DROP DATABASE {}_before_rebuild", site.database())), "{told}");
    assert_eq!((seen(&site), site.audit()), (whole.clone(), counts));
    let new = both_counts(&site).expect("an answer");
    assert_ne!(old, new);
    let either = BTreeSet::from([old, new]);
    assert!(answers.is_subset(&either), "a reader has the old or the new: {answers:?}, not {either:?}");
    assert_eq!(
        site.ask(&format!("SELECT count() FROM {}_before_rebuild.rejected", site.database())),
        "0",
        "what was there is kept as it was"
    );
    let told = failure(&site, &[], &["rebuild", "--yes"]);
    assert!(told.contains("DROP DATABASE"), "{told}");
    drop_before(&site);

    // The worker goes on with the new tables and files.
    let worker = site.worker(&[]);
    let later = reading("a", ago_ms(2 * MINUTE_MS), [150.0; 4]);
    all_ok(&http::exchange(gateway.address, &post_points(COUNTER, &token, &[later])), 1);
    site.wait_until_stored();
    stop(worker);
    site.run(&["rejected", "replay", "--yes", "--force", "--limit", "1"]);
    let worker = site.worker(&[]);
    site.wait_until_stored();
    stop(worker);
    let (whole, counts) = (seen(&site), site.audit());

    // Again from Kafka, which does not know what was replayed, and from Parquet alone.
    for from in ["kafka", "parquet"] {
        sql(&site, "DELETE FROM intervals WHERE source = 'COUNTER'");
        sql(&site, "TRUNCATE TABLE readings");
        for file in files_below(&site.parquet().join("kind=intervals")) {
            if file.display().to_string().contains(&site.topic("counters")) {
                fs::remove_file(file).expect("a file of derived intervals");
            }
        }
        assert_eq!(site.output(&["audit", "--complete"]).status.code(), Some(1));
        site.run(&["rebuild", "--from", from, "--yes"]);
        assert_eq!((seen(&site), site.audit()), (whole.clone(), counts), "from {from}");
        drop_before(&site);
    }
}

#[test]
fn what_kafka_has_forgotten_is_computed_from_parquet() {
    let site = Site::new("rebuild_parquet");
    let token = site.token("demo");
    site.import("demo", &["a", "b"]);
    let gateway = site.gateway(&[]);
    let worker = site.worker(&[]);
    post_all_kinds(&site, &gateway, &token);
    stop(worker);
    let whole = seen(&site);
    empty_topic(&site, &site.topic("counters"));
    sql(&site, "TRUNCATE TABLE intervals");
    sql(&site, "TRUNCATE TABLE readings");

    let told = failure(&site, &[], &["rebuild", "--yes"]);
    assert!(told.contains("no longer has the first") && told.contains("--from parquet"), "{told}");
    site.run(&["rebuild", "--from", "parquet", "--yes"]);
    assert_eq!(seen(&site), whole);
    drop_before(&site);

    // Chains go on from readings that Kafka does not know any more.
    let worker = site.worker(&[]);
    let later = reading("a", ago_ms(2 * MINUTE_MS), [150.0; 4]);
    all_ok(&http::exchange(gateway.address, &post_points(COUNTER, &token, &[later])), 1);
    site.wait_until_stored();
    stop(worker);
    assert_eq!(seen(&site).intervals.len(), whole.intervals.len() + 1);
    site.audit();
}

#[test]
fn a_rebuild_that_is_killed_leaves_the_old_or_is_finished() {
    let site = Site::new("rebuild_killed");
    let token = site.token("demo");
    site.import("demo", &["a", "b"]);
    let gateway = site.gateway(&[]);
    let worker = site.worker(&[]);
    post_all_kinds(&site, &gateway, &token);
    stop(worker);
    let (whole, counts) = (seen(&site), site.audit());
    let killed_at = |step: &str| {
        let keys: Keys<'_> = &[("WATTLINE_TEST_FAIL_AT", step)];
        let output = site.command(keys, &["rebuild", "--yes"]).output().expect("the binary starts");
        assert_eq!(output.status.code(), None, "{step}: {output:?}");
    };

    for step in ["clickhouse-readings-written", "parquet-announced", "rebuild-audited"] {
        killed_at(step);
        assert_eq!((seen(&site), site.audit()), (whole.clone(), counts), "{step}");
        // Nothing is in the way of a worker.
        stop(site.worker(&[]));
    }

    let kept = || {
        let tables = site.query(&format!(
            "SELECT name FROM system.tables WHERE database = '{}_before_rebuild' ORDER BY name",
            site.database()
        ));
        tables.len()
    };
    for step in ["rebuild-announced", "rebuild-files-exchanged", "rebuild-tables-exchanged"] {
        killed_at(step);
        let told = failure(&site, &[], &["worker"]);
        assert!(told.contains("wattline rebuild --yes"), "{step}: {told}");
        // The announcement, and the old tables once they are there.
        assert_eq!(kept(), if step == "rebuild-tables-exchanged" { 4 } else { 1 }, "{step}");
        if step == "rebuild-files-exchanged" {
            // A server that died within the statement that moves the tables.
            let before = format!("{}_before_rebuild", site.database());
            sql(&site, &format!("RENAME TABLE intervals TO {before}.intervals"));
        }
        let told = site.run(&["rebuild"]);
        assert!(told.contains("cut short"), "{step}: {told}");
        site.run(&["rebuild", "--yes"]);
        assert_eq!((seen(&site), site.audit()), (whole.clone(), counts), "{step}");
        assert_eq!(kept(), 3, "{step}");
        stop(site.worker(&[]));
        drop_before(&site);
    }
}
