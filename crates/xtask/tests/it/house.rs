//! What each crate must not know, from the manifests themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The crates that a shipped binary is built from, and what each depends on directly, tests left aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .expect("cargo metadata");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON of cargo metadata");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let all = package["dependencies"].as_array().expect("dependencies");
            let normal = all.iter().filter(|dependency| dependency["kind"].is_null());
            (name(package), normal.map(name).collect())
        })
        .collect()
}

#[test]
fn what_is_behind_one_door_is_used_through_it() {
    let dependencies = dependencies();
    let users = |of: &str| -> Vec<&str> {
        dependencies.iter().filter(|(_, uses)| uses.contains(of)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(users("rdkafka"), ["wattline-kafka"]);
    assert_eq!(users("sqlx"), ["wattline-directory"]);
    assert_eq!(users("clickhouse"), ["wattline-clickhouse-sink"]);
    assert_eq!(users("parquet"), ["wattline-parquet-sink"]);
    assert_eq!(users("simd-json"), Vec::<&str>::new(), "a yardstick of tests and benches");
    assert_eq!(
        users("wattline-openapi"),
        Vec::<&str>::new(),
        "the description is a file, and serves nothing"
    );
    // The fleet is a client; the runtime serves the operations port.
    assert_eq!(users("hyper"), ["wattline-fleet", "wattline-gateway", "wattline-portal", "wattline-runtime"]);
    assert_eq!(users("axum"), ["wattline-portal"]);
    for crate_of_otel in ["opentelemetry", "opentelemetry_sdk", "opentelemetry-otlp"] {
        assert_eq!(users(crate_of_otel), ["wattline-traces"]);
    }
    assert_eq!(users("object_store"), ["wattline-bucket", "wattline-parquet-sink"]);
}

/// Beside hyper and rustls with ring; OpenSSL is librdkafka's.
#[test]
fn no_second_way_to_speak_http_or_tls_comes_in_by_the_way() {
    let lock = include_str!("../../../../Cargo.lock");
    for name in ["reqwest", "aws-lc-rs", "native-tls"] {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name}: cargo tree -i {name} says why");
    }
}

#[test]
fn no_crate_knows_what_it_must_not() {
    let dependencies = dependencies();
    let never = |name: &str, what: &[&str]| {
        let uses = dependencies.get(name).unwrap_or_else(|| panic!("there is no crate {name}"));
        for what in what {
            assert!(!uses.contains(*what), "{name} must not use {what}");
        }
    };
    let outside = ["tokio", "hyper", "rdkafka", "wattline-kafka", "clickhouse", "parquet", "sqlx"];
    for pure in ["wattline-model", "wattline-wire", "wattline-counters", "wattline-auth"] {
        never(pure, &outside);
    }
    for format_free in ["wattline-model", "wattline-counters"] {
        never(format_free, &["serde", "serde_json", "arrow-array"]);
    }
    never("wattline-directory", &["hyper", "wattline-kafka", "wattline-gateway"]);
    never("wattline-kafka", &["wattline-model", "wattline-wire", "arrow-array"]);
    for sink in ["wattline-clickhouse-sink", "wattline-parquet-sink"] {
        never(sink, &["wattline-kafka", "wattline-wire", "wattline-gateway", "hyper"]);
    }
    never("wattline-bucket", &["arrow-array", "parquet", "wattline-parquet-sink", "wattline-kafka", "hyper"]);
    never("wattline-gateway", &["wattline-counters", "wattline-clickhouse-sink", "wattline-parquet-sink"]);
    never(
        "wattline-portal",
        &["wattline-gateway", "wattline-wire", "wattline-model", "wattline-kafka", "sqlx"],
    );
    never("wattline-worker", &["hyper", "wattline-directory", "wattline-auth", "wattline-gateway"]);
    for around in ["wattline-runtime", "wattline-traces"] {
        never(around, &["wattline-model", "wattline-kafka", "wattline-wire"]);
    }
    never("wattline-openapi", &["tokio", "hyper", "sqlx", "rdkafka", "wattline-kafka"]);
}

#[test]
fn the_arrows_point_one_way() {
    /// From the binary down; a crate may use those behind it.
    const ORDER: [&[&str]; 6] = [
        &["wattline"],
        &["wattline-openapi"],
        &["wattline-audit", "wattline-gateway", "wattline-portal", "wattline-worker"],
        &[
            "wattline-bucket",
            "wattline-kafka",
            "wattline-clickhouse-sink",
            "wattline-parquet-sink",
            "wattline-directory",
            "wattline-runtime",
            "wattline-traces",
        ],
        &["wattline-wire", "wattline-counters", "wattline-auth"],
        &["wattline-model", "wattline-failpoint"],
    ];
    let dependencies = dependencies();
    let level = |name: &str| ORDER.iter().position(|names| names.contains(&name));
    for (name, uses) in &dependencies {
        let Some(from) = level(name) else { continue };
        for used in uses {
            let Some(to) = level(used) else { continue };
            // The audit reads the worker's progress; both are on the same level.
            let is_known = (name.as_str(), used.as_str()) == ("wattline-audit", "wattline-worker");
            assert!(to > from || is_known, "{name} must not use {used}");
        }
    }
}
