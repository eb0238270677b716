//! `deploy/clickhouse/roles.sql` is enough for each command and allows no more, on an engine of the test's own
//! that keeps to the rights of a role.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::doctor::{ailments, doctor};
use crate::http::{self, try_post_text};
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::process::{Process, until};
use crate::site::{Keys, Site};

const STOP_DEADLINE: Duration = Duration::from_secs(20);
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// ClickHouse's code of a right that is not there.
const ACCESS_DENIED: &str = "Code: 497.";

/// An engine on the data of the site, for as long as the process lives.
struct Engine {
    url: String,
    process: Process,
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn python() -> String {
    std::env::var("WATTLINE_TEST_CLICKHOUSE_PYTHON").unwrap_or_else(|_| {
        panic!("WATTLINE_TEST_CLICKHOUSE_PYTHON is not set: `cargo xtask test -- -p wattline` sets it")
    })
}

impl Engine {
    fn start(site: &Site, role: &str, port: u16) -> Self {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let mut command = Command::new(python());
        command
            .arg(deploy.join("local/clickhouse/server.py"))
            .args(["--port", &port.to_string(), "--data"])
            .arg(site.path("clickhouse"))
            .args(["--role", role, "--roles"])
            .arg(deploy.join("clickhouse/roles.sql"));
        let process = Process::start(format!("clickhouse-{role}"), command, &site.path("."));
        let url = format!("http://127.0.0.1:{port}");
        until("an answer of ClickHouse", READY_DEADLINE, || {
            http::agent().get(format!("{url}/ping")).call().ok().map(drop)
        });
        Engine { url, process }
    }

    fn ask(&self, sql: &str) -> String {
        let (_, text) = try_post_text(&format!("{}/?database=wattline", self.url), sql);
        text.trim_end().to_owned()
    }

    #[track_caller]
    fn refuses(&self, sql: &str) {
        let text = self.ask(sql);
        assert!(text.starts_with(ACCESS_DENIED), "{sql}: {text}");
    }

    fn stop(mut self) {
        self.process.term();
        self.process.wait(STOP_DEADLINE);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
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

    let owner = Engine::start(&site, "wattline_owner", port);
    run(&["migrate"]);
    owner.refuses("CREATE DATABASE other");
    owner.stop();

    let writer = Engine::start(&site, "wattline_writer", port);
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
        writer.refuses(sql);
    }
    assert_eq!(ailing_tables(&site, keys), Vec::<String>::new());
    writer.stop();

    let reader = Engine::start(&site, "wattline_reader", port);
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
        reader.refuses(sql);
    }
    reader.stop();

    let owner = Engine::start(&site, "wattline_owner", port);
    run(&["rebuild", "--yes"]);
    let kept = "SELECT countIf(engine_full LIKE '%TTL%400%') FROM system.tables WHERE database = 'wattline'";
    assert_eq!(owner.ask(kept), "1", "the new tables keep their rows for as long as the old ones did");
    owner.stop();
}
