//! Too slow, too much, too often, and a gateway that cannot or will not take more.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Answer, Connection, exchange, try_exchange};
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, messages, post, post_points};
use crate::process::until;
use crate::proxy::Proxy;
use crate::refusals::check_problem;
use crate::site::Site;
use crate::stored::{Table, value};

const CLOSE: (&str, &str) = ("connection", "close");
const SOON: Duration = Duration::from_secs(10);

/// A 503 tells when to come back.
#[track_caller]
fn check_unavailable(answer: &Answer) -> String {
    let problem = check_problem(answer, 503, "UNAVAILABLE", &[]);
    let seconds: u32 = answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    problem["detail"].as_str().expect("a text").to_owned()
}

#[test]
fn slow_bodies_are_answered_and_slow_headers_closed() {
    let site = Site::new("slow");
    let token = site.token("demo");
    let gateway = site.gateway(&[
        ("WATTLINE_GATEWAY_BODY_TIMEOUT_MS", "400"),
        ("WATTLINE_GATEWAY_HEADER_TIMEOUT_MS", "400"),
    ]);
    let body = post(BATTERY, &token);
    for head in [
        body.clone().header("Content-Length", "100").head(),
        body.clone().header("Transfer-Encoding", "chunked").head(),
    ] {
        // A byte now and then makes it no faster.
        let mut connection = Connection::open(gateway.address).unwrap();
        connection.write(&head).unwrap();
        for piece in [b"5\r\n{    \r\n", b"5\r\n     \r\n"] {
            connection.write(piece).unwrap();
        }
        check_problem(&connection.answer(), 408, "REQUEST_TIMEOUT", &[CLOSE]);
        connection.wait_until_closed();
    }
    for begun in ["", "POST /v1", "POST /v1/telemetry/BATTERY HTTP/1.1\r\nHost: x\r\n"] {
        let began = Instant::now();
        let mut connection = Connection::open(gateway.address).unwrap();
        connection.write(begun.as_bytes()).unwrap();
        connection.wait_until_closed();
        assert!(began.elapsed() < SOON, "{begun:?} was left open for {:?}", began.elapsed());
    }
}

#[test]
fn a_client_that_says_that_no_more_comes_has_its_answer() {
    let site = Site::new("half");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    connection.send(&post_points(BATTERY, &token, &[interval("a", ago_ms(600_000))])).unwrap();
    connection.stream().shutdown(Shutdown::Write).unwrap();
    let answer = connection.answer();
    all_ok(&answer, 1);
    connection.wait_until_closed();
}

#[test]
fn bodies_over_the_memory_budget_are_refused_at_once() {
    let site = Site::new("budget");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[
        ("WATTLINE_GATEWAY_BODY_BYTES_MAX", "100000"),
        ("WATTLINE_GATEWAY_BODY_DECOMPRESSED_BYTES_MAX", "100000"),
        ("WATTLINE_GATEWAY_IN_FLIGHT_BYTES_MAX", "200000"),
    ]);
    let good = post_points(BATTERY, &token, &[interval("a", ago_ms(MINUTE_MS * 10))]);
    let large = post(BATTERY, &token).header("Content-Length", "99000");
    let mut waiting: Vec<Connection> = (0..2)
        .map(|_| {
            let mut connection = Connection::open(gateway.address).unwrap();
            connection.write(&large.head()).unwrap();
            connection
        })
        .collect();
    let in_flight = || gateway.ops.metric("wattline_gateway_in_flight_bytes", &[]);
    // A third one before they are there would take the place of one of them.
    until("both in the budget", SOON, || (in_flight() == 2.0 * 99_000.0).then_some(()));
    let third = good.clone().header("X-Pad", "1").body(vec![b' '; 5_000]);
    check_unavailable(&exchange(gateway.address, &third));

    // What goes away leaves its place, finished or not.
    drop(waiting.pop());
    let answer = until("a place in the budget", SOON, || {
        let answer = exchange(gateway.address, &good);
        (answer.status == 200).then_some(answer)
    });
    all_ok(&answer, 1);
    let mut last = waiting.pop().expect("one is left");
    last.write(&[b' '; 99_000]).unwrap();
    check_problem(&last.answer(), 400, "MALFORMED_JSON", &[]);
    until("an empty budget", SOON, || (in_flight() == 0.0).then_some(()));
}

#[test]
fn a_client_over_its_rate_waits_and_others_do_not() {
    let site = Site::new("rate");
    let (ours, theirs) = (site.token("demo"), site.token("other"));
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_RATE_POINTS_PER_S", "100")]);
    let points: Vec<Value> = (0..1_000).map(|at| interval("a", ago_ms((at + 2) * MINUTE_MS))).collect();
    all_ok(&exchange(gateway.address, &post_points(BATTERY, &ours, &points)), 1_000);
    for path in [BATTERY, COUNTER] {
        let refused = exchange(gateway.address, &post_points(path, &ours, &points));
        check_problem(&refused, 429, "RATE_LIMITED", &[]);
        let seconds: u32 = refused.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!((9..=10).contains(&seconds), "1,000 points at 100 a second, and {seconds} s to wait");
    }
    assert_eq!(
        messages(&exchange(gateway.address, &post_points(BATTERY, &theirs, &points)))[0],
        "unknown device"
    );
    // A few points are there soon.
    until("the rate lets 50 points through", SOON, || {
        let answer = exchange(gateway.address, &post_points(BATTERY, &ours, &points[..50]));
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_gateway_that_drains_ends_what_it_began_and_refuses_the_rest() {
    let site = Site::new("drain");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let mut gateway = site.gateway(&[]);
    let good = post_points(BATTERY, &token, &[interval("a", ago_ms(MINUTE_MS * 10))]);
    let body = json!({ "telemetry": [interval("a", ago_ms(MINUTE_MS * 20))] }).to_string();

    let mut under_way = Connection::open(gateway.address).unwrap();
    under_way.write(&post(BATTERY, &token).body(body.as_str()).head()).unwrap();
    let mut idle = Connection::open(gateway.address).unwrap();
    all_ok(&idle.exchange(&good), 1);
    // The first byte of the body is taken when the request is under way.
    until("the request is under way", SOON, || {
        (gateway.ops.metric("wattline_gateway_in_flight_requests", &[]) == 1.0).then_some(())
    });
    gateway.process.term();
    idle.wait_until_closed();
    until("the gateway is not ready", SOON, || {
        gateway.ops.get("/readyz").filter(|(status, text)| *status == 503 && text.contains("draining"))
    });

    // The listener is closed last: for as long as a request is under way, others get an answer.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_000) {
        let refused = try_exchange(gateway.address, &good).expect("an answer while the gateway drains");
        check_problem(&refused, 503, "UNAVAILABLE", &[CLOSE]);
        assert!(check_unavailable(&refused).contains("stopping"));
    }
    assert!(gateway.process.ended().is_none(), "it waits for the request");
    under_way.write(body.as_bytes()).unwrap();
    let answer = under_way.answer();
    all_ok(&answer, 1);
    under_way.wait_until_closed();
    assert!(gateway.process.wait(SOON).success());
    assert!(try_exchange(gateway.address, &good).is_err());

    let _worker = site.worker(&[]);
    site.wait_until_stored();
    assert_eq!(site.rows(Table::Intervals, &["start_time"]).len(), 2);
}

#[test]
fn with_kafka_away_nothing_is_ok_and_with_kafka_back_everything_is() {
    let site = Site::new("kafka_away");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let proxy = Proxy::new(&site.kafka().brokers);
    let gateway = site.gateway(&[
        ("WATTLINE_KAFKA_BROKERS", &proxy.address.to_string()),
        ("WATTLINE_GATEWAY_DELIVERY_TIMEOUT_MS", "1500"),
        ("WATTLINE_GATEWAY_STALL_MAX_MS", "1000"),
    ]);
    let request = |minutes: i64| post_points(BATTERY, &token, &[interval("a", ago_ms(minutes * MINUTE_MS))]);
    let mut connection = Connection::open(gateway.address).unwrap();
    all_ok(&connection.exchange(&request(10)), 1);

    proxy.cut();
    let refused = connection.exchange(&request(20));
    assert_eq!(check_unavailable(&refused), "no point could be confirmed; resend unchanged");
    until("the gateway is not ready", SOON, || {
        gateway.ops.get("/readyz").filter(|(status, _)| *status == 503)
    });
    // What cannot be stored anyway has its answer all the same: it needs no Kafka.
    let bad = post_points(BATTERY, &token, &[json!({})]);
    let answer = until("an answer without Kafka", SOON, || {
        let answer = connection.exchange(&bad);
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(messages(&answer), ["device_id is required"]);

    proxy.mend();
    gateway.ops.wait_until_ready();
    let answer = until("an OK after Kafka is back", SOON, || {
        let answer = connection.exchange(&request(20));
        (answer.status == 200).then_some(answer)
    });
    all_ok(&answer, 1);
    all_ok(&connection.exchange(&request(30)), 1);

    // The points that were not confirmed were resent, and are there once.
    let _worker = site.worker(&[]);
    site.wait_until_stored();
    assert_eq!(site.rows(Table::Intervals, &["start_time"]).len(), 3);
}

#[test]
fn points_of_a_record_that_kafka_does_not_take_are_not_confirmed_and_the_others_are() {
    let site = Site::new("unconfirmed");
    let token = site.token("demo");
    let small = ["s1", "s2", "s3", "s4", "s5", "s6"];
    site.import("demo", &small);
    site.import("demo", &["large"]);
    // The gateway is told that records may be larger than the client of Kafka takes.
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_RECORD_BYTES_MAX", "5000000")]);
    let mut points: Vec<Value> = (0..300)
        .map(|at| {
            let mut point = interval("large", ago_ms((at + 2) * MINUTE_MS));
            point["oem_raw_data"] = json!({ "x": "y".repeat(7_000) });
            point
        })
        .collect();
    points.extend(small.map(|device| interval(device, ago_ms(10 * MINUTE_MS))));
    let partition = |device: &str| {
        wattline_wire::partition_of(wattline_wire::device_hash("demo", device), Site::PARTITIONS)
    };
    let expected: Vec<&str> = points
        .iter()
        .map(|point| {
            let device = point["device_id"].as_str().unwrap();
            if partition(device) == partition("large") { "not confirmed; resend unchanged" } else { "" }
        })
        .collect();
    assert!(expected.contains(&""), "the small devices are in other partitions too");
    let answer = exchange(gateway.address, &post_points(BATTERY, &token, &points));
    assert_eq!(messages(&answer), expected);

    let _worker = site.worker(&[]);
    site.wait_until_stored();
    let rows = site.rows(Table::Intervals, &["device_id"]);
    assert!(rows.iter().all(|row| value(row, "device_id") != "large"));
    assert_eq!(rows.len(), expected.iter().filter(|message| message.is_empty()).count());
}

#[test]
fn connections_over_the_bound_wait_for_their_turn() {
    let site = Site::new("connections");
    let token = site.token("demo");
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_CONNECTIONS_MAX", "2")]);
    let empty = post(BATTERY, &token).body(r#"{"telemetry":[]}"#);
    let mut held: Vec<Connection> = (0..2).map(|_| Connection::open(gateway.address).unwrap()).collect();
    for connection in &mut held {
        assert_eq!(connection.exchange(&empty).status, 200);
    }
    // The third is connected by the operating system, and served when there is a place.
    let mut third = Connection::open(gateway.address).unwrap();
    third.send(&empty).unwrap();
    assert_eq!(held[0].exchange(&empty).status, 200);
    assert_eq!(gateway.ops.metric("wattline_gateway_connections", &[]), 2.0);
    held.pop();
    assert_eq!(third.answer().status, 200);
}

#[test]
fn a_gateway_watches_itself_however_often_connections_come() {
    let site = Site::new("watching");
    let gateway = site.gateway(&[]);
    site.import("demo", &["a"]);
    // Every 20 ms, and a look each second: what the look finds is seen all the same.
    until("the new device in the gauge", SOON, || {
        drop(Connection::open(gateway.address));
        (gateway.ops.metric("wattline_directory_devices", &[]) == 1.0).then_some(())
    });
}
