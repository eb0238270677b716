//! Bodies and requests that are wrong, too large or wrongly packed.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::http::{Connection, Request, exchange};
use crate::points::{BATTERY, COUNTER, ago_ms, all_ok, interval, messages, post, post_points};
use crate::refusals::{check_always, check_problem};
use crate::site::Site;
use crate::stored::Table;

const CLOSE: (&str, &str) = ("connection", "close");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 19).unwrap()
}

#[test]
fn a_body_that_is_not_as_it_should_be_is_refused_and_says_where() {
    let site = Site::new("bodies");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let good = interval("a", ago_ms(600_000));
    let nested = |depth: usize| {
        let mut point = good.to_string();
        point.truncate(point.len() - 1);
        // The value stands in a point, in the array, in the wrapper.
        format!(r#"{{"telemetry":[{point},"x":{}{}}}]}}"#, "[".repeat(depth - 3), "]".repeat(depth - 3))
    };

    let mut connection = Connection::open(gateway.address).unwrap();
    let mut ask = |path: &str, body: Vec<u8>| connection.exchange(&post(path, &token).body(body));
    let deep = nested(33);
    let deep_at = deep.rfind("[[]").unwrap() + 1;
    let malformed: Vec<(Vec<u8>, usize)> = vec![
        (b"".to_vec(), 0),
        (b"{".to_vec(), 1),
        (br#"{"telemetry":[}"#.to_vec(), 14),
        (br#"{"telemetry":[]} x"#.to_vec(), 17),
        (br#"{"telemetry":[],}"#.to_vec(), 16),
        (br#"{"telemetry":[{"device_id":NaN}]}"#.to_vec(), 27),
        (b"\xef\xbb\xbf{\"telemetry\":[]}".to_vec(), 0),
        (b"{\"telemetry\":[{\"device_id\":\"\xff\"}]}".to_vec(), 28),
        (br#"{"telemetry":[{"device_id":"\ud800"}]}"#.to_vec(), 28),
        (deep.into_bytes(), deep_at),
    ];
    for (body, offset) in malformed {
        for path in [BATTERY, COUNTER] {
            let problem = check_problem(&ask(path, body.clone()), 400, "MALFORMED_JSON", &[]);
            assert_eq!(problem["offset"], offset, "{} {problem}", String::from_utf8_lossy(&body));
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains(&format!("at byte {offset}")), "{detail}");
        }
    }
    let invalid: Vec<(Value, &str)> = vec![
        (json!({}), "telemetry"),
        (json!({ "Telemetry": [] }), "telemetry"),
        (json!({ "telemetry": null }), "telemetry"),
        (json!({ "telemetry": { "0": good } }), "telemetry"),
        (json!({ "telemetry": vec![&good; 1_001] }), "telemetry"),
        (json!([good]), "$"),
    ];
    for (body, path) in invalid {
        let problem =
            check_problem(&ask(BATTERY, body.to_string().into_bytes()), 422, "VALIDATION_ERROR", &[]);
        let [error] = problem["errors"].as_array().unwrap().as_slice() else { panic!("{problem}") };
        assert_eq!(error["path"], path, "{problem}");
        assert!(error["message"].as_str().is_some_and(|text| text.contains(path)), "{problem}");
    }

    // No points is nothing wrong, nor is it that all are; a point may be no object at all, and as deep as is
    // allowed.
    let answer = ask(BATTERY, br#" {"telemetry" : [ ] , "more": 1} "#.to_vec());
    check_always(&answer);
    assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
    let answer = ask(BATTERY, json!({ "telemetry": [1, "x", null, [], {}] }).to_string().into_bytes());
    let object = "point must be an object";
    assert_eq!(messages(&answer), [object, object, object, object, "device_id is required"]);
    all_ok(&ask(BATTERY, nested(32).into_bytes()), 1);

    // Of what was refused nothing was stored.
    let _worker = site.worker(&[]);
    site.wait_until_stored();
    assert_eq!(site.rows(Table::Intervals, &["start_time"]).len(), 1);
    assert_eq!(site.rows(Table::Readings, &["timestamp"]).len(), 0);
}

#[test]
fn bodies_may_be_compressed_within_the_same_limit() {
    const BODY_BYTES_MAX: usize = 300_000;
    const DECOMPRESSED_BYTES_MAX: usize = 500_000;
    let site = Site::new("compressed");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[
        ("WATTLINE_GATEWAY_BODY_BYTES_MAX", &BODY_BYTES_MAX.to_string()),
        ("WATTLINE_GATEWAY_BODY_DECOMPRESSED_BYTES_MAX", &DECOMPRESSED_BYTES_MAX.to_string()),
    ]);
    let send = |encoding: &str, body: Vec<u8>| {
        exchange(gateway.address, &post(BATTERY, &token).header("Content-Encoding", encoding).body(body))
    };
    let padded = |length: usize| {
        let mut body = json!({ "telemetry": [interval("a", ago_ms(600_000))] }).to_string().into_bytes();
        body.resize(length, b' ');
        body
    };
    type Pack = fn(&[u8]) -> Vec<u8>;
    for (encoding, pack) in [("gzip", gzip as Pack), ("GZIP", gzip), ("zstd", zstd)] {
        all_ok(&send(encoding, pack(&padded(DECOMPRESSED_BYTES_MAX))), 1);
        let bomb = pack(&padded(DECOMPRESSED_BYTES_MAX + 1));
        check_problem(&send(encoding, bomb), 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);
        let bomb = pack(&vec![b' '; 200 << 20]);
        assert!(bomb.len() < BODY_BYTES_MAX, "it is compressed to {} bytes", bomb.len());
        check_problem(&send(encoding, bomb), 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);

        let packed = pack(&padded(1_000));
        let cut = packed[..packed.len() - 5].to_vec();
        check_problem(&send(encoding, cut), 400, "MALFORMED_ENCODING", &[]);
        check_problem(&send(encoding, padded(1_000)), 400, "MALFORMED_ENCODING", &[]);
        check_problem(&send(encoding, Vec::new()), 400, "MALFORMED_ENCODING", &[]);
    }
    // Members one after the other are one body, as RFC 1952 has it.
    let (first, second) = (padded(1_000), vec![b'\n'; 10]);
    all_ok(&send("gzip", [gzip(&first), gzip(&second)].concat()), 1);
}

#[test]
fn a_body_over_the_limit_gets_its_answer_before_and_while_it_is_read() {
    const LIMIT: usize = 10 << 20;
    let site = Site::new("too_large");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);

    // It says so itself, and sends nothing.
    let mut connection = Connection::open(gateway.address).unwrap();
    let announced = post(BATTERY, &token).header("Content-Length", &(LIMIT + 1).to_string());
    connection.write(&announced.head()).unwrap();
    check_problem(&connection.answer(), 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);
    connection.wait_until_closed();

    // It says so itself, and sends all of it before it looks for an answer, as many clients do.
    for _ in 0..5 {
        let mut connection = Connection::open(gateway.address).unwrap();
        connection.send(&post(BATTERY, &token).body(vec![b' '; LIMIT + 1])).expect("nobody resets it");
        check_problem(&connection.answer(), 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);
        connection.wait_until_closed();
    }

    // It does not say so, and has no end.
    let mut connection = Connection::open(gateway.address).unwrap();
    connection.write(&post(BATTERY, &token).header("Transfer-Encoding", "chunked").head()).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 2 * LIMIT {
        connection.write(&chunk).expect("nobody resets it");
        sent += chunk.len();
    }
    check_problem(&connection.answer(), 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);

    // As large as is allowed, in chunks, it is read.
    let mut body = json!({ "telemetry": [interval("a", ago_ms(600_000))] }).to_string().into_bytes();
    body.resize(LIMIT, b' ');
    let mut connection = Connection::open(gateway.address).unwrap();
    connection.write(&post(BATTERY, &token).header("Transfer-Encoding", "chunked").head()).unwrap();
    for part in body.chunks(100_000) {
        connection.write(format!("{:x}\r\n", part.len()).as_bytes()).unwrap();
        connection.write(part).unwrap();
        connection.write(b"\r\n").unwrap();
    }
    connection.write(b"0\r\n\r\n").unwrap();
    all_ok(&connection.answer(), 1);
}

#[test]
fn what_is_not_http_is_refused_and_the_connection_closed() {
    let site = Site::new("not_http");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let good = post_points(BATTERY, &token, &[interval("a", ago_ms(600_000))]);
    let head = |request: &Request| String::from_utf8(request.head()).unwrap();
    let chunked = head(&post(BATTERY, &token).header("Transfer-Encoding", "chunked"));

    let large = "x".repeat(20_000);
    let many = "X-More: 1\r\n".repeat(200);
    let cases = [
        (head(&good.clone().header("X-Large", &large)), 431, "HEADERS_TOO_LARGE"),
        (head(&good).replacen("\r\n", &format!("\r\n{many}"), 1), 431, "HEADERS_TOO_LARGE"),
        (format!("POST {BATTERY} HTTP/9.9\r\n\r\n"), 400, "MALFORMED_REQUEST"),
        ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "MALFORMED_REQUEST"),
        (
            head(&post(BATTERY, &token).header("Content-Length", "1").header("Content-Length", "2")),
            400,
            "MALFORMED_REQUEST",
        ),
    ];
    for (bytes, status, code) in cases {
        let mut connection = Connection::open(gateway.address).unwrap();
        connection.write(bytes.as_bytes()).unwrap();
        check_problem(&connection.answer(), status, code, &[CLOSE]);
        connection.wait_until_closed();
    }

    // A length beside chunks is how requests are smuggled: at most one request may be seen in it, and nothing may
    // follow on the connection.
    let both =
        head(&post(BATTERY, &token).header("Content-Length", "4").header("Transfer-Encoding", "chunked"));
    let mut connection = Connection::open(gateway.address).unwrap();
    connection
        .write(format!("{both}0\r\n\r\nPOST {BATTERY} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
        .unwrap();
    let answer = connection.answer();
    check_problem(&answer, 400, answer.json()["code"].as_str().unwrap(), &[CLOSE]);
    connection.wait_until_closed();

    // A body that breaks off is answered as far as there is somebody to answer.
    for broken in ["zz\r\n", "5\r\nhello!!", "ffffffffffffffffff\r\n"] {
        let mut connection = Connection::open(gateway.address).unwrap();
        connection.write(format!("{chunked}{broken}").as_bytes()).unwrap();
        check_problem(&connection.answer(), 400, "INCOMPLETE_BODY", &[CLOSE]);
        connection.wait_until_closed();
    }
    all_ok(&exchange(gateway.address, &good), 1);
}
