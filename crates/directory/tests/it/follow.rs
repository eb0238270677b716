//! Tokens and devices by hand, and a gateway's view that follows them.

use std::time::Duration;

use wattline_auth::ClientToken;
use wattline_directory::api::DeviceType;
use wattline_directory::{DeviceLimits, Directory, FollowSettings, Follower, ImportReport, parse_lines};
use wattline_wire::device_hash;

use crate::bench::{Bench, authenticate, caller, on_both, seen};

on_both!(
    migrating_again_does_nothing_and_a_second_opening_sees_the_same,
    an_import_repeated_changes_nothing_and_a_changed_line_only_itself,
    a_gateway_sees_every_change_within_a_second,
    clients_with_the_same_device_id_are_kept_apart,
    tokens_are_refused_alike_and_their_life_is_on_record,
    a_directory_that_is_away_leaves_the_snapshot_to_age,
    concurrent_writers_wait_for_each_other,
);

async fn migrating_again_does_nothing_and_a_second_opening_sees_the_same(bench: Bench) {
    let token = bench.token("demo").await;
    bench.directory.migrate().await.expect("migrates again");
    let second = Directory::open(&bench.url).await.expect("opens again");
    second.migrate().await.expect("nothing to do");
    let tokens = second.list_tokens().await.expect("lists");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].key_id, token.key_id());
    assert_eq!((tokens[0].client.as_str(), tokens[0].label.as_str()), ("demo", "test"));
}

async fn an_import_repeated_changes_nothing_and_a_changed_line_only_itself(bench: Bench) {
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

async fn a_gateway_sees_every_change_within_a_second(bench: Bench) {
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();

    let token = bench.token("demo").await;
    seen("new token", || authenticate(&snapshot, token.expose()).is_ok()).await;
    let client = caller(&snapshot, &token);
    assert_eq!((&*client.id, client.key_id), ("demo", token.key_id()));

    let line = |power: &str| {
        format!(
            r#"{{"client":"demo","device_id":"a","battery_power_input_w":{power},"counter_modulus_wh":0.5}}"#
        )
    };
    assert_eq!(snapshot.device(&client, "a"), None);
    bench.import(&line("4999.2")).await;
    let limits = |charge_w| {
        Some(DeviceLimits {
            charge_w,
            discharge_w: 0,
            modulus_mwh: 500,
            device_type: DeviceType::Battery,
            partitions: 0,
        })
    };
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
    seen("revocation", || authenticate(&snapshot, token.expose()) == Err("unknown_token")).await;
    assert!(snapshot.is_fresh());
}

async fn clients_with_the_same_device_id_are_kept_apart(bench: Bench) {
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

async fn tokens_are_refused_alike_and_their_life_is_on_record(bench: Bench) {
    let (first, second) = (bench.token("demo").await, bench.token("demo").await);
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    assert_eq!(caller(&snapshot, &first).index, caller(&snapshot, &second).index);
    let unknown = ClientToken::mint(true).expect("randomness");
    assert_eq!(authenticate(&snapshot, unknown.expose()), Err("unknown_token"));
    assert_eq!(authenticate(&snapshot, "wl_live_x"), Err("malformed_token"));

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
    let secret = &first.expose().as_bytes()[19..];
    assert!(!bench.holds(secret));
    assert!(bench.holds(first.key_id().as_str().as_bytes()), "what is looked through is what is at rest");

    for bad in ["", "Demo", "a b"] {
        let refused = bench.directory.create_token(bad, "", true, &bench.pepper).await;
        assert!(refused.is_err(), "{bad:?}");
    }
}

async fn a_directory_that_is_away_leaves_the_snapshot_to_age(bench: Bench) {
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
    assert!(authenticate(&snapshot, token.expose()).is_ok(), "what to do about it is the caller's to say");
}

async fn concurrent_writers_wait_for_each_other(bench: Bench) {
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
