//! `wattline doctor`, on services that are well and on such as are not.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::Value;

use crate::http;
use crate::points::{BATTERY, MINUTE_MS, ago_ms, all_ok, interval, post_points};
use crate::site::{Keys, PEPPER, Site};

/// What the doctor says, and its exit code; it tells no secret.
pub fn doctor(site: &Site, keys: Keys<'_>) -> (Value, i32) {
    let output = site.command(keys, &["doctor", "--json"]).output().expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    for secret in [PEPPER, "canary-secret"] {
        assert!(!told.contains(secret) && !errors.contains(secret), "a secret is told: {told} {errors}");
    }
    let report = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told} {errors}"));
    (report, output.status.code().expect("an exit code"))
}

/// The checks that are not ok, each with its status, what was found, and the advice. How full the disk is that the tests
/// run on is not theirs to say; what is told of it has tests of its own.
pub fn ailments(report: &Value) -> Vec<[&str; 4]> {
    let checks = report["checks"].as_array().expect("checks").iter();
    let is_of_machine = |check: &Value| check["check"] == "parquet.space" && check["status"] == "warning";
    let ailing = checks.filter(|check| check["status"] != "ok" && !is_of_machine(check));
    ailing
        .map(|check| {
            let said =
                ["check", "status", "found", "advice"].map(|key| check[key].as_str().unwrap_or_default());
            assert!(!said[3].is_empty(), "no advice: {check}");
            said
        })
        .collect()
}

/// The fault is named by its check, with these words in what was found and in the advice, and nothing else fails.
#[track_caller]
pub fn named(site: &Site, keys: Keys<'_>, check: &str, status: &str, found: &str, advice: &str) {
    let (report, code) = doctor(site, keys);
    let all = ailments(&report);
    let is_named = |[name, state, what, how]: &[&str; 4]| {
        *name == check && *state == status && what.contains(found) && how.contains(advice)
    };
    assert!(all.iter().any(is_named), "{check} {status} {found:?} {advice:?} is not among {all:#?}");
    let others: Vec<_> =
        all.iter().filter(|[name, state, ..]| *state == "failed" && *name != check).collect();
    assert!(others.is_empty(), "besides {check}: {others:#?}");
    assert_eq!(code, i32::from(status == "failed"), "{report:#}");
    assert_eq!(report["healthy"], status != "failed");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// A site of which all parts are well, processes aside.
fn well(test: &str) -> Site {
    let site = Site::new(test);
    site.token("demo");
    site.import("demo", &["bat"]);
    fs::create_dir(site.parquet()).expect("the folder of Parquet");
    site
}

#[test]
fn on_a_deployment_that_is_well_all_is_ok() {
    let site = Site::new("doctor_well");
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let (gateway, worker) = (site.gateway(&[]), site.worker(&[]));
    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);
    site.wait_until_stored();

    let pepper = site.path("pepper");
    fs::write(&pepper, PEPPER).expect("the pepper");
    fs::set_permissions(&pepper, fs::Permissions::from_mode(0o640)).expect("its mode");
    let (listen, ops) = (gateway.address.to_string(), gateway.ops.address().to_string());
    let worker_ops = worker.ops.address().to_string();
    let keys = [
        ("WATTLINE_AUTH_PEPPER", ""),
        ("WATTLINE_AUTH_PEPPER_FILE", text(&pepper)),
        ("WATTLINE_GATEWAY_LISTEN", &*listen),
        ("WATTLINE_GATEWAY_OPS_LISTEN", &*ops),
        ("WATTLINE_WORKER_OPS_LISTEN", &*worker_ops),
    ];
    let (report, code) = doctor(&site, &keys);
    assert_eq!(ailments(&report), Vec::<[&str; 4]>::new());
    assert_eq!((code, &report["healthy"]), (0, &Value::Bool(true)));
    let found = |name: &str| -> Vec<&str> {
        let checks = report["checks"].as_array().expect("checks").iter();
        checks.filter(|check| check["check"] == name).map(|check| check["found"].as_str().unwrap()).collect()
    };
    assert_eq!(found("ports.gateway"), ["a gateway runs and is ready"]);
    assert_eq!(found("ports.worker"), ["a worker runs and is ready"]);
    assert_eq!(found("directory.clients"), ["1 clients, 1 active tokens, 1 devices"]);
    assert_eq!(found("kafka.group"), [format!("{}: 0 records wait", site.database())]);
    assert_eq!([found("kafka.write").len(), found("kafka.read").len()], [3, 3]);

    // Looked at as it is, nothing has changed: no record, no row, no file.
    let audit = site.audit();
    assert_eq!((audit.kafka, audit.clickhouse, audit.parquet), (1, 1, 1));
    let temporary = fs::read_dir(site.parquet().join(".tmp")).expect("the temporary files").count();
    assert_eq!(temporary, 0);

    // The same for a person.
    let output = site.command(&keys, &["doctor"]).output().expect("the binary starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("\nok       kafka.write"), "{told}");
    let checks = report["checks"].as_array().expect("checks").iter();
    let of_the_disk = checks.filter(|check| check["status"] == "warning").count();
    assert!(told.trim_end().ends_with(&format!("ok, {of_the_disk} warnings, 0 failed")), "{told}");
}

#[test]
fn faults_of_kafka_are_named() {
    let site = well("doctor_kafka");
    let port =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").to_string();
    let broker = "kafka.reachable";
    named(&site, &[("WATTLINE_KAFKA_BROKERS", &port)], broker, "failed", &port, "start Kafka");
    let topic = ("WATTLINE_KAFKA_TOPIC_COUNTERS", "it_nobody.counters");
    named(&site, &[topic], "kafka.topics", "failed", "it_nobody.counters", "wattline migrate");
    let partitions = ("WATTLINE_KAFKA_PARTITIONS", "5");
    named(
        &site,
        &[partitions],
        "kafka.partitions",
        "failed",
        "kafka.partitions is 5",
        "kafka.partitions = 3",
    );
    let hours = ("WATTLINE_KAFKA_RETENTION_HOURS", "400");
    let retention = "retention.ms=1440000000";
    named(&site, &[hours], "kafka.settings", "failed", "retention.ms is 604800000", retention);
    // For longer than is configured is long enough.
    let (report, code) = doctor(&site, &[("WATTLINE_KAFKA_RETENTION_HOURS", "100")]);
    assert_eq!((ailments(&report), code), (Vec::new(), 0));
    let size = ("WATTLINE_GATEWAY_RECORD_BYTES_MAX", "2000000");
    named(&site, &[size], "kafka.settings", "failed", "max.message.bytes", "max.message.bytes=2001024");
    let copies = [("WATTLINE_KAFKA_REPLICATION", "3"), ("WATTLINE_KAFKA_MIN_INSYNC_REPLICAS", "1")];
    named(&site, &copies, "kafka.replication", "failed", "1 copies", "kafka-reassign-partitions.sh");
}

#[test]
fn faults_of_clickhouse_are_named() {
    let site = well("doctor_tables");
    let port =
        TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").to_string();
    let url = format!("http://me:canary-secret@{port}");
    let server = "clickhouse.reachable";
    named(&site, &[("WATTLINE_CLICKHOUSE_URL", &url)], server, "failed", &port, "start ClickHouse");
    let database = ("WATTLINE_CLICKHOUSE_DATABASE", "it_nobody");
    named(&site, &[database], "clickhouse.database", "failed", "it_nobody", "wattline migrate");
    let at = |statement: &str| http::post_text(&site.clickhouse, statement);
    at(&format!("TRUNCATE TABLE {}.schema_migrations", site.database()));
    named(&site, &[], "clickhouse.migrations", "failed", "0001_tables", "wattline migrate");
    site.run(&["migrate"]);
    at(&format!("DROP TABLE {}.rejected", site.database()));
    named(&site, &[], "clickhouse.insert", "failed", "rejected", "wattline migrate");
}

#[test]
fn faults_of_the_directory_are_named() {
    let site = well("doctor_directory");
    let absent = format!("sqlite://{}", site.path("absent.db").display());
    let missing = [("WATTLINE_DIRECTORY_URL", &*absent)];
    named(&site, &missing, "directory.reachable", "failed", "absent.db", "wattline migrate");
    assert!(!site.path("absent.db").exists(), "the doctor makes nothing");
    fs::write(site.path("empty.db"), "").expect("an empty database");
    let empty = format!("sqlite://{}", site.path("empty.db").display());
    let unmigrated = [("WATTLINE_DIRECTORY_URL", &*empty)];
    named(&site, &unmigrated, "directory.migrations", "failed", "not applied", "wattline migrate");
    let nobody = [("WATTLINE_DIRECTORY_URL", "postgres://me:canary-secret@127.0.0.1:1/wattline")];
    named(&site, &nobody, "directory.reachable", "failed", "PostgreSQL", "directory.url");
    let fresh = Site::new("doctor_nobody");
    fs::create_dir(fresh.parquet()).expect("the folder of Parquet");
    named(&fresh, &[], "directory.clients", "warning", "0 active tokens", "wattline token create");
}

#[test]
fn faults_of_the_folder_are_named() {
    let site = well("doctor_folder");
    named(&site, &[("WATTLINE_PARQUET_DIR", "absent")], "parquet.folder", "failed", "absent", "mkdir -p");
    // Nobody, not even root, makes a file there.
    named(&site, &[("WATTLINE_PARQUET_DIR", "/proc/self")], "parquet.write", "failed", "/proc/self", "chown");

    let left = site.parquet().join(".tmp").join("t-0-intervals-0.left");
    fs::create_dir(site.parquet().join(".tmp")).expect("the folder of temporary files");
    let file = fs::File::create(&left).expect("a file");
    file.set_modified(std::time::UNIX_EPOCH).expect("its time");
    named(&site, &[], "parquet.leftovers", "warning", "1 temporary", "rm ");
    fs::remove_dir_all(site.parquet().join(".tmp")).expect("gone");

    let elsewhere = tempfile::tempdir_in("/dev/shm").expect("a folder in memory");
    let device = |path: &Path| fs::metadata(path).expect("a folder").dev();
    assert_ne!(device(elsewhere.path()), device(&site.parquet()), "/dev/shm is another file system");
    symlink(elsewhere.path(), site.parquet().join(".tmp")).expect("a link");
    named(&site, &[], "parquet.write", "failed", "cross-device", "one file system");
}

#[test]
fn faults_of_the_machine_are_named() {
    let site = well("doctor_machine");
    let pepper = site.path("pepper");
    fs::write(&pepper, PEPPER).expect("the pepper");
    fs::set_permissions(&pepper, fs::Permissions::from_mode(0o644)).expect("its mode");
    let file = [("WATTLINE_AUTH_PEPPER", ""), ("WATTLINE_AUTH_PEPPER_FILE", text(&pepper))];
    named(
        &site,
        &file,
        "secrets.files",
        "failed",
        "auth.pepper_file",
        &format!("chmod o= {}", text(&pepper)),
    );
    let none = [("WATTLINE_AUTH_PEPPER", "")];
    named(&site, &none, "secrets.pepper", "failed", "auth.pepper is not set", "openssl rand");

    let stranger = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = stranger.local_addr().expect("its address").to_string();
    named(&site, &[("WATTLINE_GATEWAY_LISTEN", &taken)], "ports.gateway", "failed", &taken, "ss -ltnp");
    named(&site, &[("WATTLINE_WORKER_OPS_LISTEN", &taken)], "ports.worker", "failed", "is taken", "ss -ltnp");
    let foreign = ("WATTLINE_PORTAL_LISTEN", "192.0.2.1:8081");
    named(&site, &[foreign], "ports.portal", "failed", "192.0.2.1:8081", "ip -brief address");
}
