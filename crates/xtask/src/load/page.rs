//! The page of a run: one file that needs nothing else, in light and dark.

use std::fmt::Write as _;

use super::plot::{Plot, Scale, Series, short};
use super::sample::{PROCESSES, Sample, Second};
use super::{Fleet, Scenario};
use crate::demo::account::Audit;

const CSS: &str = include_str!("page.css");

/// Everything that a run has left.
pub struct Run<'a> {
    pub name: &'a str,
    pub scenario: &'a Scenario,
    pub fleet: &'a Fleet,
    pub seconds: &'a [Second],
    pub samples: &'a [Sample],
    pub audit: &'a Audit,
    /// From the end of the posting to everything being stored.
    pub drained_s: f64,
    pub profile: &'static str,
}

pub fn page(run: &Run<'_>) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Wattline under load: {name}</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n\
         <h1>Wattline under load: {name}</h1>\n<p>{}</p>\n\
         <p class=\"soft\">{} devices, {} connections, binaries of the profile {}, everything on one machine</p>\n",
        escaped(&run.scenario.description),
        short(f64::from(run.scenario.devices)),
        run.scenario.gateways,
        run.profile,
        name = escaped(run.name),
    );
    page += &tiles(run);
    for (plot, text) in plots(run) {
        let _ = write!(
            page,
            "<h2>{}</h2>\n<p class=\"soft\">{}; {text}</p>\n{}",
            plot.title,
            plot.unit,
            plot.svg()
        );
    }
    page += &table(run);
    page + "</body>\n</html>\n"
}

fn tiles(run: &Run<'_>) -> String {
    let Run { fleet, audit, .. } = run;
    let per_s = fleet.points_ok as f64 / fleet.seconds;
    let tile = |class: &str, value: String, what: &str| {
        format!("<div class=\"tile {class}\"><b>{value}</b><span>{what}</span></div>\n")
    };
    let exact = match audit.exact {
        true => tile("good", "exact".to_owned(), "every OK point once in both sinks"),
        false => tile("bad", "NOT EXACT".to_owned(), "Kafka and the sinks differ"),
    };
    let failed_class = if fleet.good_points_failed == 0 { "" } else { "bad" };
    [
        "<div class=\"tiles\">\n".to_owned(),
        tile("", short(fleet.points_ok as f64), "points answered OK"),
        tile("", short(per_s), "points OK a second"),
        tile(failed_class, short(fleet.points_failed as f64), "points answered FAILED"),
        tile("", time(fleet.latency_ms.p99), "p99 of a request"),
        tile("", time(run.drained_s * 1_000.0), "from the last post to all stored"),
        exact,
        "</div>\n".to_owned(),
    ]
    .concat()
}

fn plots(run: &Run<'_>) -> Vec<(Plot, &'static str)> {
    let ends =
        [run.seconds.last().map(|second| second.elapsed_s), run.samples.last().map(|last| last.elapsed_s)];
    let seconds = ends.into_iter().flatten().fold(1.0, f64::max);
    let of_fleet = |name: &'static str, value: fn(&Second) -> f64| Series {
        name,
        points: run.seconds.iter().map(|second| (second.elapsed_s, value(second))).collect(),
    };
    let of_samples = |name: &'static str, value: &dyn Fn(&Sample) -> f64| Series {
        name,
        points: run.samples.iter().map(|sample| (sample.elapsed_s, value(sample))).collect(),
    };
    let cores = PROCESSES
        .iter()
        .enumerate()
        .map(|(index, name)| of_samples(name, &|sample: &Sample| sample.cores[index]));
    vec![
        (
            Plot {
                title: "Throughput",
                unit: "points a second",
                scale: Scale::Linear,
                seconds,
                series: vec![of_fleet("answered", |second| second.settled_per_s)],
            },
            "points that the fleet has a final answer for",
        ),
        (
            Plot {
                title: "Latency of requests",
                unit: "ms",
                scale: Scale::Log,
                seconds,
                series: vec![
                    of_fleet("p50", |second| second.p50_ms),
                    of_fleet("p99", |second| second.p99_ms),
                    of_fleet("p90", |second| second.p90_ms),
                    of_fleet("slowest", |second| second.slowest_ms),
                ],
            },
            "of the answers in each second, by the clock of the client",
        ),
        (
            Plot { title: "CPU", unit: "cores", scale: Scale::Linear, seconds, series: cores.collect() },
            "user and system time of each process",
        ),
        (
            Plot {
                title: "Consumer lag",
                unit: "records",
                scale: Scale::Linear,
                seconds,
                series: vec![of_samples("lag", &|sample: &Sample| sample.lag_records)],
            },
            "records in Kafka that are not in ClickHouse yet",
        ),
        (
            Plot {
                title: "Memory",
                unit: "MiB",
                scale: Scale::Linear,
                seconds,
                series: vec![
                    of_samples("gateway", &|sample: &Sample| sample.resident_mib[0]),
                    of_samples("worker", &|sample: &Sample| sample.resident_mib[1]),
                ],
            },
            "resident",
        ),
    ]
}

fn table(run: &Run<'_>) -> String {
    let Run { fleet, audit, .. } = run;
    let mut rows = vec![
        ("requests".to_owned(), fleet.requests as f64),
        ("requests sent again".to_owned(), fleet.resends as f64),
        ("requests without an answer".to_owned(), fleet.requests_not_answered.values().sum::<u64>() as f64),
        ("points sent".to_owned(), fleet.points_sent as f64),
        ("points OK".to_owned(), fleet.points_ok as f64),
        ("points FAILED".to_owned(), fleet.points_failed as f64),
        ("points in Kafka".to_owned(), audit.kafka_points as f64),
        ("of them sent again".to_owned(), audit.duplicates as f64),
        ("points in ClickHouse".to_owned(), audit.clickhouse_points as f64),
        ("points in Parquet".to_owned(), audit.parquet_points as f64),
        ("rejected by the worker".to_owned(), audit.rejected as f64),
    ];
    rows.extend(fleet.http_status.iter().map(|(status, count)| (format!("answers {status}"), *count as f64)));
    let mut table = "<h2>Counts</h2>\n<table>\n".to_owned();
    for (what, count) in rows {
        let _ = writeln!(table, "<tr><td>{}</td><td>{count:.0}</td></tr>", escaped(&what));
    }
    table + "</table>\n"
}

fn time(ms: f64) -> String {
    if ms < 1_000.0 { format!("{} ms", short(ms)) } else { format!("{} s", short(ms / 1_000.0)) }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
