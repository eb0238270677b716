//! The directory on a real SQLite file, and a gateway's view that follows it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wattline_auth::{ClientToken, Pepper};
use wattline_directory::{
    AuthError, ClientHandle, DeviceLimits, Directory, FollowSettings, Follower, ImportReport, Snapshot,
    parse_lines,
};
use wattline_wire::device_hash;

/// What a change may take to reach a gateway.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

struct Bench {
    directory: Directory,
    pepper: Pepper,
    url: String,
    _dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/wattline.db", dir.path().display());
        let directory = Directory::open(&url).await.expect("opens");
        directory.migrate().await.expect("migrates");
        let pepper = "a-secret-for-the-tests".parse().expect("a pepper");
        Self { directory, pepper, url, _dir: dir }
    }

    async fn token(&self, client: &str) -> ClientToken {
        self.directory.create_token(client, "test", true, &self.pepper).await.expect("a token")
    }

    async fn import(&self, lines: &str) -> ImportReport {
        self.directory.import_devices(parse_lines(lines.as_bytes())).await.expect("imports")
    }

    async fn follow(&self) -> Follower {
        let settings = FollowSettings::default();
        Follower::start(self.directory.clone(), self.pepper.clone(), settings).await.expect("loads")
    }
}

fn caller(snapshot: &Snapshot, token: &ClientToken) -> ClientHandle {
    snapshot.authenticate(token.expose()).expect("a known token")
}

async fn seen(what: &str, is_seen: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_seen() {
        assert!(started.elapsed() < SEEN_WITHIN, "not seen in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn migrating_again_does_nothing_and_a_second_opening_sees_the_same() {
    let bench = Bench::new().await;
    let token = bench.token("demo").await;
    bench.directory.migrate().await.expect("migrates again");
    let second = Directory::open(&bench.url).await.expect("opens again");
    second.migrate().await.expect("nothing to do");
    let tokens = second.list_tokens().await.expect("lists");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].key_id, token.key_id());
    assert_eq!((tokens[0].client.as_str(), tokens[0].label.as_str()), ("demo", "test"));
}

#[tokio::test]
async fn an_import_repeated_changes_nothing_and_a_changed_line_only_itself() {
    let bench = Bench::new().await;
    let lines = r#"{"client":"demo","site_id":"s1","device_id":"a","battery_power_input_w":5000}
{"client":"demo","site_id":"s1","device_id":"b","serial_number":null}
{"client":"other","device_id":"a","battery_capacity_wh":13500.5,"counter_modulus_wh":1000}
"#;
    assert_eq!(bench.import(lines).await, ImportReport { lines: 3, changed: 3 });
    assert_eq!(bench.import(lines).await, ImportReport { lines: 3, changed: 0 });
    let mended = lines.replace("5000", "5001");
    assert_eq!(bench.import(&mended).await, ImportReport { lines: 3, changed: 1 });
    // The later line of one device holds, and a repetition of it changes nothing.
    let twice = format!("{lines}{mended}");
    assert_eq!(bench.import(&twice).await, ImportReport { lines: 6, changed: 0 });

    let bad = "{\"client\":\"demo\",\"device_id\":\"c\"}\n{\"client\":\"demo\",\"device\":\"d\"}";
    let error = bench.directory.import_devices(parse_lines(bad.as_bytes())).await;
    let error = format!("{:#}", error.expect_err("refused"));
    assert_eq!(error, "import stopped; 0 lines before were imported: line 2: `device_id` is required");
}

#[tokio::test]
async fn a_gateway_sees_every_change_within_a_second() {
    let bench = Bench::new().await;
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();

    let token = bench.token("demo").await;
    seen("new token", || snapshot.authenticate(token.expose()).is_ok()).await;
    let client = caller(&snapshot, &token);
    assert_eq!((&*client.id, client.key_id), ("demo", token.key_id()));

    let line = |power: &str| {
        format!(
            r#"{{"client":"demo","device_id":"a","battery_power_input_w":{power},"counter_modulus_wh":0.5}}"#
        )
    };
    assert_eq!(snapshot.device(&client, "a"), None);
    bench.import(&line("4999.2")).await;
    let limits = |charge_w| Some(DeviceLimits { charge_w, discharge_w: 0, modulus_mwh: 500 });
    seen("new device", || snapshot.device(&client, "a") == limits(5000)).await;
    bench.import(&line("7000")).await;
    seen("new limits", || snapshot.device(&client, "a") == limits(7000)).await;
    let hash = device_hash("demo", "a");
    assert_eq!(snapshot.devices().get(hash, client.index, "a"), limits(7000));

    assert!(bench.directory.delete_device("demo", "a").await.expect("deletes"));
    assert!(!bench.directory.delete_device("demo", "a").await.expect("is gone"));
    seen("deletion", || snapshot.device(&client, "a").is_none()).await;
    assert_eq!(bench.import(&line("7000")).await.changed, 1);
    seen("return", || snapshot.device(&client, "a") == limits(7000)).await;

    assert!(bench.directory.revoke_token(token.key_id()).await.expect("revokes"));
    assert!(!bench.directory.revoke_token(token.key_id()).await.expect("is revoked"));
    seen("revocation", || snapshot.authenticate(token.expose()) == Err(AuthError::Refused)).await;
    assert!(snapshot.is_fresh());
}

#[tokio::test]
async fn clients_with_the_same_device_id_are_kept_apart() {
    let bench = Bench::new().await;
    let (token_a, token_b) = (bench.token("client-a").await, bench.token("client-b").await);
    bench
        .import(
            r#"{"client":"client-a","device_id":"bat","battery_power_input_w":1000}
{"client":"client-b","device_id":"bat","battery_power_input_w":2000}
{"client":"client-b","device_id":"only-b"}"#,
        )
        .await;
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let (client_a, client_b) = (caller(&snapshot, &token_a), caller(&snapshot, &token_b));
    let charge_w = |client, id| snapshot.device(client, id).map(|limits| limits.charge_w);
    assert_eq!(charge_w(&client_a, "bat"), Some(1000));
    assert_eq!(charge_w(&client_b, "bat"), Some(2000));
    assert_eq!(charge_w(&client_a, "only-b"), None);
    assert_eq!(charge_w(&client_b, "only-b"), Some(0));
    assert!(bench.directory.delete_device("client-a", "bat").await.expect("deletes"));
    seen("deletion", || charge_w(&client_a, "bat").is_none()).await;
    assert_eq!(charge_w(&client_b, "bat"), Some(2000));
}

#[tokio::test]
async fn tokens_are_refused_alike_and_their_life_is_on_record() {
    let bench = Bench::new().await;
    let (first, second) = (bench.token("demo").await, bench.token("demo").await);
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    assert_eq!(caller(&snapshot, &first).index, caller(&snapshot, &second).index);
    let unknown = ClientToken::mint(true).expect("randomness");
    assert_eq!(snapshot.authenticate(unknown.expose()), Err(AuthError::Refused));
    assert_eq!(snapshot.authenticate("wl_live_x"), Err(AuthError::Malformed));

    let uses = [(first.key_id(), 1_700_000_300), (first.key_id(), 1_700_000_000)];
    bench.directory.touch_tokens(&uses).await.expect("touches");
    bench.directory.revoke_token(second.key_id()).await.expect("revokes");
    let tokens = bench.directory.list_tokens().await.expect("lists");
    assert_eq!(tokens[0].last_used_at.map(|at| at.as_second()), Some(1_700_000_300));
    assert!(tokens[0].revoked_at.is_none() && tokens[1].revoked_at.is_some());
    let trail = bench.directory.audit_trail(10).await.expect("reads");
    let trail: Vec<_> = trail.iter().map(|row| (row.action.as_str(), row.key_id.clone())).collect();
    let id = |token: &ClientToken| Some(token.key_id().to_string());
    assert_eq!(trail, [("REVOKE", id(&second)), ("MINT", id(&second)), ("MINT", id(&first))]);

    // What is at rest must not hold what a token opens with.
    bench.directory.close().await;
    let path = bench.url.trim_start_matches("sqlite://");
    let file = std::fs::read(path).expect("the file");
    let secret = &first.expose().as_bytes()[19..];
    assert!(!file.windows(secret.len()).any(|window| window == secret));

    for bad in ["", "Demo", "a b"] {
        let refused = bench.directory.create_token(bad, "", true, &bench.pepper).await;
        assert!(refused.is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_directory_that_is_away_leaves_the_snapshot_to_age() {
    let bench = Bench::new().await;
    let token = bench.token("demo").await;
    let settings =
        FollowSettings { poll_interval: Duration::from_millis(20), stale_max: Duration::from_millis(300) };
    let follower =
        Follower::start(bench.directory.clone(), bench.pepper.clone(), settings).await.expect("loads");
    let snapshot = follower.snapshot();
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(snapshot.is_fresh(), "polls keep it fresh: {:?}", snapshot.age());
    bench.directory.close().await;
    seen("staleness", || !snapshot.is_fresh()).await;
    assert!(snapshot.authenticate(token.expose()).is_ok(), "what to do about it is the caller's to say");
}

#[tokio::test]
async fn concurrent_writers_wait_for_each_other() {
    let bench = Bench::new().await;
    let other = Directory::open(&bench.url).await.expect("opens");
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let directory = if writer % 2 == 0 { bench.directory.clone() } else { other.clone() };
        let pepper = bench.pepper.clone();
        tasks.spawn(async move {
            for _ in 0..5 {
                let client = format!("client-{}", writer % 3);
                directory.create_token(&client, "", false, &pepper).await.expect("a token");
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.expect("no writer fails");
    }
    let tokens = other.list_tokens().await.expect("lists");
    assert_eq!(tokens.len(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_fleet_loads_quickly_and_stays_small() {
    load_fleet(200_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; it is the size that the directory is laid out for"]
async fn five_million_devices_load_in_half_a_minute() {
    let loaded = load_fleet(5_000_000).await;
    assert!(loaded < Duration::from_secs(30), "{loaded:?}");
}

/// Imports a fleet, loads it and looks it up, and returns how long the load took.
#[expect(clippy::print_stdout, reason = "the measured figures are read by people")]
async fn load_fleet(devices: u32) -> Duration {
    let bench = Bench::new().await;
    let token = bench.token("fleet").await;
    // Every fourth id is a UUID's length, which does not fit into an entry.
    let id = |device: u32| match device % 4 {
        0 => format!("6f1c2d3e-4b5a-6978-8796-a5b4{device:08}"),
        _ => format!("bat-{device:07}"),
    };
    let started = Instant::now();
    let lines = (0..devices).map(|device| {
        let mut line = String::new();
        let _ = write!(
            line,
            r#"{{"client":"fleet","site_id":"site-{}","device_id":"{}","manufacturer_name":"M","battery_power_input_w":5000,"battery_power_output_w":{}}}"#,
            device / 2,
            id(device),
            device % 9000 + 1
        );
        parse_lines(line.as_bytes()).next().expect("a line")
    });
    let report = bench.directory.import_devices(lines).await.expect("imports");
    assert_eq!(report.changed, u64::from(devices));
    let imported = started.elapsed();

    let started = Instant::now();
    let follower = bench.follow().await;
    let loaded = started.elapsed();
    let snapshot = follower.snapshot();
    let size = snapshot.size();
    assert_eq!(size.devices, devices as usize);
    let bytes_per_device = size.device_bytes as f64 / f64::from(devices);

    let client = caller(&snapshot, &token);
    let asked: Vec<_> = (0..200_000u32).map(|n| id(n.wrapping_mul(0x9E37_79B1) % devices)).collect();
    let started = Instant::now();
    let found = asked.iter().filter(|id| snapshot.device(&client, id).is_some()).count();
    let looked_up = started.elapsed();
    assert_eq!(found, asked.len());
    let started = Instant::now();
    let mut found = 0;
    for request in asked.chunks(1000) {
        let hashes: Vec<_> = request.iter().map(|id| device_hash("fleet", id)).collect();
        let view = snapshot.devices();
        let points = hashes.iter().zip(request);
        found += points.filter(|(hash, id)| view.get(**hash, client.index, id).is_some()).count();
    }
    let looked_up_together = started.elapsed();
    assert_eq!(found, asked.len());
    let started = Instant::now();
    for _ in 0..10_000 {
        assert!(snapshot.authenticate(token.expose()).is_ok());
    }
    let authenticated = started.elapsed();

    println!(
        "{devices} devices: import {imported:.1?}, load {loaded:.1?} ({} ns and {bytes_per_device:.1} bytes a device), \
         look-up {} ns alone and {} ns by request, authenticate {} ns",
        loaded.as_nanos() / u128::from(devices),
        looked_up.as_nanos() / asked.len() as u128,
        looked_up_together.as_nanos() / asked.len() as u128,
        authenticated.as_nanos() / 10_000,
    );
    assert!(bytes_per_device < 150.0, "{bytes_per_device} bytes a device");
    loaded
}
