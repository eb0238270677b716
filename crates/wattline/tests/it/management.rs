//! Clients, tokens, signing keys and sites by hand, as an operator or its scripts do it.

use std::time::Duration;

use serde_json::{Value, json};
use wattline_auth::{ClientToken, Pepper};
use wattline_directory::api::Commission;
use wattline_directory::{Directory, FollowSettings, Follower};

use crate::points::now_ms;
use crate::site::{PEPPER, Site, failure};

const SEEN_DEADLINE: Duration = Duration::from_secs(20);

/// A site whose directory is there; nothing else is needed.
fn site(test: &str) -> Site {
    let site = Site::bare(test);
    block_on(async {
        let directory = open(&site).await;
        directory.migrate().await.expect("migrates");
        directory.close().await;
    });
    site
}

async fn open(site: &Site) -> Directory {
    Directory::open(&format!("sqlite://{}", site.path("directory.db").display())).await.expect("opens")
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(task)
}

fn json_of(site: &Site, arguments: &[&str]) -> Value {
    serde_json::from_str(&site.run(arguments)).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// The one line on standard output, and what stands on standard error.
#[track_caller]
fn line_and_words(site: &Site, arguments: &[&str]) -> (String, String) {
    let output = site.output(arguments);
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("text");
    let line = printed.strip_suffix('\n').filter(|line| !line.contains('\n')).expect("one line").to_owned();
    (line, String::from_utf8(output.stderr).expect("text"))
}

#[track_caller]
fn client_token(line: &str) -> ClientToken {
    ClientToken::parse(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The names of an object's members.
fn members(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn clients_are_created_and_listed() {
    let site = site("clients");
    assert_eq!(json_of(&site, &["client", "list", "--json"]), json!([]));
    assert_eq!(site.run(&["client", "create", "acme"]), "acme\n");
    assert_eq!(json_of(&site, &["client", "create", "beta", "--json"]), json!({ "client": "beta" }));
    let told = failure(&site, &[], &["client", "create", "acme"]);
    assert_eq!(told, "wattline: there is a client acme already\n");
    let told = failure(&site, &[], &["client", "create", "Acme"]);
    assert!(told.contains("the client's name") && told.contains("a-z, 0-9"), "{told}");

    site.token("acme");
    let revoked = client_token(&site.token("acme"));
    site.run(&["token", "revoke", revoked.key_id().as_str()]);
    site.import("acme", &["a", "b"]);
    let listed = json_of(&site, &["client", "list", "--json"]);
    let created_at = listed[0]["created_at"].as_str().expect("a time");
    created_at.parse::<jiff::Timestamp>().expect("RFC 3339");
    assert_eq!(
        listed[0],
        json!({ "client": "acme", "created_at": created_at, "active_tokens": 1, "sites": 0, "devices": 2 })
    );
    assert_eq!((&listed[1]["client"], &listed[1]["devices"]), (&"beta".into(), &0.into()));
    let table = site.run(&["client", "list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("CLIENT ") && lines[0].ends_with("DEVICES"), "{table}");
    assert!(lines[1].starts_with("acme ") && lines[1].ends_with(" 2"), "{table}");
}

#[test]
fn a_rotated_token_goes_on_until_its_end() {
    let site = site("rotation");
    let old = client_token(&site.token("demo"));
    let (line, words) = line_and_words(&site, &["token", "rotate", old.key_id().as_str(), "--overlap", "6s"]);
    let new = client_token(&line);
    assert!(words.contains(&format!("The token {} ends at 2", old.key_id())), "{words}");
    block_on(async {
        let pepper: Pepper = PEPPER.parse().expect("a pepper");
        let settings =
            FollowSettings { poll_interval: Duration::from_millis(20), stale_max: Duration::from_secs(60) };
        let follower = Follower::start(open(&site).await, pepper, settings).await.expect("follows");
        let snapshot = follower.snapshot();
        let opens =
            |token: &ClientToken| snapshot.identify(token.expose(), "wattline", now_ms() / 1_000).is_ok();
        assert!(opens(&old) && opens(&new));
        tokio::time::timeout(SEEN_DEADLINE, async {
            while opens(&old) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .expect("the old token ends");
        assert!(opens(&new));
    });

    // Neither is a way back: what has ended, and what ends already, is not rotated.
    let told = failure(&site, &[], &["token", "rotate", old.key_id().as_str()]);
    assert!(told.contains(&format!("the token {} ended at 2", old.key_id())), "{told}");
    let rotated = json_of(&site, &["token", "rotate", new.key_id().as_str(), "--json"]);
    assert_eq!(
        members(&rotated),
        ["client", "key_id", "live", "name", "replaced_ends_at", "replaces", "token"]
    );
    let newest = client_token(rotated["token"].as_str().expect("a token"));
    assert_eq!(
        (&rotated["key_id"], &rotated["replaces"]),
        (&newest.key_id().as_str().into(), &new.key_id().as_str().into())
    );
    let ends_at: jiff::Timestamp = rotated["replaced_ends_at"].as_str().expect("a time").parse().unwrap();
    let listed = json_of(&site, &["token", "list", "--json"]);
    let of = |token: &ClientToken| {
        let tokens = listed.as_array().expect("an array");
        tokens.iter().find(|row| row["key_id"] == token.key_id().as_str()).expect("it is listed").clone()
    };
    let created_at: jiff::Timestamp = of(&newest)["created_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends_at.duration_since(created_at).as_hours(), 24, "a day, where nothing else was said");
    let state = |token| (of(token)["active"].clone(), of(token)["revoked_at"].is_null());
    assert_eq!(state(&old), (false.into(), false));
    assert_eq!(state(&new), (true.into(), false));
    assert_eq!(state(&newest), (true.into(), true));
    assert!(site.run(&["token", "list"]).contains("active until 2"));
    let told = failure(&site, &[], &["token", "rotate", new.key_id().as_str()]);
    assert!(told.contains("was rotated before and ends at 2"), "{told}");
    site.run(&["token", "revoke", new.key_id().as_str()]);
}

#[test]
fn a_token_is_shown_alone_and_never_again() {
    let site = site("shown");
    let (line, _) = line_and_words(&site, &["token", "create", "--client", "demo"]);
    let first = client_token(&line);
    let created =
        json_of(&site, &["token", "create", "--client", "demo", "--name", "cloud", "--test", "--json"]);
    let second = client_token(created["token"].as_str().expect("a token"));
    assert_eq!(
        created,
        json!({
            "token": second.expose(), "key_id": second.key_id().as_str(), "client": "demo", "name": "cloud",
            "live": false,
        })
    );
    let (line, _) = line_and_words(&site, &["token", "rotate", second.key_id().as_str(), "--overlap", "0s"]);
    let third = client_token(&line);
    assert!(!third.is_live(), "a successor is of the same kind");
    site.run(&["key", "rotate"]);
    let listed = json_of(&site, &["token", "list", "--json"]);
    assert_eq!(
        members(&listed[0]),
        ["active", "client", "created_at", "key_id", "last_used_at", "live", "name", "revoked_at"]
    );
    for arguments in [
        ["token", "list"].as_slice(),
        &["token", "list", "--json"],
        &["client", "list", "--json"],
        &["key", "list", "--json"],
    ] {
        let output = site.output(arguments);
        for token in [&first, &second, &third] {
            let secret = &token.expose()[19..];
            for text in [&output.stdout, &output.stderr] {
                assert!(!String::from_utf8_lossy(text).contains(secret), "{arguments:?}");
            }
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let site = site("absent");
    let token = client_token(&site.token("demo"));
    let key_id = token.key_id().to_string();
    for verb in ["revoke", "rotate"] {
        let told = failure(&site, &[], &["token", verb, "0123456789"]);
        assert_eq!(told, "wattline: there is no token with the key id 0123456789\n");
        // The whole token by mistake: it is not repeated.
        let told = failure(&site, &[], &["token", verb, token.expose()]);
        assert!(told.contains("KEY_ID") && !told.contains(&token.expose()[19..]), "{told}");
    }
    let told = failure(&site, &[], &["token", "rotate", &key_id, "--overlap", "91d"]);
    assert!(told.contains("overlap") && told.contains("90 days"), "{told}");
    for overlap in ["", "h", "24", "1w", "-1h", "+1h", "1.5h", "99999999999999999d", "h1é"] {
        let output = site.output(&["token", "rotate", &key_id, &format!("--overlap={overlap}")]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && told.contains("--overlap"), "{overlap}: {told}");
    }
    site.run(&["token", "revoke", &key_id]);
    let told = failure(&site, &[], &["token", "revoke", &key_id]);
    assert!(told.contains(&format!("the token {key_id} ended at 2")), "{told}");
    let told = failure(&site, &[], &["site", "list", "--client", "nobody"]);
    assert_eq!(told, "wattline: there is no client nobody\n");
}

#[test]
fn signing_keys_are_rotated_and_listed() {
    let site = site("keys");
    assert_eq!(json_of(&site, &["key", "list", "--json"]), json!([]));
    let (first, _) = line_and_words(&site, &["key", "rotate"]);
    let rotated = json_of(&site, &["key", "rotate", "--json"]);
    assert_eq!(members(&rotated), ["key_id", "keys_before_end_at", "signs_from"]);
    let (third, words) = line_and_words(&site, &["key", "rotate"]);
    assert!(words.contains(&format!("The key {third} signs from 2")) && words.contains("until 2"), "{words}");

    let listed = json_of(&site, &["key", "list", "--json"]);
    let keys = listed.as_array().expect("an array");
    assert!(
        keys.iter().all(|key| {
            members(key) == ["created_at", "ends_at", "key_id", "pepper_version", "signs_from"]
        }),
        "{listed}"
    );
    let of = |key_id: &Value| keys.iter().find(|key| key["key_id"] == *key_id).expect("it is listed");
    assert!(of(&third.as_str().into())["ends_at"].is_null(), "{listed}");
    assert!(of(&first.as_str().into())["ends_at"].is_string(), "{listed}");
    assert_eq!(of(&first.as_str().into())["signs_from"], of(&first.as_str().into())["created_at"]);
    assert_eq!(of(&rotated["key_id"])["signs_from"], rotated["signs_from"]);
    assert_eq!(site.run(&["key", "list"]).lines().count(), 4);
}

#[test]
fn sites_are_listed_by_client() {
    const MANY: usize = 1_001;
    let site = site("sites");
    site.run(&["client", "create", "acme"]);
    site.run(&["client", "create", "beta"]);
    block_on(async {
        let directory = open(&site).await;
        let acme = directory.client_index("acme").await.expect("reads").expect("is there");
        let beta = directory.client_index("beta").await.expect("reads").expect("is there");
        let commission = async |index, body: String| {
            let body = Commission::parse(body.as_bytes()).expect("valid");
            directory.commission(index, &body).await.expect("commissions");
        };
        commission(acme, r#"{"site":{"id":"home 1","state_code":"TX","city":"Austin"},"devices":[]}"#.into())
            .await;
        for number in 0..MANY {
            commission(beta, format!(r#"{{"site":{{"id":"s{number:04}"}},"devices":[]}}"#)).await;
        }
        directory.close().await;
    });
    let listed = json_of(&site, &["site", "list", "--client", "acme", "--json"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        [&listed[0]["client"], &listed[0]["id"], &listed[0]["state_code"], &listed[0]["city"]],
        ["acme", "home 1", "TX", "Austin"]
    );
    let table = site.run(&["site", "list", "--client", "acme"]);
    assert!(table.contains("home 1") && table.contains("TX") && !table.contains("Austin"), "{table}");

    // More than a page of them, each once.
    let listed = json_of(&site, &["site", "list", "--json"]);
    let ids = listed.as_array().expect("an array").iter().map(|row| row["id"].as_str().expect("an id"));
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), listed.as_array().map(Vec::len)), (1 + MANY, Some(1 + MANY)));
    assert_eq!(site.run(&["site", "list"]).lines().count(), 2 + MANY);
}
