//! The commands and their errors.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::http;
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, post_points, reading};
use crate::site::{Audit, Site, failure, files_below};

#[test]
fn a_second_migration_does_nothing() {
    let site = Site::bare("migrate");
    let first = site.output(&["migrate"]);
    let second = site.output(&["migrate"]);
    for (output, created) in [(&first, true), (&second, false)] {
        assert!(output.status.success(), "{output:?}");
        let log = String::from_utf8_lossy(&output.stderr);
        assert_eq!(log.contains(&site.topic("counters")), created, "{log}");
        assert_eq!(log.contains("0001_tables"), created, "{log}");
    }
    let tables = "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.tables \
                  WHERE database = currentDatabase()";
    assert_eq!(
        site.ask(tables),
        "availability device_states devices devices_latest energy_by_client energy_by_device energy_by_site energy_intervals energy_quality intervals intervals_latest readings readings_latest rejected rejected_latest schema_migrations"
    );
}

#[test]
fn before_the_migration_the_commands_say_so() {
    let site = Site::bare("unmigrated");
    let told = failure(&site, &[], &["gateway"]);
    assert!(told.contains("wattline migrate"), "{told}");
    let told = failure(&site, &[], &["token", "create", "--client", "demo"]);
    assert!(told.contains("wattline migrate"), "{told}");
    http::post_text(&site.clickhouse, &format!("CREATE DATABASE IF NOT EXISTS {}", site.database()));
}

#[test]
fn an_error_in_the_configuration_names_the_key() {
    let site = Site::bare("configuration");
    for (key, value, named) in [
        ("WATTLINE_KAFKA_BROKER", "x", "kafka.broker"),
        ("WATTLINE_NOTHING_AT_ALL", "x", "nothing"),
        ("WATTLINE_KAFKA_PARTITIONS", "many", "kafka.partitions"),
        ("WATTLINE_GATEWAY_LISTEN", "here", "gateway.listen"),
        ("WATTLINE_GATEWAY_COMPRESSION", "rar", "gateway.compression"),
        ("WATTLINE_AUTH_PEPPER", "", "auth.pepper"),
        ("WATTLINE_AUTH_PEPPER", "too-little", "auth.pepper"),
        ("WATTLINE_LOG_LEVEL", "=", "log.level"),
    ] {
        let told = failure(&site, &[(key, value)], &["gateway"]);
        assert!(told.contains(named), "{key}={value}: {told}");
        assert!(value.len() < 4 || !told.contains(value) || named == "gateway.listen", "{told}");
    }
    let file = site.path("wattline.toml");
    for (text, named) in [
        ("[gateway]\nlisten_on = \"x\"", "gateway.listen_on"),
        ("[gatewy]\nlisten = \"x\"", "[gatewy]"),
        ("[worker]\nflush_ms = \"soon\"", "worker.flush_ms"),
        ("worker = 1", "worker"),
        ("[worker", "TOML"),
    ] {
        fs::write(&file, text).expect("the configuration");
        let path = file.to_str().expect("a path in UTF-8");
        let told = failure(&site, &[], &["--config", path, "migrate"]);
        assert!(told.contains(named) && told.contains("wattline.toml"), "{text}: {told}");
    }
}

#[test]
fn a_token_is_printed_alone_and_once() {
    let site = Site::new("token");
    let output = site.output(&["token", "create", "--client", "demo", "--name", "the cloud"]);
    let printed = String::from_utf8(output.stdout).expect("text");
    let token = printed.strip_suffix('\n').expect("one line");
    assert_eq!(token.len(), 68, "{token}");
    assert!(
        token.starts_with("wl_live_")
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    );
    let trial = site.run(&["token", "create", "--client", "demo", "--test"]);
    assert!(trial.starts_with("wl_test_"));

    let key_id = &token[8..18];
    let list = site.run(&["token", "list"]);
    assert!(list.contains(key_id) && list.contains("the cloud") && list.contains("demo"), "{list}");
    site.run(&["token", "revoke", key_id]);
    let listed: serde_json::Value = serde_json::from_str(&site.run(&["token", "list", "--json"])).unwrap();
    let of = |key_id: &str| {
        let tokens = listed.as_array().expect("an array").iter();
        tokens.clone().find(|token| token["key_id"] == key_id).expect("the token is listed")
    };
    assert!(of(key_id)["revoked_at"].is_string() && of(&trial[8..18])["revoked_at"].is_null(), "{listed}");
    let secret = &token[19..];
    let kept = fs::read(site.path("directory.db")).expect("the directory");
    assert!(
        !kept.windows(secret.len()).any(|window| window == secret.as_bytes()),
        "the secret is kept nowhere"
    );
    assert!(!list.contains(secret) && !listed.to_string().contains(secret));
}

#[test]
fn an_import_that_is_wrong_names_its_line_and_imports_nothing() {
    let site = Site::new("import");
    let file = site.path("devices");
    let path = file.to_str().expect("a path in UTF-8");
    let good = r#"{"client":"demo","device_id":"a"}"#;
    for (bad, named) in [
        (r#"{"client":"demo"}"#, "`device_id`"),
        (r#"{"client":"demo","device_id":"b","colour":"red"}"#, "`colour`"),
        (r#"{"client":"demo","device_id":"b","battery_power_input_w":-1}"#, "`battery_power_input_w`"),
        ("device b", "line 3"),
    ] {
        fs::write(&file, format!("{good}\n\n{bad}\n")).expect("the file");
        let told = failure(&site, &[], &["devices", "import", path]);
        assert!(told.contains("line 3") && told.contains(named), "{bad}: {told}");
    }
    fs::write(&file, good).expect("the file");
    assert_eq!(site.run(&["devices", "import", path]), "1 lines, 1 devices new or changed\n");
    assert_eq!(site.run(&["devices", "import", path]), "1 lines, 0 devices new or changed\n");
}

#[test]
fn the_audit_tells_which_sink_lacks_what() {
    let site = Site::new("audit");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    let times = [30, 25, 20].map(|minutes| ago_ms(minutes * MINUTE_MS));
    let intervals = times.map(|at_ms| interval("a", at_ms));
    let readings = times.map(|at_ms| reading("a", at_ms, [1.0; 4]));
    for _ in 0..2 {
        all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &intervals)), 3);
        all_ok(&http::exchange(gateway.address, &post_points(COUNTER, &token, &readings)), 3);
    }
    site.wait_until_stored();
    let whole = Audit { kafka: 12, clickhouse: 6, parquet: 6, rejected: 0, duplicates: 6 };
    assert_eq!(site.audit(), whole);

    let audit = || -> Value {
        let output = site.output(&["audit", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(report["exact"], false, "{report:#}");
        report
    };
    // A derived interval is lost, and the readings are still there.
    http::post_text(
        &format!("{}/?database={}&mutations_sync=1", site.clickhouse, site.database()),
        &format!(
            "DELETE FROM intervals WHERE source = 'COUNTER' AND start_time = fromUnixTimestamp64Milli({})",
            times[0]
        ),
    );
    let report = audit();
    assert_eq!(
        (&report["clickhouse_points"], &report["parquet_points"]),
        (&6.into(), &6.into()),
        "{report:#}"
    );
    // A file is lost.
    let file = files_below(&site.parquet().join("kind=readings")).remove(0);
    fs::remove_file(&file).expect("the file goes");
    let report = audit();
    let lost = 6 - report["parquet_points"].as_u64().expect("a number");
    assert!((1..=3).contains(&lost) && report["clickhouse_points"] == 6, "{report:#}");
    let told = String::from_utf8(site.output(&["audit"]).stdout).expect("text");
    assert!(told.contains(&site.topic("counters")), "{told}");
}

#[test]
fn a_token_that_was_used_says_when() {
    let site = Site::new("used");
    let token = site.token("demo");
    let last_used = || {
        let listed: Value = serde_json::from_str(&site.run(&["token", "list", "--json"])).expect("JSON");
        listed[0]["last_used_at"].clone()
    };
    site.import("demo", &["bat"]);
    let mut gateway = site.gateway(&[]);
    assert_eq!(last_used(), Value::Null);
    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);
    // It is written down every minute, and at the end.
    gateway.process.term();
    assert!(gateway.process.wait(Duration::from_secs(20)).success());
    assert!(last_used().is_string());
}
