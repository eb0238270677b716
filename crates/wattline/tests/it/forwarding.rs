//! Requests that a service beside the gateway answers.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::http::{Connection, Request, exchange};
use crate::refusals::{check_always, check_problem};
use crate::site::{Gateway, Site};

const WITHIN: Duration = Duration::from_secs(20);

/// A service that reads one request after another, shows them to the test, and says what the test wants. Its
/// threads end with the process.
struct Service {
    address: SocketAddr,
    requests: mpsc::Receiver<String>,
}

impl Service {
    /// `answer` is called with each connection once a request's head is read, and what came with it.
    fn start(answer: impl Fn(&mut TcpStream, &str) + Send + Sync + Clone + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (seen, requests) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), seen.clone());
                thread::spawn(move || {
                    while let Some(request) = read_request(&mut stream) {
                        answer(&mut stream, &request);
                        if seen.send(request).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Service { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/base", self.address)
    }

    fn seen(&self) -> String {
        self.requests.recv_timeout(WITHIN).expect("a request at the service")
    }
}

/// A head, and all of the body that it declares: a service that answers before the body is over is passed on
/// as it answers, whatever comes after.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        request.push(byte[0]);
    }
    let head = String::from_utf8(request.clone()).ok()?.to_lowercase();
    let declared = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; declared.map_or(0, |length| length.parse().expect("a length"))];
    stream.read_exact(&mut body).ok()?;
    request.extend(body);
    if head.contains("transfer-encoding: chunked") {
        while !request.ends_with(b"0\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            request.push(byte[0]);
        }
    }
    String::from_utf8(request).ok()
}

fn say(stream: &mut TcpStream, text: &str) {
    // The gateway may have closed the connection, which the test then sees.
    let _ = stream.write_all(text.as_bytes());
}

const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]";

/// A gateway with one site, `s/1`, and the token that opens it.
fn gateway(site: &Site, client_token: &str, keys: &[(&str, &str)]) -> (Gateway, String) {
    let gateway = site.gateway(keys);
    let by_client = |target: &str| {
        Request::new("POST", target)
            .header("Authorization", &format!("Bearer {client_token}"))
            .header("Content-Type", "application/json")
    };
    let body = json!({ "site": { "id": "s/1" }, "devices": [] });
    let answer = exchange(gateway.address, &by_client("/v1/commission").json(&body));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let minted = exchange(gateway.address, &by_client("/v1/auth/site/s%2F1")).json();
    let token = minted["site_access_token"].as_str().expect("a token").to_owned();
    (gateway, token)
}

fn events(token: &str) -> Request {
    Request::new("GET", "/v1/site/s%2f1/events").header("Authorization", &format!("Bearer {token}"))
}

#[test]
fn a_service_is_told_who_calls_and_nothing_that_is_not_its_business() {
    let site = Site::new("forwarding");
    let client_token = site.token("oem");
    let service = Service::start(|stream, _| {
        say(
            stream,
            "HTTP/1.1 422 Unprocessable Content\r\nConnection: X-Private\r\nX-Private: 1\r\nX-Kept: 2\r\n\
             Cache-Control: public\r\nX-Request-Id: theirs\r\nContent-Length: 11\r\n\r\n{\"a\":false}",
        );
    });
    let keys = [("WATTLINE_UPSTREAMS_EVENTS", service.url())];
    let keys: Vec<_> = keys.iter().map(|(key, url)| (*key, url.as_str())).collect();
    let (gateway, token) = gateway(&site, &client_token, &keys);

    let request = Request::new("PATCH", "/v1/site/s%2f%31/event/e%20%c3%a91?skip=1&q=%2f")
        .header("authorization", &format!("Bearer {token}"))
        .header("Content-Type", "application/json")
        .header("X-Request-Id", "cloud-1")
        .header("X-Wattline-Client", "somebody")
        .header("X-Wattline-Site", "elsewhere")
        .header("X-Wattline-Admin", "yes")
        .header("Connection", "keep-alive, X-Hop")
        .header("X-Hop", "1")
        .header("TE", "trailers")
        .header("X-Own", "2")
        .body("{\"b\":1}");
    let mut connection = Connection::open(gateway.address).expect("a connection");
    let answer = connection.exchange(&request);
    check_always(&answer);
    assert_eq!((answer.status, answer.text().as_str()), (422, "{\"a\":false}"));
    assert_eq!(answer.header("x-kept"), Some("2"));
    assert_eq!((answer.header("x-private"), answer.header("via")), (None, Some("1.1 wattline")));
    assert_eq!(
        (answer.header("x-request-id"), answer.header("cache-control")),
        (Some("cloud-1"), Some("no-store"))
    );

    let seen = service.seen();
    let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "PATCH /base/v1/site/s%2F1/event/e%20%C3%A91?skip=1&q=%2f HTTP/1.1");
    lines.sort();
    let host = format!("host: {}", service.address);
    assert_eq!(
        lines,
        [
            "content-length: 7",
            "content-type: application/json",
            host.as_str(),
            "via: 1.1 wattline",
            "x-own: 2",
            "x-request-id: cloud-1",
            "x-wattline-client: oem",
            "x-wattline-site: s%2F1",
        ]
    );
    assert_eq!(body, "{\"b\":1}");

    // The connection lives on, here and there.
    let answer = connection.exchange(&events(&token));
    assert_eq!(answer.status, 422);
    assert!(service.seen().starts_with("GET /base/v1/site/s%2F1/events HTTP/1.1\r\n"));
    assert_eq!(gateway.ops.metric("wattline_gateway_forwarded_total", &["events", "4xx"]), 2.0);
    // A client's own endpoint names no site.
    check_problem(&exchange(gateway.address, &events(&client_token)), 403, "FORBIDDEN", &[]);
}

#[test]
fn bodies_pass_through_as_they_come() {
    let site = Site::new("streaming");
    let client_token = site.token("oem");
    let (go_on, wait) = mpsc::channel::<()>();
    let wait = std::sync::Arc::new(std::sync::Mutex::new(wait));
    let service = Service::start(move |stream, _| {
        say(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        let heard = wait.lock().expect("no panic").recv_timeout(WITHIN);
        heard.expect("the first part was seen before the second was sent");
        say(stream, "6\r\nsecond\r\n0\r\n\r\n");
    });
    let url = service.url();
    let (gateway, token) = gateway(&site, &client_token, &[("WATTLINE_UPSTREAMS_EVENTS", &url)]);
    let mut connection = Connection::open(gateway.address).expect("a connection");
    connection.send(&events(&token)).expect("sent");
    connection.read_until("first\r\n").expect("the first part");
    go_on.send(()).expect("the service listens");
    connection.read_until("second\r\n0\r\n\r\n").expect("the rest");
}

#[test]
fn a_service_that_fails_has_an_answer_each() {
    let site = Site::new("upstreams");
    let client_token = site.token("oem");
    let silent = Service::start(|_, _| thread::sleep(WITHIN));
    let broken = Service::start(|stream, _| say(stream, "SIP/2.0 200 OK\r\n\r\n"));
    let cut = Service::start(|stream, _| {
        say(stream, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    // Bound and closed again: nobody listens there.
    let away = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let urls = [silent.url(), broken.url(), cut.url(), format!("http://{away}")];
    let keys = [
        ("WATTLINE_UPSTREAMS_EVENTS", urls[0].as_str()),
        ("WATTLINE_UPSTREAMS_PROGRAMS", urls[1].as_str()),
        ("WATTLINE_UPSTREAMS_ENROLLMENTS", urls[2].as_str()),
        ("WATTLINE_UPSTREAMS_COMMANDS", urls[3].as_str()),
        ("WATTLINE_UPSTREAMS_ANSWER_TIMEOUT_MS", "300"),
    ];
    let (gateway, token) = gateway(&site, &client_token, &keys);
    let get = |target: &str, token: &str| {
        Request::new("GET", target).header("Authorization", &format!("Bearer {token}"))
    };
    let send = |request: &Request| exchange(gateway.address, request);
    check_problem(&send(&events(&token)), 504, "GATEWAY_TIMEOUT", &[]);
    check_problem(&send(&get("/v1/site/s%2F1/programs", &token)), 502, "BAD_GATEWAY", &[]);
    check_problem(&send(&get("/v1/commands", &client_token)), 502, "BAD_GATEWAY", &[]);
    check_problem(&send(&get("/v1/programs", &token)), 403, "FORBIDDEN", &[]);
    let mut connection = Connection::open(gateway.address).expect("a connection");
    connection.send(&get("/v1/site/s%2F1/enrollments", &token)).expect("sent");
    connection.read_until("\r\n\r\nhalf").expect("what there was");
    connection.wait_until_closed();
}

#[test]
fn a_request_that_is_too_large_or_too_slow_is_ended() {
    let site = Site::new("forwarded_bodies");
    let client_token = site.token("oem");
    let service = Service::start(|stream, _| say(stream, PLAIN));
    let url = service.url();
    let keys = [
        ("WATTLINE_UPSTREAMS_SUPPLEMENTS", url.as_str()),
        ("WATTLINE_GATEWAY_BODY_BYTES_MAX", "100000"),
        ("WATTLINE_GATEWAY_BODY_TIMEOUT_MS", "500"),
    ];
    let (gateway, _) = gateway(&site, &client_token, &keys);
    let post =
        || Request::new("POST", "/v1/supplements").header("Authorization", &format!("Bearer {client_token}"));
    let answer = exchange(gateway.address, &post().body(vec![b' '; 100_000]));
    assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
    let close = [("connection", "close")];
    check_problem(
        &exchange(gateway.address, &post().body(vec![b' '; 100_001])),
        413,
        "PAYLOAD_TOO_LARGE",
        &close,
    );
    let chunk = format!("{:x}\r\n{}\r\n", 60_000, " ".repeat(60_000));
    let chunked =
        post().header("Transfer-Encoding", "chunked").body([chunk.as_str(), &chunk, "0\r\n\r\n"].concat());
    check_problem(&exchange(gateway.address, &chunked), 413, "PAYLOAD_TOO_LARGE", &close);
    let slow = post().header("Content-Length", "10").body("half");
    check_problem(&exchange(gateway.address, &slow), 408, "REQUEST_TIMEOUT", &close);
}
