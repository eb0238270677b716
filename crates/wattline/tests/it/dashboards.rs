//! The dashboards and the rules against a Prometheus that has scraped a run: each panel shows something, each
//! rule can be evaluated, and what they name is documented.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::load::{import_fleet, start_fleet};
use crate::points::{COUNTER, HOUR_MS, ago_ms, messages, post_points, reading};
use crate::process::{Process, until};
use crate::site::{Gateway, Site, files_below};
use crate::{http, prometheus};

const SECONDS: u32 = 12;
const POINTS_PER_S: f64 = 600.0;
const SHOWN_DEADLINE: Duration = Duration::from_secs(30);

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A query of a panel and where it is.
struct Query {
    place: String,
    text: String,
}

/// The queries of the dashboards: PromQL, and ClickHouse's SQL.
fn queries() -> (Vec<Query>, Vec<Query>) {
    let (mut promql, mut sql) = (Vec::new(), Vec::new());
    for file in files_below(&repository("deploy/grafana/dashboards")) {
        let dashboard: Value =
            serde_json::from_str(&fs::read_to_string(&file).expect("a dashboard")).expect("JSON");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        for panel in dashboard["panels"].as_array().expect("panels") {
            // A row that is closed has its panels within.
            let within = panel["panels"].as_array().into_iter().flatten();
            for panel in std::iter::once(panel).chain(within) {
                let title = panel["title"].as_str().expect("a title");
                for target in panel["targets"].as_array().into_iter().flatten() {
                    let place = format!("{name}, {title:?}, {}", target["refId"]);
                    match (target["expr"].as_str(), target["rawSql"].as_str()) {
                        (Some(text), None) => promql.push(Query { place, text: text.to_owned() }),
                        (None, Some(text)) => sql.push(Query { place, text: text.to_owned() }),
                        _ => panic!("{place} is neither PromQL nor SQL"),
                    }
                }
            }
        }
        for variable in dashboard["templating"]["list"].as_array().into_iter().flatten() {
            if let Some(definition) = variable["definition"].as_str() {
                let series = definition.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
                let (series, _) = series.unwrap_or_else(|| panic!("{name}: {definition}"));
                let place = format!("{name}, the variable {}", variable["name"]);
                promql.push(Query { place, text: series.to_owned() });
            }
        }
    }
    (promql, sql)
}

/// Why a query shows nothing, if it does.
fn empty(prometheus: SocketAddr, query: &Query) -> Option<String> {
    let text = query.text.replace("$__rate_interval", "60s").replace("$instance", ".*");
    assert!(!text.contains('$'), "{}: a variable is left in {text}", query.place);
    let answer = prometheus::get(prometheus, "/api/v1/query", &[("query", &text)]);
    if answer["status"] != "success" {
        return Some(format!("{}: {} says {}", query.place, text, answer["error"]));
    }
    let samples = answer["data"]["result"].as_array().expect("a result");
    let is_number = |sample: &Value| {
        let value = sample["value"][1].as_str().and_then(|value| value.parse::<f64>().ok());
        value.is_some_and(f64::is_finite)
    };
    // A limit that this machine may not have draws no line, and says so.
    let may_be_none = text.ends_with("or vector(NaN)") && !samples.is_empty();
    (!may_be_none && !samples.iter().any(is_number)).then(|| format!("{}: nothing for {text}", query.place))
}

/// ClickHouse's SQL without the macros of Grafana's plug-in: a macro's argument is a column.
fn without_macros(sql: &str, database: &str) -> String {
    let mut sql = sql.replace("wattline.", &format!("{database}."));
    for (name, before, after) in [
        ("$__timeFilter(", "(toDateTime(", ") >= now() - INTERVAL 2 DAY)"),
        ("$__timeInterval(", "toStartOfInterval(toDateTime(", "), INTERVAL 60 second)"),
    ] {
        while let Some(start) = sql.find(name) {
            let end = start + sql[start..].find(')').expect("the end of a macro");
            let column = &sql[start + name.len()..end];
            sql = format!("{}{before}{column}{after}{}", &sql[..start], &sql[end + 1..]);
        }
    }
    assert!(!sql.contains('$'), "{sql}");
    sql
}

/// The names of metrics in a text, those of a histogram's parts by the histogram.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_' && char != ':');
    let names = words.filter(|word| word.starts_with("wattline_") && !word.ends_with('_'));
    let histogram = |name: &str| {
        let parts = ["_seconds_bucket", "_seconds_count", "_seconds_sum"];
        let part = parts.into_iter().find(|part| name.ends_with(part));
        part.map_or_else(|| name.to_owned(), |part| format!("{}_seconds", &name[..name.len() - part.len()]))
    };
    names.map(histogram).collect()
}

/// A gateway that speaks TLS has metrics that another has not.
pub fn certificate(site: &Site) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let path = |name: &str| site.path(name).into_os_string().into_string().expect("a path in UTF-8");
    let (certificate_file, key_file) = (path("tls.crt"), path("tls.key"));
    fs::write(&certificate_file, certificate.pem()).expect("the certificate");
    fs::write(&key_file, key.serialize_pem()).expect("the key");
    (certificate_file, key_file)
}

/// What the textfile collector of the node exporter shows of a folder.
fn node_exporter(site: &Site, folder: &Path) -> (Process, SocketAddr) {
    let mut command = Command::new("prometheus-node-exporter");
    command
        .args(["--web.listen-address=127.0.0.1:0", "--log.format=json"])
        .args(["--collector.disable-defaults", "--collector.textfile"])
        .arg(format!("--collector.textfile.directory={}", folder.display()));
    prometheus::start("prometheus-node-exporter", command, &site.path("."))
}

/// The fleet's devices are looked up once, perhaps all of them before the first scrape; then nothing rises while
/// Prometheus looks. So one more comes when the fleet has gone.
fn look_one_up(site: &Site, gateway: &Gateway, token: &str) {
    site.import("demo", &["late"]);
    let late = post_points(COUNTER, token, &[reading("late", ago_ms(HOUR_MS), [1.0, 2.0, 3.0, 4.0])]);
    until("the late device is known", SHOWN_DEADLINE, || {
        (messages(&http::exchange(gateway.address, &late)) == [""]).then_some(())
    });
}

#[test]
fn every_panel_shows_something_and_every_rule_can_be_evaluated() {
    let site = Site::new("dashboards");
    let token = site.token("demo");
    import_fleet(&site);
    let gateway = site.gateway(&[]);
    let (certificate_file, key_file) = certificate(&site);
    let secured = site.gateway(&[
        ("WATTLINE_GATEWAY_TLS_CERTIFICATE_FILE", &certificate_file),
        ("WATTLINE_GATEWAY_TLS_KEY_FILE", &key_file),
    ]);
    let worker = site.worker(&[]);
    let folder = site.path("textfile");
    fs::create_dir(&folder).expect("a folder");
    let (_exporter, exporter_address) = node_exporter(&site, &folder);
    let targets = [
        ("wattline-gateway", vec![gateway.ops.address(), secured.ops.address()]),
        ("wattline-worker", vec![worker.ops.address()]),
        ("wattline-audit", vec![exporter_address]),
    ];
    let rules = ["rules.yaml", "objectives.yaml", "alerts.yaml"].map(|name| {
        // Nobody waits for 30 seconds here.
        let text = read(&format!("deploy/prometheus/{name}")).replace("interval: 30s", "interval: 1s");
        (name, text.replace("interval: 15s", "interval: 1s"))
    });
    let (_prometheus, address) = prometheus::prometheus(&site.path("prometheus"), &targets, &rules);

    let outcome = start_fleet(gateway.address, &token, SECONDS, POINTS_PER_S).join().expect("the fleet");
    assert!(outcome.report.is_sound(), "{:#?}", outcome.report);
    look_one_up(&site, &gateway, &token);
    site.wait_until_stored();
    let audit = folder.join("audit.prom");
    site.run(&["audit", "--complete", "--prometheus", audit.to_str().expect("a path in UTF-8")]);
    assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 1, "only the file itself is left");

    let (promql, sql) = queries();
    assert!(promql.len() > 80 && sql.len() >= 5, "{} and {} queries are few", promql.len(), sql.len());
    let mut nothing = Vec::new();
    for query in &promql {
        // What is recorded or scraped at the end of the run takes a second or two to be seen.
        let began = Instant::now();
        let mut why = empty(address, query);
        while why.is_some() && began.elapsed() < SHOWN_DEADLINE && nothing.is_empty() {
            why = empty(address, query);
        }
        nothing.extend(why);
    }
    assert!(nothing.is_empty(), "{} queries are empty:\n{}", nothing.len(), nothing.join("\n"));

    check_rules(address);
    check_names(address);
    check_gauges(address);
    check_sql(&site, &sql);
}

/// Every rule has been evaluated without an error, and every recorded one gives something.
#[track_caller]
fn check_rules(prometheus: SocketAddr) {
    let answer = prometheus::get(prometheus, "/api/v1/rules", &[]);
    let groups = answer["data"]["groups"].as_array().expect("groups");
    let rules: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().expect("rules")).collect();
    assert!(rules.len() > 60, "{} rules are few", rules.len());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule:#}");
        assert_ne!(rule["state"], "firing", "on a healthy site: {rule:#}");
        if rule["type"] == "recording" {
            let name = rule["name"].as_str().expect("a name");
            let query = Query { place: "a recorded rule".to_owned(), text: name.to_owned() };
            until(name, SHOWN_DEADLINE, || empty(prometheus, &query).is_none().then_some(()));
        }
    }
}

/// What dashboards and rules name is in docs/metrics.md, and so is whatever the processes show.
#[track_caller]
fn check_names(prometheus: SocketAddr) {
    let documented = metrics_in(&read("docs/metrics.md"));
    let mut named = BTreeMap::new();
    let folders = ["deploy/grafana/dashboards", "deploy/prometheus"];
    for file in folders.iter().flat_map(|folder| files_below(&repository(folder))) {
        let text = fs::read_to_string(&file).expect("text");
        named.extend(metrics_in(&text).into_iter().map(|name| (name, file.display().to_string())));
    }
    let answer = prometheus::get(prometheus, "/api/v1/label/__name__/values", &[]);
    for name in answer["data"].as_array().expect("names") {
        let names = metrics_in(name.as_str().expect("a name"));
        named.extend(names.into_iter().map(|name| (name, "a process".to_owned())));
    }
    named.retain(|name, _| !documented.contains(name));
    assert!(named.is_empty(), "not in docs/metrics.md: {named:#?}");
}

/// What goes up and down has come back to what is there: nothing is under way now.
#[track_caller]
fn check_gauges(prometheus: SocketAddr) {
    for gauge in ["connections", "in_flight_requests", "in_flight_bytes"] {
        let name = format!("wattline_gateway_{gauge}");
        // A gateway that nobody came to has none of them yet.
        let query = Query { place: name.clone(), text: format!("max(abs({name})) == 0") };
        until(&format!("{name} is 0"), SHOWN_DEADLINE, || empty(prometheus, &query).is_none().then_some(()));
    }
}

/// The panels that ask ClickHouse. A device that has become silent and a rejected record are put there.
#[track_caller]
fn check_sql(site: &Site, queries: &[Query]) {
    let database = site.database();
    http::post_text(
        &site.clickhouse,
        &format!(
            "INSERT INTO {database}.readings (client_id, device_id, timestamp, received_at, _topic, _offset) \
             VALUES ('demo', 'silent', now() - 7200, now() - 7200, 'by hand', 1)"
        ),
    );
    http::post_text(
        &site.clickhouse,
        &format!(
            "INSERT INTO {database}.rejected (reason, rejected_at, record, _topic, _offset) \
             VALUES ('CONFLICT', now(), 'bytes', 'by hand', 1)"
        ),
    );
    for query in queries {
        let sql = format!("{} FORMAT JSON", without_macros(&query.text, database));
        let (status, text) = http::try_post_text(&site.clickhouse, &sql);
        assert_eq!(status, 200, "{}: {text}", query.place);
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert_ne!(answer["rows"], json!(0), "{}: nothing for {sql}", query.place);
    }
}
