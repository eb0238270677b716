//! The rules of Prometheus: each alert says what to do, its tests pass, and they can fail.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

use crate::deploy::{files, root, yaml};

/// What of the rules raises alerts; the other file only records.
const ALERTS: [&str; 2] = ["objectives.yaml", "alerts.yaml"];

fn prometheus() -> PathBuf {
    root().join("deploy/prometheus")
}

fn promtool(arguments: &[&str], file: &Path) -> Output {
    let output = Command::new("promtool").args(arguments).arg(file).output();
    output.unwrap_or_else(|error| panic!("promtool: {error}; `cargo xtask test` installs it"))
}

#[track_caller]
fn check(arguments: &[&str], file: &Path) {
    let output = promtool(arguments, file);
    assert!(output.status.success(), "promtool {arguments:?} {}: {}", file.display(), text(&output));
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn tests() -> Vec<PathBuf> {
    let files = files(&prometheus().join("tests"));
    assert!(files.len() > 5, "{files:?}");
    files
}

/// Every alert, with its labels and annotations.
fn alerts() -> Vec<Value> {
    let groups = ALERTS.iter().flat_map(|file| {
        let mut documents = yaml(&prometheus().join(file));
        let Value::Array(groups) = documents.remove(0)["groups"].take() else {
            panic!("{file} has no groups")
        };
        groups
    });
    let rules = groups.flat_map(|mut group| match group["rules"].take() {
        Value::Array(rules) => rules,
        other => panic!("{other} are no rules"),
    });
    rules.filter(|rule| rule["alert"].is_string()).collect()
}

fn name(alert: &Value) -> String {
    alert["alert"].as_str().expect("a name").to_owned()
}

/// The anchors of a document's headings, as its reader makes them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-")).collect()
}

#[test]
fn every_alert_says_what_to_do() {
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).expect("the runbook");
    let anchors = anchors(&runbook);
    let alerts = alerts();
    assert!(alerts.len() > 30, "{} alerts are few", alerts.len());
    for alert in &alerts {
        let severity = alert["labels"]["severity"].as_str();
        assert!(matches!(severity, Some("page" | "ticket")), "{alert:#}");
        for annotation in ["summary", "description"] {
            let text = alert["annotations"][annotation].as_str().expect("a text");
            assert!(text.len() > 10, "{alert:#}");
        }
        let url = alert["annotations"]["runbook_url"].as_str().expect("a runbook");
        let anchor = url.strip_prefix("docs/runbook.md#").unwrap_or_else(|| panic!("{url}"));
        assert!(anchors.contains(anchor), "the runbook has no section {anchor}");
        let quoted = format!("`{}`", name(alert));
        assert!(runbook.contains(&quoted), "the runbook does not name {quoted}");
    }
}

#[test]
fn the_rules_are_well_formed_and_do_as_their_tests_say() {
    check(&["check", "config"], &prometheus().join("prometheus.yaml"));
    let tests = tests();
    // They are many evaluations each, and know nothing of each other.
    thread::scope(|scope| {
        for some in tests.chunks(tests.len().div_ceil(2)) {
            scope.spawn(move || some.iter().for_each(|test| check(&["test", "rules"], test)));
        }
    });
}

/// Every alert that a test file found wrong where it had to fire, or where it had to be silent.
struct Missed {
    firing: BTreeSet<String>,
    silent: BTreeSet<String>,
}

/// Runs all tests against rules that have these expressions for every alert.
fn missed(expression: &str) -> Missed {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("tests")).expect("a folder");
    // Nothing that is recorded matters to an expression without a metric.
    fs::write(folder.path().join("rules.yaml"), "groups: []\n").expect("the rules");
    for file in ALERTS {
        let mut rules = yaml(&prometheus().join(file)).remove(0);
        for group in rules["groups"].as_array_mut().expect("groups") {
            let alerts = group["rules"].as_array_mut().expect("rules");
            alerts.retain(|rule| rule["alert"].is_string());
            for alert in alerts {
                alert["expr"] = expression.into();
                alert.as_object_mut().expect("a rule").remove("for");
            }
        }
        // JSON is YAML.
        fs::write(folder.path().join(file), rules.to_string()).expect("the rules");
    }
    let mut missed = Missed { firing: BTreeSet::new(), silent: BTreeSet::new() };
    for test in tests() {
        let copy = folder.path().join("tests").join(test.file_name().expect("a name"));
        fs::copy(&test, &copy).expect("a copy");
        let text = text(&promtool(&["test", "rules"], &copy));
        let mut alert = None;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("alertname: ") {
                alert = rest.split(',').next().map(str::to_owned);
            } else if let (Some(name), Some(expected)) = (&alert, line.strip_prefix("exp:")) {
                let is_silent = expected.starts_with("[]");
                if is_silent { &mut missed.silent } else { &mut missed.firing }.insert(name.clone());
            }
        }
    }
    missed
}

#[test]
fn each_alert_has_a_test_that_fails_where_it_never_fires_and_one_where_it_always_does() {
    let all: BTreeSet<String> = alerts().iter().map(name).collect();
    let never = missed("vector(0) > 1").firing;
    assert_eq!(
        all.difference(&never).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "no test wants these to fire"
    );
    let always = missed("vector(1)").silent;
    assert_eq!(
        all.difference(&always).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "no test wants these silent"
    );
}
