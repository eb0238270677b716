//! What `docs/operations.md` says of backups: made, lost, restored, and exact afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::broker::java;
use crate::engine::{Engine, free_port};
use crate::http::{exchange, post_text};
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::postgres::{Cluster, run, shared};
use crate::restarts::STOP_DEADLINE;
use crate::site::{Gateway, Keys, Site, Worker};
use crate::stored::Table;

const DEVICES: [&str; 4] = ["a", "b", "c", "d"];

/// An engine that is lost with its data, and the installation on it.
struct Bench<'a> {
    site: &'a Site,
    keys: Keys<'a>,
    gateway: Gateway,
    token: String,
}

impl Bench<'_> {
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.site.command(self.keys, arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Points of all devices at so many minutes ago, and one reading that contradicts another.
    fn post(&self, minutes: &[i64]) {
        for minute in minutes {
            let at_ms = ago_ms(minute * MINUTE_MS);
            let wh = (1_000 - minute) as f64;
            let intervals = DEVICES.map(|device| interval(device, at_ms));
            all_ok(&exchange(self.gateway.address, &post_points(BATTERY, &self.token, &intervals)), 4);
            let mut readings = DEVICES.map(|device| reading(device, at_ms, [wh; 4])).to_vec();
            readings.push(reading("a", at_ms, [wh - 0.5; 4]));
            all_ok(&exchange(self.gateway.address, &post_points(COUNTER, &self.token, &readings)), 5);
        }
    }

    /// A worker stores what there is and stops.
    fn store(&self) {
        let Worker { mut process, .. } = self.site.worker(self.keys);
        self.site.wait_until_stored();
        process.term();
        assert!(process.wait(STOP_DEADLINE).success());
    }

    /// The points of ClickHouse by an audit that demands all of them.
    fn audit(&self) -> Value {
        let report: Value =
            serde_json::from_str(&self.run(&["audit", "--json", "--complete"])).expect("a report");
        assert_eq!(report["exact"], true, "{report:#}");
        report["clickhouse_points"].clone()
    }

    /// `kafka-consumer-groups.sh` on the group of the workers.
    fn consumer_groups(&self, arguments: &[&str]) -> String {
        let mut command = java();
        command
            .arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand")
            .args(["--bootstrap-server", &self.site.kafka().brokers, "--group", self.site.database()])
            .args(arguments);
        let output = command.output().expect("Java runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }
}

/// All that a reader sees, as a number for each table.
fn seen(engine: &Engine) -> Vec<String> {
    let tables = ["intervals", "readings", "rejected"];
    let asked = tables
        .map(|table| engine.ask(&format!("SELECT count(), groupBitXor(cityHash64(*)) FROM {table} FINAL")));
    assert!(asked.iter().all(|answer| !answer.contains("Exception")), "{asked:?}");
    asked.to_vec()
}

/// The rows that lie in Parquet files, each as often as it does.
fn rows_in_files(site: &Site) -> usize {
    [Table::Intervals, Table::Readings].map(|table| site.parquet_rows(table, &["_offset"]).len()).iter().sum()
}

#[test]
fn a_clickhouse_that_is_lost_is_restored_and_goes_on_from_the_backup() {
    let site = Site::bare("backup");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let keys: Keys<'_> = &[("WATTLINE_CLICKHOUSE_URL", &url), ("WATTLINE_CLICKHOUSE_DATABASE", "wattline")];
    let backups = site.path("backups");
    fs::create_dir(&backups).expect("a folder");
    let backups = backups.to_str().expect("a path in UTF-8");
    let start = || Engine::start(&site, "backup", port, &["--backups", backups]);
    let engine = start();
    assert!(site.command(keys, &["migrate"]).status().expect("the binary starts").success());
    let token = site.token("demo");
    site.import("demo", &DEVICES);
    let bench = Bench { site: &site, keys, gateway: site.gateway(&[]), token };
    assert_eq!(bench.run(&["devices", "publish"]), "4 devices published\n");

    // The backup: workers stopped, offsets, tables.
    bench.post(&[90, 80, 60]);
    bench.store();
    let offsets = site.path("offsets.csv");
    let reset = ["--reset-offsets", "--all-topics"];
    fs::write(
        &offsets,
        bench.consumer_groups(&[&reset[..], &["--to-current", "--export", "--dry-run"]].concat()),
    )
    .expect("the offsets");
    let made = engine.ask(&format!("BACKUP DATABASE wattline TO File('{backups}/monday')"));
    assert!(made.ends_with("BACKUP_CREATED"), "{made}");

    // Later points; 70 changes an interval that the backup has.
    for minutes in [&[70][..], &[50, 40]] {
        bench.post(minutes);
        bench.store();
    }
    let (before, points, in_files) = (seen(&engine), bench.audit(), rows_in_files(&site));
    engine.stop();
    fs::remove_dir_all(site.path("clickhouse")).expect("the data");

    let engine = start();
    let restored =
        post_text(&engine.url, &format!("RESTORE DATABASE wattline FROM File('{backups}/monday')"));
    assert!(restored.trim_end().ends_with("RESTORED"), "{restored}");
    assert_ne!(seen(&engine), before);
    run(Command::new("find")
        .arg(site.parquet())
        .args(["-name", "*.parquet", "-newer"])
        .arg(&offsets)
        .arg("-delete"));
    let file = offsets.to_str().expect("a path in UTF-8");
    bench.consumer_groups(&["--reset-offsets", "--from-file", file, "--execute"]);
    bench.store();
    assert_eq!((seen(&engine), bench.audit()), (before.clone(), points.clone()));
    assert_eq!(rows_in_files(&site), in_files, "no file has what another has");
    assert_eq!(bench.run(&["devices", "publish"]), "0 devices published\n");

    // Without a backup, where Kafka has everything.
    engine.stop();
    fs::remove_dir_all(site.path("clickhouse")).expect("the data");
    let engine = start();
    bench.run(&["migrate"]);
    bench.run(&["rebuild", "--yes"]);
    assert_eq!(bench.run(&["devices", "publish"]), "4 devices published\n");
    assert_eq!((seen(&engine), bench.audit()), (before, points));
    engine.stop();
}

/// The database of a directory.
enum Store {
    Sqlite(PathBuf),
    Postgres(Arc<Cluster>, String),
}

impl Store {
    fn url(&self) -> String {
        match self {
            Store::Sqlite(file) => format!("sqlite://{}", file.display()),
            Store::Postgres(cluster, database) => cluster.url(database),
        }
    }

    /// Beside gateways that run.
    fn back_up(&self, copy: &Path) {
        match self {
            Store::Sqlite(file) => {
                run(Command::new("sqlite3").arg(file).arg(format!(".backup {}", copy.display())));
            }
            Store::Postgres(cluster, database) => {
                let copy = fs::File::create(copy).expect("the copy");
                run(cluster.client("pg_dump").args(["--format=custom", database]).stdout(copy));
            }
        }
    }

    fn lose(&self) {
        match self {
            Store::Sqlite(file) => {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{suffix}", file.display()));
                }
            }
            Store::Postgres(cluster, database) => run(cluster.client("dropdb").args(["--force", database])),
        }
    }

    fn restore(&self, copy: &Path) {
        match self {
            Store::Sqlite(file) => run(Command::new("cp").arg(copy).arg(file)),
            Store::Postgres(cluster, database) => {
                run(cluster.client("createdb").arg(database));
                let copy = fs::File::open(copy).expect("the copy");
                let mut restore = cluster.client("pg_restore");
                run(restore.arg(format!("--dbname={database}")).stdin(Stdio::from(copy)));
            }
        }
    }
}

fn a_directory_is_restored(site: &Site, store: &Store) {
    let url = store.url();
    let keys: Keys<'_> = &[("WATTLINE_DIRECTORY_URL", &url)];
    let text = |arguments: &[&str]| {
        let output = site.command(keys, arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let create = || text(&["token", "create", "--client", "demo"]);
    let import = |device: &str| {
        let file = site.path("device.jsonl");
        fs::write(&file, format!("{{\"client\":\"demo\",\"device_id\":\"{device}\"}}")).expect("a line");
        text(&["devices", "import", file.to_str().expect("a path in UTF-8")]);
    };
    text(&["migrate"]);
    let (kept, revoked) = (create(), create());
    import("before");
    let mut gateway = site.gateway(keys);
    let copy = site.path("directory.copy");
    store.back_up(&copy);

    let late = create();
    import("after");
    text(&["token", "revoke", &revoked[8..18]]);
    gateway.process.term();
    assert!(gateway.process.wait(STOP_DEADLINE).success());
    store.lose();
    store.restore(&copy);
    text(&["migrate"]);

    let gateway = site.gateway(keys);
    let status = |token: &str, device: &str| {
        let request = post_points(BATTERY, token, &[interval(device, ago_ms(20 * MINUTE_MS))]);
        let answer = exchange(gateway.address, &request);
        (answer.status, if answer.status == 200 { answer.json()[0]["status"].clone() } else { Value::Null })
    };
    assert_eq!(status(&kept, "before"), (200, "OK".into()));
    assert_eq!(status(&kept, "after"), (200, "FAILED".into()), "it is to be imported again");
    assert_eq!(status(&late, "before").0, 401, "it is to be made again");
    assert_eq!(status(&revoked, "before").0, 200, "it is to be revoked again");
    import("after");
    text(&["token", "revoke", &revoked[8..18]]);
    crate::process::until("the directory goes on", STOP_DEADLINE, || {
        (status(&kept, "after") == (200, "OK".into()) && status(&revoked, "before").0 == 401).then_some(())
    });
}

#[test]
fn a_directory_that_is_lost_is_restored_and_its_tokens_work() {
    let site = Site::new("restore");
    a_directory_is_restored(&site, &Store::Sqlite(site.path("lost.db")));
    let Some(cluster) = shared() else { return };
    let database = cluster.create_database();
    a_directory_is_restored(&site, &Store::Postgres(cluster, database));
}
