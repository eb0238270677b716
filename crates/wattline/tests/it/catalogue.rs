//! `docs/metrics.md` against what live processes export, in both directions: names, types, labels, and the
//! values of labels where the page lists them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::dashboards::certificate;
use crate::http::{Request, exchange};
use crate::load::{import_fleet, start_fleet};
use crate::points::{COUNTER, HOUR_MS, MINUTE_MS, ago_ms, messages, post_points, reading};
use crate::process::until;
use crate::site::Site;

const SECONDS: u32 = 5;
const POINTS_PER_S: f64 = 400.0;
const DEADLINE: Duration = Duration::from_secs(40);

/// What is in the catalogue and need not come up in this run, and why.
const MAY_BE_ABSENT: [(&str, &str); 10] = [
    ("wattline_clickhouse_errors_total", "ClickHouse refuses nothing here"),
    ("wattline_clickhouse_verified_rows_total", "nothing is in doubt"),
    ("wattline_gateway_tls_reloads_total", "the certificate stays"),
    ("wattline_kafka_consume_errors_total", "Kafka is well"),
    ("wattline_kafka_produce_errors_total", "Kafka is well"),
    ("wattline_parquet_errors_total", "the disk is well"),
    ("wattline_portal_sign_ins_total", "nobody signs in"),
    ("wattline_process_memory_max_bytes", "this machine may set no limit"),
    ("wattline_worker_restarts_total", "the worker meets no fault"),
    ("wattline_worker_retries_total", "the sinks and Kafka are well"),
];

/// A row of the catalogue.
struct Entry {
    section: String,
    kind: String,
    /// Each label with its values, where all of them are listed.
    labels: BTreeMap<String, Option<BTreeSet<String>>>,
}

/// A family as a process exports it.
#[derive(Default)]
struct Family {
    kind: String,
    labels: Vec<BTreeMap<String, String>>,
}

fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// `a`, `b`; `c`: `x`, `y`
fn labels(cell: &str) -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut labels = BTreeMap::new();
    for part in cell.split(';') {
        let (names, values) = part.split_once(':').unwrap_or((part, ""));
        let is_open = values.is_empty() || values.contains('…') || values.contains("` to `");
        let values = (!is_open).then(|| quoted(values).collect());
        labels.extend(quoted(names).map(|name| (name, values.clone())));
    }
    labels
}

/// The tables of metrics, whose heads are alike; others are of something else.
fn catalogue() -> BTreeMap<String, Entry> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = fs::read_to_string(page).expect("the catalogue");
    let (mut entries, mut section, mut is_table) = (BTreeMap::new(), String::new(), false);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.to_owned();
        }
        if line == "| metric | type | labels | meaning |" {
            is_table = true;
        } else if !line.starts_with('|') {
            is_table = false;
        } else if is_table && !line.starts_with("| ---") {
            let cells: Vec<&str> = line.trim_matches('|').splitn(4, '|').map(str::trim).collect();
            for name in quoted(cells[0]) {
                let entry =
                    Entry { section: section.clone(), kind: cells[1].to_owned(), labels: labels(cells[2]) };
                assert!(entries.insert(name.clone(), entry).is_none(), "{name} is there twice");
            }
        }
    }
    entries
}

/// The families of an exposition. No value of a label here holds a comma or a quote.
fn families(exposition: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in exposition.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') && !line.is_empty() {
            let (sample, _) = line.rsplit_once(' ').expect("a sample");
            let (name, labels) = sample.trim_end_matches('}').split_once('{').unwrap_or((sample, ""));
            let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
            let name = histogram.filter(|name| families.contains_key(*name)).unwrap_or(name);
            let pairs = labels.split("\",").filter_map(|pair| pair.split_once("=\""));
            let labels = pairs
                .filter(|(label, _)| *label != "le")
                .map(|(label, value)| (label.to_owned(), value.trim_end_matches('"').to_owned()));
            let family = families.get_mut(name).unwrap_or_else(|| panic!("{name} has no type"));
            family.labels.push(labels.collect());
        }
    }
    families
}

/// What a process exports and the catalogue does not say, or says otherwise.
fn differences(process: &str, exposition: &str, catalogue: &BTreeMap<String, Entry>) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, family) in families(exposition) {
        let Some(entry) = catalogue.get(&name) else {
            differences.push(format!("{process}: {name} is not in docs/metrics.md"));
            continue;
        };
        if entry.kind != family.kind {
            differences.push(format!("{process}: {name} is a {}, not a {}", family.kind, entry.kind));
        }
        for labels in &family.labels {
            let (known, found): (Vec<_>, Vec<_>) = (entry.labels.keys().collect(), labels.keys().collect());
            if known != found {
                differences.push(format!("{process}: {name} has the labels {found:?}, not {known:?}"));
            }
            for (label, value) in labels {
                let values = entry.labels.get(label).and_then(Option::as_ref);
                if values.is_some_and(|values| !values.contains(value)) {
                    differences.push(format!("{process}: {name} has {label}={value:?}"));
                }
            }
        }
    }
    differences.sort();
    differences.dedup();
    differences
}

/// Points that are repeated, late, and in conflict; a denial; a request for a service that is not there; a
/// handshake that fails.
fn raise(site: &Site, gateway: std::net::SocketAddr, secured: std::net::SocketAddr, token: &str) {
    site.import("demo", &["odd"]);
    let at = |minutes: i64, first: f64| reading("odd", at_ms() - minutes * MINUTE_MS, [first, 2.0, 3.0, 4.0]);
    fn at_ms() -> i64 {
        ago_ms(HOUR_MS) / HOUR_MS * HOUR_MS
    }
    for point in [at(10, 1.0), at(5, 2.0), at(5, 2.0), at(7, 1.5), at(5, 1.75)] {
        let request = post_points(COUNTER, token, &[point]);
        until("the odd device is known", DEADLINE, || {
            (messages(&exchange(gateway, &request)) == [""]).then_some(())
        });
    }
    assert_eq!(exchange(gateway, &Request::new("POST", COUNTER)).status, 401);
    let request = Request::new("GET", "/v1/programs").header("Authorization", &format!("Bearer {token}"));
    assert!(exchange(gateway, &request).status >= 500);
    TcpStream::connect(secured).and_then(|mut stream| stream.write_all(b"no TLS\n")).expect("a connection");
}

#[test]
fn the_catalogue_is_what_live_processes_export() {
    let catalogue = catalogue();
    assert!(catalogue.len() > 60, "{} metrics are few", catalogue.len());
    for (name, _) in MAY_BE_ABSENT {
        assert!(catalogue.contains_key(name), "{name} is excused and not in docs/metrics.md");
    }
    let site = Site::new("catalogue");
    let token = site.token("demo");
    import_fleet(&site);
    // Neither the service nor the collector is there.
    let gateway = site.gateway(&[
        ("WATTLINE_UPSTREAMS_PROGRAMS", "http://127.0.0.1:1"),
        ("WATTLINE_TRACES_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("WATTLINE_TRACES_SAMPLE_RATIO", "1"),
    ]);
    let (certificate_file, key_file) = certificate(&site);
    let secured = site.gateway(&[
        ("WATTLINE_GATEWAY_TLS_CERTIFICATE_FILE", &certificate_file),
        ("WATTLINE_GATEWAY_TLS_KEY_FILE", &key_file),
    ]);
    let worker = site.worker(&[]);
    let portal = site.portal(&[]);
    exchange(portal.address, &Request::new("GET", "/"));
    raise(&site, gateway.address, secured.address, &token);
    let outcome = start_fleet(gateway.address, &token, SECONDS, POINTS_PER_S).join().expect("the fleet");
    assert!(outcome.report.is_sound(), "{:#?}", outcome.report);
    site.wait_until_stored();
    let audit = site.path("audit.prom");
    site.run(&["audit", "--prometheus", audit.to_str().expect("a path in UTF-8")]);

    // Statistics of Kafka and the first Parquet file come within seconds.
    let began = Instant::now();
    loop {
        let scraped = |ops: &crate::site::Ops| ops.get("/metrics").expect("the metrics").1;
        let gateways = scraped(&gateway.ops) + &scraped(&secured.ops);
        let processes = [
            ("gateway", gateways, &["Gateway", "Both: Kafka", "Both: traces", "Every process"][..]),
            ("worker", scraped(&worker.ops), &["Worker", "Both: Kafka", "Both: traces", "Every process"]),
            ("portal", scraped(&portal.ops), &["Portal", "Every process"]),
            ("audit", fs::read_to_string(&audit).expect("the file of the audit"), &["Audit"]),
        ];
        let mut wrong = Vec::new();
        let mut missing: BTreeSet<&str> = catalogue.keys().map(String::as_str).collect();
        for (process, exposition, sections) in &processes {
            wrong.extend(differences(process, exposition, &catalogue));
            for name in families(exposition).keys() {
                let Some((name, entry)) = catalogue.get_key_value(name) else { continue };
                if sections.contains(&entry.section.as_str()) {
                    missing.remove(name.as_str());
                } else {
                    wrong.push(format!("{process}: {name} is under {:?}", entry.section));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        missing.retain(|name| !MAY_BE_ABSENT.iter().any(|(absent, _)| absent == name));
        if missing.is_empty() {
            return;
        }
        assert!(began.elapsed() < DEADLINE, "nobody exports {missing:?}");
        std::thread::sleep(Duration::from_millis(500));
    }
}
