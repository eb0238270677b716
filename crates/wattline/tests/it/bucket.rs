//! Parquet files in a bucket, on a real server for S3.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::authority::Authority;
use crate::doctor::{ailments, doctor, named};
use crate::front;
use crate::load::{check_ledger, import_fleet, start_fleet_until};
use crate::points::{BATTERY, MINUTE_MS, ago_ms, all_ok, interval, post_points};
use crate::process::until;
use crate::proxy::Proxy;
use crate::restarts::STOP_DEADLINE;
use crate::site::{Site, service};
use crate::{http, stored};

pub const DEADLINE: Duration = Duration::from_secs(40);
const SECRET: &str = "canary-secret";

/// A bucket of a test's own, seen past Wattline.
pub struct Bucket {
    pub server: String,
    name: String,
}

impl Bucket {
    pub fn new(test: &str) -> Self {
        let name = format!("{test}-{}", std::process::id());
        let bucket = Bucket { server: service("WATTLINE_TEST_S3"), name };
        let made = ureq::put(bucket.of("")).header("Authorization", AUTHORIZATION).send_empty();
        made.expect("a new bucket");
        bucket
    }

    fn of(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.server, self.name)
    }

    /// What Wattline calls a place in it.
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.name)
    }

    fn address(&self) -> &str {
        self.server.strip_prefix("http://").expect("a URL")
    }

    /// A site whose files are here, below a prefix; the server is reached by this endpoint.
    pub fn site(&self, test: &str, endpoint: &str, more: &[(&str, &str)]) -> Site {
        let dir = self.url("a/prefix");
        let keys = [
            ("WATTLINE_PARQUET_DIR", &*dir),
            ("WATTLINE_BUCKET_ENDPOINT", endpoint),
            ("WATTLINE_BUCKET_ALLOW_HTTP", "true"),
            ("WATTLINE_BUCKET_ACCESS_KEY_ID", "wattline"),
            ("WATTLINE_BUCKET_SECRET_ACCESS_KEY", SECRET),
            ("WATTLINE_BUCKET_RETRY_TIMEOUT_MS", "500"),
        ];
        let site = Site::with(test, &[&keys[..], more].concat());
        site.run(&["migrate"]);
        site
    }

    pub fn put(&self, name: &str) {
        let put = ureq::put(self.of(name)).header("Authorization", AUTHORIZATION).send("something");
        put.expect("an object is put");
    }

    pub fn delete(&self, name: &str) {
        let deleted = ureq::delete(self.of(name)).header("Authorization", AUTHORIZATION).call();
        deleted.expect("an object is deleted");
    }

    pub fn names(&self) -> Vec<String> {
        let listed =
            ureq::get(format!("{}?list-type=2", self.of(""))).header("Authorization", AUTHORIZATION).call();
        let text = listed.expect("a list").body_mut().read_to_string().expect("text");
        assert!(text.contains("<IsTruncated>false<"), "{text}");
        let keys = text.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(name, _)| name.to_owned()).collect()
    }

    /// Copies all objects below a prefix to where a site would have them without a bucket.
    pub fn copy_to(&self, prefix: &str, folder: &Path) {
        for name in self.names() {
            let Some(below) = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')) else {
                continue;
            };
            let path = folder.join(below);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let object = ureq::get(self.of(&name)).header("Authorization", AUTHORIZATION).call();
            let mut object = object.expect("an object");
            let bytes = object.body_mut().with_config().limit(1 << 30).read_to_vec().expect("its bytes");
            fs::write(path, bytes).expect("a copy");
        }
    }
}

/// The server lets everybody in, and wants to be told who it is.
const AUTHORIZATION: &str =
    "AWS4-HMAC-SHA256 Credential=test/20261124/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

#[test]
fn workers_that_die_and_a_store_that_is_away_lose_nothing_and_double_nothing() {
    let bucket = Bucket::new("kills");
    let proxy = Proxy::plain(bucket.address());
    let site = bucket.site("bucket", &format!("http://{}", proxy.address), &[]);
    let token = site.token("demo");
    import_fleet(&site);
    let gateway = site.gateway(&[]);
    // It posts until the store was away, however long the workers before take to die.
    let (enough, told) = oneshot::channel();
    let fleet = start_fleet_until(gateway.address, &token, 120, 1_000.0, async { told.await.unwrap_or(()) });

    // Announced and not there, there and not committed, and committed.
    for step in ["parquet-announced:3", "parquet-sealed:4", "parquet-renamed:3", "parquet-done:2"] {
        let mut worker = site.worker(&[("WATTLINE_TEST_FAIL_AT", step)]);
        assert!(!worker.process.wait(DEADLINE).success(), "{step}");
    }
    let mut worker = site.worker(&[]);
    let files = |outcome: &str| worker.ops.metric("wattline_parquet_files_total", &[outcome]);
    until("files are written", DEADLINE, || (files("outcome=\"written\"") >= 3.0).then_some(()));
    proxy.cut();
    until("the sink fails", DEADLINE, || {
        (worker.ops.metric("wattline_parquet_errors_total", &["kind=\"store\""]) >= 1.0).then_some(())
    });
    until("the worker begins anew", DEADLINE, || {
        (worker.ops.metric("wattline_worker_restarts_total", &[]) >= 1.0).then_some(())
    });
    proxy.mend();
    let _ = enough.send(());
    let outcome = fleet.join().expect("the fleet");
    site.wait_until_stored();
    worker.process.term();
    assert!(worker.process.wait(STOP_DEADLINE).success());
    assert!(!worker.process.log().contains(SECRET));

    assert!(!site.parquet().exists(), "nothing is in a folder");
    assert!(bucket.names().iter().all(|name| name.starts_with("a/prefix/kind=")), "nothing is elsewhere");
    // ClickHouse itself finds every row of its tables in the bucket.
    let (server, name) = (&bucket.server, &bucket.name);
    for (table, key) in [("intervals", "source, end_time"), ("readings", "timestamp, in_chain")] {
        let count = |from: &str| {
            site.ask(&format!("SELECT uniqExact(client_id, device_id, {key}) AS rows FROM {from}"))
        };
        let objects = format!("s3('{server}/{name}/a/prefix/kind={table}/*/*.parquet', 'x', 'x', 'Parquet')");
        assert_eq!(count(&objects), count(table), "{table}");
    }
    bucket.copy_to("a/prefix", &site.parquet());
    check_ledger(&site, &outcome);
}

#[test]
fn an_object_that_is_there_stays_when_its_range_is_written_again() {
    let bucket = Bucket::new("again");
    let site = bucket.site("bucket_again", &bucket.server, &[]);
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let gateway = site.gateway(&[]);
    let mut worker = site.worker(&[("WATTLINE_TEST_FAIL_AT", "parquet-renamed")]);
    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);
    assert!(!worker.process.wait(DEADLINE).success());
    let names = bucket.names();
    assert_eq!(names.len(), 1, "{names:?}");

    let worker = site.worker(&[]);
    site.wait_until_stored();
    assert_eq!(worker.ops.metric("wattline_parquet_files_total", &["outcome=\"kept\""]), 1.0);
    assert_eq!(worker.ops.metric("wattline_parquet_files_total", &["outcome=\"written\""]), 0.0);
    assert_eq!(bucket.names(), names);
    bucket.copy_to("a/prefix", &site.parquet());
    assert_eq!(site.rows(stored::Table::Intervals, &["end_time"]).len(), 1);
    let audit = site.audit();
    assert_eq!((audit.kafka, audit.clickhouse, audit.parquet), (1, 1, 1));
}

#[test]
fn the_doctor_rehearses_what_is_done_with_objects() {
    let bucket = Bucket::new("doctor");
    let site = bucket.site("bucket_doctor", &bucket.server, &[]);
    site.token("demo");
    site.import("demo", &["bat"]);
    let (report, code) = doctor(&site, &[]);
    assert_eq!((ailments(&report), code), (Vec::new(), 0));
    let checks: Vec<&str> = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter_map(|check| check["check"].as_str())
        .collect();
    for check in ["bucket.spool", "bucket.objects", "bucket.once"] {
        assert!(checks.contains(&check), "{checks:?}");
    }
    assert_eq!(bucket.names(), Vec::<String>::new(), "nothing stays");

    let nowhere = ("WATTLINE_PARQUET_DIR", "s3://it-nobody/x");
    named(&site, &[nowhere], "bucket.objects", "failed", "NoSuchBucket", "make the bucket");
    let away = ("WATTLINE_BUCKET_ENDPOINT", "http://127.0.0.1:1");
    named(&site, &[away], "bucket.objects", "failed", "s3://", "can be reached");
    let plain = ("WATTLINE_BUCKET_ALLOW_HTTP", "false");
    named(&site, &[plain], "parquet.configuration", "failed", "bucket.allow_http", "[bucket]");
    let spool = ("WATTLINE_BUCKET_SPOOL_DIR", "/proc/self");
    named(&site, &[spool], "bucket.spool", "failed", "/proc/self", "bucket.spool_dir");
    let secret = site.path("secret");
    fs::write(&secret, SECRET).expect("the secret");
    let secret = secret.to_str().expect("a path in UTF-8");
    let open =
        [("WATTLINE_BUCKET_SECRET_ACCESS_KEY", ""), ("WATTLINE_BUCKET_SECRET_ACCESS_KEY_FILE", secret)];
    named(&site, &open, "secrets.files", "failed", "bucket.secret_access_key_file", "chmod o=");
}

#[test]
fn a_bucket_is_reached_over_tls_by_whom_its_authority_vouches_for() {
    let bucket = Bucket::new("tls");
    let (authority, stranger) = (Authority::new("of the test"), Authority::new("of nobody"));
    let address =
        front::start(bucket.address().parse().expect("an address"), &authority.sign(&["localhost"]));
    let endpoint = format!("https://localhost:{}", address.port());
    let site = bucket.site("bucket_tls", &endpoint, &[("WATTLINE_BUCKET_ALLOW_HTTP", "false")]);
    site.token("demo");
    site.import("demo", &["bat"]);
    let ca = authority.write(site.path("ca.pem"));
    let (report, code) = doctor(&site, &[("WATTLINE_BUCKET_TLS_CA_FILE", &ca)]);
    assert_eq!((ailments(&report), code), (Vec::new(), 0));
    let wrong = stranger.write(site.path("wrong.pem"));
    let wrong = ("WATTLINE_BUCKET_TLS_CA_FILE", &*wrong);
    named(&site, &[wrong], "bucket.objects", "failed", "certificate", "bucket.tls_ca_file");
}
