//! Kafka and ClickHouse over TLS, with passwords, by configuration.

use std::fs;
use std::time::Duration;

use crate::authority::Authority;
use crate::broker::{Broker, PASSWORD};
use crate::doctor::{ailments, doctor, named};
use crate::front;
use crate::http;
use crate::points::{BATTERY, MINUTE_MS, ago_ms, all_ok, interval, post_points};
use crate::process::until;
use crate::site::{Site, failure};

const STORED_DEADLINE: Duration = Duration::from_secs(60);

/// These keys, with some of them exchanged.
fn but<'a>(keys: &[(&'a str, &'a str)], other: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let kept = keys.iter().filter(|(key, _)| other.iter().all(|(name, _)| name != key));
    kept.chain(other).copied().collect()
}

#[test]
fn kafka_is_used_over_tls_and_with_a_password() {
    let site = Site::bare("secured_kafka");
    let (authority, stranger) = (Authority::new("of the test"), Authority::new("of nobody"));
    let broker = Broker::start(&site, &authority);
    let ca = authority.write(site.path("ca.pem"));
    let wrong_ca = stranger.write(site.path("wrong.pem"));
    let [certificate, key] = authority.sign(&["gateway"]).write(&site.path("."), "client");
    let password = site.path("password");
    fs::write(&password, format!("{PASSWORD}\n")).expect("the password");
    let password = password.to_str().expect("a path in UTF-8");
    for file in [password, &key] {
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(file, owner_only).expect("its mode");
    }
    let keys = [
        ("WATTLINE_KAFKA_BROKERS", &*broker.secured),
        ("WATTLINE_KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
        ("WATTLINE_KAFKA_TLS_CA_FILE", &ca),
        ("WATTLINE_KAFKA_TLS_CERTIFICATE_FILE", &certificate),
        ("WATTLINE_KAFKA_TLS_KEY_FILE", &key),
        ("WATTLINE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
        ("WATTLINE_KAFKA_SASL_USERNAME", "owner"),
        ("WATTLINE_KAFKA_SASL_PASSWORD_FILE", password),
    ];
    let migrated = site.command(&keys, &["migrate"]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let (gateway, _worker) = (site.gateway(&keys), site.worker(&keys));
    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);
    until("the point is stored", STORED_DEADLINE, || {
        let is_written = fs::read_dir(site.parquet().join("kind=intervals")).is_ok();
        (site.ask("SELECT count() FROM intervals") == "1" && is_written).then_some(())
    });
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let (report, code) = doctor(&site, &but(&keys, &[("WATTLINE_KAFKA_SASL_MECHANISM", mechanism)]));
        assert_eq!((ailments(&report), code), (Vec::new(), 0), "{mechanism}");
    }

    let check = "kafka.reachable";
    let other_ca = but(&keys, &[("WATTLINE_KAFKA_TLS_CA_FILE", &wrong_ca)]);
    named(&site, &other_ca, check, "failed", "certificate verify failed", "kafka.tls_ca_file");
    let told = failure(&site, &other_ca, &["migrate"]);
    assert!(told.contains("certificate verify failed"), "{told}");
    let wrong = [
        ("WATTLINE_KAFKA_SASL_PASSWORD_FILE", ""),
        ("WATTLINE_KAFKA_SASL_PASSWORD", "canary-secret-that-is-wrong"),
    ];
    named(&site, &but(&keys, &wrong), check, "failed", "uthentication", "kafka.sasl_username");
    let nameless = [("WATTLINE_KAFKA_TLS_CERTIFICATE_FILE", ""), ("WATTLINE_KAFKA_TLS_KEY_FILE", "")];
    named(&site, &but(&keys, &nameless), check, "failed", "certificate", "kafka.tls_certificate_file");

    // Somebody whom Kafka lets in and grants nothing, and then all but to write.
    let guest =
        but(&keys, &[("WATTLINE_KAFKA_SASL_USERNAME", "guest"), ("WATTLINE_KAFKA_SASL_MECHANISM", "PLAIN")]);
    named(&site, &guest, "kafka.topics", "failed", &site.topic("intervals"), "--operation Describe");
    let prefix = ["--resource-pattern-type", "prefixed", "--topic", site.database()];
    for operation in ["Read", "Describe", "DescribeConfigs"] {
        broker.grant("guest", &[&["--operation", operation], &prefix[..]].concat());
    }
    let (report, _) = doctor(&site, &guest);
    let ailing = ailments(&report);
    assert!(ailing.iter().any(|[check, .., advice]| *check == "kafka.group" && advice.contains("--group")));
    broker.grant("guest", &["--operation", "Read", "--group", site.database()]);
    named(&site, &guest, "kafka.write", "failed", "uthoriz", "--operation Write");
    assert_eq!(site.ask("SELECT count() FROM intervals"), "1", "nothing was appended");
}

#[test]
fn clickhouse_is_used_over_tls() {
    let site = Site::bare("secured_tables");
    let (authority, stranger) = (Authority::new("of the test"), Authority::new("of nobody"));
    let service = site.clickhouse.strip_prefix("http://").expect("an address");
    let service = service.parse().expect("an address");
    let url = format!("https://{}", front::start(service, &authority.sign(&["127.0.0.1"])));
    let elsewhere = format!("https://{}", front::start(service, &authority.sign(&["elsewhere"])));
    let ca = authority.write(site.path("ca.pem"));
    let wrong_ca = stranger.write(site.path("wrong.pem"));
    let keys = [("WATTLINE_CLICKHOUSE_URL", &*url), ("WATTLINE_CLICKHOUSE_TLS_CA_FILE", &ca)];
    let migrated = site.command(&keys, &["migrate"]).output().expect("the binary starts");
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let token = site.token("demo");
    site.import("demo", &["bat"]);
    let (gateway, _worker) = (site.gateway(&[]), site.worker(&keys));
    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    all_ok(&http::exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);
    site.wait_until_stored();
    assert_eq!(site.ask("SELECT count() FROM intervals"), "1");
    let (report, code) = doctor(&site, &keys);
    assert_eq!((ailments(&report), code), (Vec::new(), 0));

    let check = "clickhouse.reachable";
    let untrusted = but(&keys, &[("WATTLINE_CLICKHOUSE_TLS_CA_FILE", &wrong_ca)]);
    named(&site, &untrusted, check, "failed", "invalid peer certificate", "clickhouse.tls_ca_file");
    let told = failure(&site, &untrusted, &["migrate"]);
    assert!(told.contains("invalid peer certificate"), "{told}");
    // The operating system's authorities do not know it either.
    let system = but(&keys, &[("WATTLINE_CLICKHOUSE_TLS_CA_FILE", "")]);
    named(&site, &system, check, "failed", "invalid peer certificate", "clickhouse.tls_ca_file");
    let other = but(&keys, &[("WATTLINE_CLICKHOUSE_URL", &elsewhere)]);
    named(&site, &other, check, "failed", "not valid for name", "clickhouse.url");
    let configured = "clickhouse.configuration";
    let absent = but(&keys, &[("WATTLINE_CLICKHOUSE_TLS_CA_FILE", "absent.pem")]);
    named(&site, &absent, configured, "failed", "absent.pem", "clickhouse.tls_ca_file");
}
