//! A real server for S3, and one that does as it is told.

mod scripted;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use jiff::civil::date;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode};
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore};
use scripted::Scripted;
use tokio::runtime::{Builder, Runtime};
use wattline_bucket::{Settings, open};
use wattline_parquet_sink::{Bucket, BucketSettings, Kind, Store};

const REQUEST_TIMEOUT: Duration = Duration::from_millis(300);
const RETRY_TIMEOUT: Duration = Duration::from_millis(900);

fn settings(url: &str, endpoint: &str) -> Settings {
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Settings {
        url: url.parse().unwrap(),
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        options: vec![("aws_access_key_id", "id".into()), ("aws_secret_access_key", "canary-secret".into())],
        has_conditional_put: true,
        request_timeout: REQUEST_TIMEOUT,
        retry_timeout: RETRY_TIMEOUT,
        tls,
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The endpoint of the real server, and a new bucket on it.
fn bucket(test: &str) -> (String, String) {
    #[expect(clippy::disallowed_methods, reason = "the address of the service comes with the test run")]
    let endpoint = std::env::var("WATTLINE_TEST_S3")
        .expect("WATTLINE_TEST_S3 names no server for S3; `cargo xtask test` starts one");
    let name = format!("{test}-{}", std::process::id());
    let authorization =
        "AWS4-HMAC-SHA256 Credential=x/20261124/us-east-1/s3/aws4_request, SignedHeaders=x, Signature=x";
    ureq::put(format!("{endpoint}/{name}")).header("Authorization", authorization).send_empty().unwrap();
    (endpoint, name)
}

fn parquet(store: Arc<dyn ObjectStore>, spool: &tempfile::TempDir) -> (Bucket, Store) {
    let settings = BucketSettings {
        store,
        url: "s3://test".into(),
        has_conditional_put: true,
        spool: spool.path().into(),
        row_group_bytes_max: 1 << 20,
    };
    let bucket = Bucket::new(settings).unwrap();
    (bucket.clone(), Store::Bucket(bucket))
}

#[test]
fn what_is_put_is_listed_read_and_deleted_below_its_prefix() {
    let (endpoint, name) = bucket("objects");
    let at = |prefix: &str| open(settings(&format!("s3://{name}{prefix}"), &endpoint)).unwrap();
    let (root, below) = (at(""), at("/a/b=c"));
    runtime().block_on(async {
        below.put(&"kind=x/day=1/t-0-1-2.parquet".into(), "rows".into()).await.unwrap();
        let listed = root.list_with_delimiter(Some(&"a/b=c/kind=x/day=1".into())).await.unwrap();
        let names: Vec<&str> = listed.objects.iter().map(|object| object.location.as_ref()).collect();
        assert_eq!(names, ["a/b=c/kind=x/day=1/t-0-1-2.parquet"]);
        let read = below.get_range(&"kind=x/day=1/t-0-1-2.parquet".into(), 1..3).await.unwrap();
        assert_eq!(read.as_ref(), b"ow");
        below.delete(&"kind=x/day=1/t-0-1-2.parquet".into()).await.unwrap();
        let gone = root.head(&names[0].into()).await.unwrap_err();
        assert!(matches!(gone, Error::NotFound { .. }), "{gone}");
    });
}

#[test]
fn of_two_who_put_the_same_name_the_second_is_told() {
    let (endpoint, name) = bucket("twice");
    let store = open(settings(&format!("s3://{name}/p"), &endpoint)).unwrap();
    let told = runtime().block_on(async {
        store.put_opts(&"x".into(), "first".into(), PutMode::Create.into()).await.unwrap();
        let told = store.put_opts(&"x".into(), "second".into(), PutMode::Create.into()).await.unwrap_err();
        assert_eq!(store.get_range(&"x".into(), 0..5).await.unwrap().as_ref(), b"first");
        told
    });
    assert!(matches!(told, Error::AlreadyExists { .. }), "{told}");

    // Two workers with the same range at the same time, many of them: one object each, whole, of one of them.
    let spool = tempfile::tempdir().unwrap();
    let (bucket, files) = parquet(store, &spool);
    let schema = Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, false)]));
    let finish = |first: i64, rows: i64| {
        let mut part = files.open(Kind::Readings, "t", 0, first, schema.clone()).unwrap();
        let rows = Int64Array::from_iter_values(0..rows);
        part.append(&RecordBatch::try_new(schema.clone(), vec![Arc::new(rows)]).unwrap()).unwrap();
        part.finish(first, date(2026, 11, 24)).unwrap()
    };
    for first in 0..10 {
        let (one, two) = std::thread::scope(|scope| {
            let two = scope.spawn(|| finish(first, 1));
            (finish(first, 1_000), two.join().unwrap())
        });
        assert_eq!((one.name, one.bytes), (two.name, two.bytes));
    }
    assert_eq!(files.ranges("t", 0, Kind::Readings).unwrap().len(), 10);
    assert!(bucket.rehearse().unwrap());
}

#[test]
fn a_store_that_puts_over_what_is_there_is_found_out() {
    let server = Scripted::start(|request| match request {
        "GET" => Some((206, "r")),
        "LIST" => Some((200, "<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>")),
        _ => Some((200, "")),
    });
    let spool = tempfile::tempdir().unwrap();
    let (bucket, _) = parquet(open(settings("s3://b", &server.url)).unwrap(), &spool);
    assert!(!bucket.rehearse().unwrap());
}

#[test]
fn what_fails_is_tried_again_for_a_while_and_then_said_without_secrets() {
    // Refused for a moment, hung up on, left alone: each is tried again.
    for first in [Some((503, "SlowDown")), Some((0, "")), None] {
        let mut answers = vec![first, Some((200, ""))].into_iter();
        let server = Scripted::start(move |_| answers.next().unwrap_or(Some((500, "too many"))));
        let store = open(settings("s3://b", &server.url)).unwrap();
        runtime()
            .block_on(store.put_opts(&"x".into(), "y".into(), PutMode::Create.into()))
            .unwrap_or_else(|error| panic!("{first:?}: {error}"));
    }
    for always in [Some((500, "no")), None] {
        let server = Scripted::start(move |_| always);
        let spool = tempfile::tempdir().unwrap();
        let (bucket, _) = parquet(open(settings("s3://b", &server.url)).unwrap(), &spool);
        let began = Instant::now();
        let failed = bucket.rehearse().unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert_eq!(failed.kind(), "store");
        assert!(
            failed.to_string().starts_with("cannot put s3://test/kind=intervals/.rehearsal-"),
            "{failed}"
        );
        assert!(!format!("{failed:?}").contains("canary-secret"), "{failed:?}");
    }
    // What is refused for good is not.
    let server = Scripted::start(|_| Some((403, "AccessDenied")));
    let store = open(settings("s3://b", &server.url)).unwrap();
    let refused = runtime().block_on(store.head(&"x".into())).unwrap_err();
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused}");
    assert_eq!(server.requests(), 1);
}

#[test]
fn without_leave_nothing_is_said_over_http() {
    let server = Scripted::start(|_| Some((200, "")));
    let store = open(Settings { allow_http: false, ..settings("s3://b", &server.url) }).unwrap();
    runtime().block_on(store.head(&"x".into())).unwrap_err();
    assert_eq!(server.requests(), 0);
}

#[test]
fn an_option_that_nobody_knows_is_an_error() {
    let options = vec![("aws_secret", String::new())];
    let opened = open(Settings { options, ..settings("s3://b", "http://127.0.0.1:1") });
    assert!(opened.is_err_and(|error| error.to_string().contains("aws_secret")));
}
