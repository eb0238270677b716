//! A rebuild where the files are in a bucket: the new ones have a place of their own.

use crate::bucket::{Bucket, DEADLINE};
use crate::http;
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::restarts::STOP_DEADLINE;
use crate::site::{Site, failure};
use crate::stored::{Row, Table};

fn seen(bucket: &Bucket, prefix: &str, site: &Site) -> [Vec<Row>; 2] {
    let _ = std::fs::remove_dir_all(site.parquet());
    bucket.copy_to(prefix, &site.parquet());
    [Table::Intervals, Table::Readings].map(|table| site.rows(table, &[]))
}

/// A site with points in a bucket, and no worker any more.
fn stopped(bucket: &Bucket, test: &str) -> Site {
    let site = bucket.site(test, &bucket.server, &[]);
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let (gateway, mut worker) = (site.gateway(&[]), site.worker(&[]));
    let reported: Vec<_> = (1..5).map(|n| interval("bat", ago_ms(n * 5 * MINUTE_MS))).collect();
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &reported)), reported.len());
    let read: Vec<_> =
        (1..5).map(|n| reading("bat", ago_ms(n * 5 * MINUTE_MS), [(1_000 - n) as f64; 4])).collect();
    all_ok(&http::exchange(gateway.address, &post_points(COUNTER, &token, &read)), read.len());
    site.wait_until_stored();
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
    site
}

#[test]
fn a_rebuild_goes_into_another_place_which_is_then_the_only_one() {
    let bucket = Bucket::new("moved");
    let site = stopped(&bucket, "bucket_moved");
    let before = seen(&bucket, "a/prefix", &site);
    let [old, around, new, other] = ["a/prefix", "a", "b", "c"].map(|prefix| bucket.url(prefix));
    let rebuild = |from: &'static str| ["rebuild", "--from", from, "--yes", "--into"];
    let into = |from, to| [&rebuild(from)[..], &[to]].concat();

    let told = failure(&site, &[], &["rebuild", "--yes"]);
    assert!(told.contains("say with --into") && told.contains(&old), "{told}");
    for (elsewhere, word) in [(&*old, "another place"), (&*around, "another place"), ("b", "must be the URL")]
    {
        let told = failure(&site, &[], &into("kafka", elsewhere));
        assert!(told.contains(word), "{told}");
    }
    bucket.put("b/notes.txt");
    let told = failure(&site, &[], &into("kafka", &new));
    assert!(told.contains("is not empty"), "{told}");
    bucket.delete("b/notes.txt");

    // Killed once the exchange is announced: no worker begins, and the same command finishes it.
    let killed =
        site.command(&[("WATTLINE_TEST_FAIL_AT", "rebuild-announced")], &into("parquet", &new)).output();
    assert!(!killed.expect("the binary starts").status.success());
    let told = failure(&site, &[], &["worker"]);
    assert!(told.contains("the exchange of a rebuild was cut short"), "{told}");
    let told = failure(&site, &[], &into("parquet", &other));
    assert!(told.contains("did not go into"), "{told}");
    let done = site.run(&into("parquet", &new));
    assert!(done.contains(&format!("set parquet.dir = \"{new}\"")), "{done}");

    for command in ["worker", "audit"] {
        let told = failure(&site, &[], &[command]);
        assert!(told.contains(&format!("has put the files of {old} into {new}")), "{told}");
    }
    assert_eq!(seen(&bucket, "b", &site), before);
    assert!(bucket.names().contains(&"a/prefix/.moved".to_owned()));
    assert!(!bucket.names().contains(&"b/.rebuild".to_owned()));

    // From there it goes on.
    let keys = [("WATTLINE_PARQUET_DIR", &*new)];
    let token = site.token("demo");
    let (gateway, mut worker) = (site.gateway(&[]), site.worker(&keys));
    all_ok(
        &http::exchange(
            gateway.address,
            &post_points(BATTERY, &token, &[interval("bat", ago_ms(40 * MINUTE_MS))]),
        ),
        1,
    );
    site.wait_until_stored();
    worker.process.term();
    assert!(worker.process.wait(DEADLINE).success());
    let output = site.command(&keys, &["audit", "--complete"]).output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(seen(&bucket, "b", &site)[0].len(), before[0].len() + 1);
}
