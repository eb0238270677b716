//! `deploy/clickhouse/roles.sql` is enough for each command and allows no more, on an engine of the test's own
//! that keeps to the rights of a role.

use std::path::Path;

use crate::doctor::{ailments, doctor};
use crate::engine::{Engine, free_port};
use crate::http;
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::restarts::STOP_DEADLINE;
use crate::site::{Keys, Site};

/// ClickHouse's code of a right that is not there.
const ACCESS_DENIED: &str = "Code: 497.";

/// An engine on the data of the site where everybody has the rights of a role.
fn with_rights_of(site: &Site, role: &str, port: u16) -> Engine {
    let roles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/clickhouse/roles.sql");
    Engine::start(site, role, port, &["--role", role, "--roles", roles.to_str().expect("a path in UTF-8")])
}

#[track_caller]
fn refuses(engine: &Engine, sql: &str) {
    let text = engine.ask(sql);
    assert!(text.starts_with(ACCESS_DENIED), "{sql}: {text}");
}

/// What the doctor finds wrong with ClickHouse.
fn ailing_tables(site: &Site, keys: Keys<'_>) -> Vec<String> {
    let (report, _) = doctor(site, keys);
    let checks = ailments(&report).into_iter().map(|[check, ..]| check.to_owned());
    checks.filter(|check| check.starts_with("clickhouse")).collect()
}

#[test]
fn each_role_may_do_its_work_and_no_more() {
    let site = Site::bare("roles");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let keys: Keys<'_> = &[
        ("WATTLINE_CLICKHOUSE_URL", &url),
        ("WATTLINE_CLICKHOUSE_DATABASE", "wattline"),
        ("WATTLINE_CLICKHOUSE_REJECTED_RETENTION_DAYS", "400"),
    ];
    let run = |arguments: &[&str]| {
        let output = site.command(keys, arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };

    let owner = with_rights_of(&site, "wattline_owner", port);
    run(&["migrate"]);
    refuses(&owner, "CREATE DATABASE other");
    owner.stop();

    let writer = with_rights_of(&site, "wattline_writer", port);
    let token = site.token("demo");
    site.import("demo", &["a"]);
    run(&["devices", "publish"]);
    let gateway = site.gateway(&[]);
    let mut worker = site.worker(keys);
    let times = [30, 25, 20].map(|minutes| ago_ms(minutes * MINUTE_MS));
    let intervals = times.map(|at_ms| interval("a", at_ms));
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &intervals)), 3);
    // The last one is late, and its neighbours are looked up.
    for at_ms in [times[0], times[2], times[1]] {
        let request = post_points(COUNTER, &token, &[reading("a", at_ms, [1.0; 4])]);
        all_ok(&http::exchange(gateway.address, &request), 1);
    }
    site.wait_until_stored();
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
    for sql in [
        "DROP TABLE intervals",
        "TRUNCATE TABLE rejected",
        "ALTER TABLE readings DELETE WHERE true",
        "CREATE TABLE more (a Int8) ENGINE = Memory",
        "INSERT INTO schema_migrations (name) SELECT 'x'",
    ] {
        refuses(&writer, sql);
    }
    assert_eq!(ailing_tables(&site, keys), Vec::<String>::new());
    writer.stop();

    let reader = with_rights_of(&site, "wattline_reader", port);
    run(&["audit", "--complete"]);
    assert_eq!(ailing_tables(&site, keys), ["clickhouse.insert"]);
    assert_eq!(reader.ask("SELECT count() FROM readings_latest"), "3");
    let range = "since = now() - INTERVAL 1 DAY, until = now()";
    assert_eq!(
        reader.ask(&format!("SELECT sum(intervals) FROM energy_by_site({range}, minutes = 1440)")),
        "3"
    );
    for sql in
        ["INSERT INTO devices (device_id) SELECT 'x'", "DROP VIEW availability", "OPTIMIZE TABLE intervals"]
    {
        refuses(&reader, sql);
    }
    reader.stop();

    let owner = with_rights_of(&site, "wattline_owner", port);
    run(&["rebuild", "--yes"]);
    let kept = "SELECT countIf(engine_full LIKE '%TTL%400%') FROM system.tables WHERE database = 'wattline'";
    assert_eq!(owner.ask(kept), "1", "the new tables keep their rows for as long as the old ones did");
    owner.stop();
}
