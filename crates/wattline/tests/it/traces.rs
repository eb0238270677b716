//! Traces, from a request to the batch that stores its points.

use std::io::Read as _;
use std::net::TcpListener;
use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use serde_json::{Value, json};

use crate::broker::java;
use crate::collector::{Collector, Span};
use crate::http::{Request, exchange};
use crate::points::{
    BATTERY, COUNTER, HOUR_MS, ago_ms, all_ok, interval, messages, post, post_points, reading,
};
use crate::process::{Process, until};
use crate::site::Site;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const WITHIN: Duration = Duration::from_secs(30);

fn traced(request: Request, sampled: bool) -> Request {
    request.header("traceparent", &format!("00-{TRACE}-{CALLER}-{:02x}", u8::from(sampled)))
}

/// The lines of a log, which are JSON.
fn lines(process: &Process) -> Vec<Value> {
    process.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The headers of all records of a topic, as Kafka's own tool prints them.
fn headers(site: &Site, topic: &str, records: usize) -> Vec<String> {
    let mut consumer = java();
    consumer.arg("org.apache.kafka.tools.consumer.ConsoleConsumer").args([
        "--bootstrap-server",
        &site.kafka().brokers,
        "--topic",
        &site.topic(topic),
        "--from-beginning",
        "--max-messages",
        &records.to_string(),
        "--timeout-ms",
        "30000",
        "--property",
        "print.headers=true",
        "--property",
        "print.value=false",
    ]);
    let output = consumer.output().expect("Kafka's consumer starts");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn a_trace_goes_from_the_request_to_the_batch() {
    let site = Site::new("traces");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let collector = Collector::start(&site);
    let keys = [
        ("WATTLINE_TRACES_OTLP_ENDPOINT", collector.endpoint.as_str()),
        ("WATTLINE_TRACES_SAMPLE_RATIO", "0"),
        ("WATTLINE_LOG_LEVEL", "info,wattline_gateway=debug,wattline_worker=debug"),
    ];
    let gateway = site.gateway(&keys);
    let at_ms = ago_ms(HOUR_MS);
    let points =
        [reading("a", at_ms, [1.0, 2.0, 3.0, 4.0]), reading("of nobody", at_ms, [1.0, 2.0, 3.0, 4.0])];
    let request = traced(post_points(COUNTER, &token, &points), true).header("X-Request-Id", "followed");
    assert_eq!(messages(&exchange(gateway.address, &request)), ["", "unknown device"]);
    // One that the caller does not sample, and one that nobody asks for.
    let later = [reading("a", at_ms + 1_000, [1.0, 2.0, 3.0, 4.0])];
    all_ok(&exchange(gateway.address, &traced(post_points(COUNTER, &token, &later), false)), 1);
    all_ok(&exchange(gateway.address, &post_points(COUNTER, &token, &later)), 1);
    // One that is refused.
    let refused = exchange(gateway.address, &traced(post(COUNTER, &token).body("no JSON"), true));
    assert_eq!(refused.status, 400);

    let worker = site.worker(&keys);
    site.wait_until_stored();
    let server = collector.span("the span of the request", |span| {
        span.kind() == SpanKind::Server && span.attribute("http.response.status_code") == "200"
    });
    check_server(&server);
    let send = collector.span("the span of sending", |span| span.kind() == SpanKind::Producer);
    assert_eq!((send.trace_id().as_str(), send.parent_id()), (TRACE, server.id()));
    assert_eq!(send.name(), format!("send {}", site.topic("counters")));
    assert_eq!(send.attribute("messaging.destination.name"), site.topic("counters"));
    let batch = collector.span("the span of the batch", |span| span.kind() == SpanKind::Consumer);
    check_batch(&site, &batch, &send);
    check_below(&collector, &batch);

    let from = |service: &str, kind| {
        let spans = collector.spans();
        spans.iter().filter(|span| span.service == service && span.kind() == kind).count()
    };
    assert_eq!(from("wattline-gateway", SpanKind::Server), 2, "nothing else is sampled");
    assert_eq!(from("wattline-gateway", SpanKind::Producer), 1);
    let mut seen = headers(&site, "counters", 3);
    seen.sort();
    let header = format!("traceparent:00-{TRACE}-{}-01", send.id());
    assert_eq!(seen, ["NO_HEADERS", "NO_HEADERS", header.as_str()]);

    check_logs(&lines(&gateway.process), &lines(&worker.process), &batch);
    assert!(worker.ops.metric("wattline_traces_spans_total", &["exported"]) > 0.0);
}

fn check_server(span: &Span) {
    assert_eq!(
        (span.service.as_str(), span.name()),
        ("wattline-gateway", format!("POST {COUNTER}").as_str())
    );
    assert_eq!((span.trace_id().as_str(), span.parent_id().as_str()), (TRACE, CALLER));
    assert!(!span.is_error());
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.route", COUNTER),
        ("url.path", COUNTER),
        ("url.scheme", "http"),
        ("wattline.client_id", "demo"),
        ("wattline.request_id", "followed"),
        ("wattline.points.accepted", "1"),
        ("wattline.points.rejected", "1"),
        ("wattline.points.unconfirmed", "0"),
    ] {
        assert_eq!(span.attribute(key), value, "{key}");
    }
}

fn check_batch(site: &Site, batch: &Span, send: &Span) {
    let topic = site.topic("counters");
    assert_eq!(
        (batch.service.as_str(), batch.name()),
        ("wattline-worker", format!("process {topic}").as_str())
    );
    assert_eq!(batch.links(), [(TRACE.to_owned(), send.id())]);
    assert_eq!(batch.parent_id(), "", "it is of several requests");
    assert_ne!(batch.trace_id(), TRACE);
    for (key, value) in [
        ("messaging.system", "kafka"),
        ("messaging.operation.type", "process"),
        ("messaging.destination.name", topic.as_str()),
        ("messaging.consumer.group.name", site.database()),
        ("wattline.offset.first", "0"),
    ] {
        assert_eq!(batch.attribute(key), value, "{key}");
    }
}

/// What a batch does has spans below its own; its files are finished later, and link to it.
fn check_below(collector: &Collector, batch: &Span) {
    let files = collector.span("the span of the files", |span| span.name() == "finish Parquet files");
    assert!(files.links().contains(&(batch.trace_id(), batch.id())), "{files:#?}");
    collector.span("a commit of the files", |span| span.parent_id() == files.id());
    for name in ["SELECT readings", "INSERT readings", "append to Parquet"] {
        let span = collector.span(name, |span| span.name() == name);
        assert_eq!((span.trace_id(), span.parent_id()), (batch.trace_id(), batch.id()), "{name}");
    }
    let commit =
        collector.span("a commit of the batch", |span| span.parent_id() == batch.id() && is_commit(span));
    assert_eq!(commit.attribute("messaging.operation.type"), "settle");
}

fn is_commit(span: &Span) -> bool {
    span.name().starts_with("commit ")
}

/// Lines of what is traced name the trace, and those of a batch name its requests, traced or not.
fn check_logs(gateway: &[Value], worker: &[Value], batch: &Span) {
    let refused = gateway.iter().find(|line| line["message"] == "refused").expect("the refusal in the log");
    assert_eq!(refused["span"], json!({ "name": "request", "trace_id": TRACE }), "{refused}");
    let stored: Vec<&Value> = worker.iter().filter(|line| line["message"] == "stored").collect();
    let requests = |line: &Value| line["span"]["requests"].as_str().unwrap_or_default().to_owned();
    let followed = stored.iter().find(|line| requests(line).split(' ').any(|id| id == "followed"));
    let followed = followed.unwrap_or_else(|| panic!("{stored:#?}"));
    assert_eq!(followed["span"]["trace_id"], batch.trace_id(), "{followed}");
    assert!(stored.iter().all(|line| !requests(line).is_empty()), "{stored:#?}");
}

#[test]
fn without_traces_no_record_has_a_header() {
    let site = Site::new("untraced");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let request = traced(post_points(BATTERY, &token, &[interval("a", ago_ms(HOUR_MS))]), true);
    all_ok(&exchange(gateway.address, &request), 1);
    assert_eq!(headers(&site, "intervals", 1), ["NO_HEADERS"]);
}

#[test]
fn a_collector_that_is_away_disturbs_nothing() {
    const REQUESTS: usize = 20;
    let site = Site::new("collector_away");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    // One refuses connections, the other takes them and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let silent_at = silent.local_addr().expect("an address");
    for (address, outcome) in [(gone, "failed"), (silent_at, "queue_full")] {
        let endpoint = format!("http://{address}");
        let mut gateway = site.gateway(&[
            ("WATTLINE_TRACES_OTLP_ENDPOINT", &endpoint),
            ("WATTLINE_TRACES_SAMPLE_RATIO", "1"),
            ("WATTLINE_TRACES_TIMEOUT_MS", "1000"),
            ("WATTLINE_TRACES_QUEUE_SPANS_MAX", "4"),
        ]);
        for minute in 0..REQUESTS as i64 {
            let point = interval("a", ago_ms(HOUR_MS) - minute * 600_000);
            all_ok(&exchange(gateway.address, &post_points(BATTERY, &token, &[point])), 1);
        }
        let lost = |outcome: &str| gateway.ops.metric("wattline_traces_spans_total", &[outcome]);
        until("lost spans are counted", WITHIN, || {
            // A span of the request and one of sending it.
            let all = lost("failed") + lost("queue_full") == 2.0 * REQUESTS as f64;
            (all && lost(outcome) > 0.0).then_some(())
        });
        assert_eq!(lost("exported"), 0.0);
        gateway.process.term();
        assert!(gateway.process.wait(WITHIN).success());
        let told = lines(&gateway.process).iter().filter(|line| line["message"] == "traces are lost").count();
        assert_eq!(told, 1, "{}", gateway.process.log());
    }
    let (mut connection, _) = silent.accept().expect("a connection of the gateway");
    let mut asked = [0; 4];
    connection.read_exact(&mut asked).expect("a request");
    assert_eq!(&asked, b"POST");
}
