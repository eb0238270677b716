//! Bodies, times, connections, and the end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bench::{Bench, SESSION_TIME};
use crate::browser::{Browser, OWN_PAGE, read};

const CONNECTIONS_MAX: usize = 256;

#[test]
fn bodies_are_small_forms() {
    let bench = Bench::sqlite();
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let key = browser.get("/").form_key();
    let name = "x".repeat(4_096);
    let refused = browser.press("/tokens", &[("form_key", &key), ("name", &name), ("kind", "live")]);
    assert_eq!(refused.status, 413);
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    let json = ("Content-Type", "application/json");
    for (content_type, body, status) in [(json, "{}", 415), (form, "%FF=%", 422), (form, "", 422)] {
        let headers = [&OWN_PAGE[..], &[content_type]].concat();
        let refused = browser.send("POST", "/tokens", &headers, body);
        assert_eq!(refused.status, status, "{body:?}");
    }
    // A body that does not say how long it is.
    let mut stream = TcpStream::connect(portal.address).expect("a connection");
    let head = browser.request("POST", "/tokens", &[&OWN_PAGE[..], &[form]].concat(), "");
    let head = head.replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let chunk = format!("{:x}\r\n{}\r\n", name.len() + 1, format_args!("{name}x"));
    stream.write_all(format!("{head}{chunk}").as_bytes()).expect("sent");
    assert_eq!(read(&mut stream).status, 413);
    assert_eq!(bench.token_count(), 0);
}

#[test]
fn connections_are_bounded_in_number_and_in_time() {
    let bench = Bench::sqlite();
    let portal = bench.portal(SESSION_TIME);
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = TcpStream::connect(portal.address).expect("a connection");
            stream.write_all(b"GET / HTTP/1.1\r\nHost: ").expect("sent");
            stream
        })
        .collect();
    // All places are taken: this one waits until those who never end their headers are sent away.
    let answer = Browser::new(portal.address).get("/sign-in");
    let waited = began.elapsed();
    assert_eq!(answer.status, 200);
    assert!((8..20).contains(&waited.as_secs()), "{waited:?}");
    for stream in &mut slow {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.starts_with(b"HTTP/1.1 2"), "{:?}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn a_request_under_way_is_answered_before_the_end() {
    let bench = Bench::sqlite();
    let portal = bench.portal(SESSION_TIME);
    let address = portal.address;
    let mut browser = bench.signed_in(&portal, "demo");
    let body = format!("form_key={}&name=late&kind=live", browser.get("/").form_key());
    let form = [("Content-Type", "application/x-www-form-urlencoded"), OWN_PAGE[0], OWN_PAGE[1]];
    let request = browser.request("POST", "/tokens", &form, &body);
    let (first, rest) = request.split_at(request.len() - 5);
    let mut under_way = TcpStream::connect(address).expect("a connection");
    under_way.write_all(first.as_bytes()).expect("sent");
    let _idle = TcpStream::connect(address).expect("a connection");
    // Whoever came later was accepted later, so this answer says that those two are accepted.
    assert_eq!(browser.get("/sign-in").status, 200);

    let began = Instant::now();
    let answer = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| bench.stop(portal));
        // No new ones are taken.
        crate::bench::until("the port is closed", Duration::from_secs(5), || {
            TcpStream::connect(address).is_err()
        });
        under_way.write_all(rest.as_bytes()).expect("sent");
        let answer = read(&mut under_way);
        stopping.join().expect("it stops");
        answer
    });
    assert_eq!(answer.status, 201, "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(8), "idle connections are not waited for");
    assert_eq!(bench.token_count(), 1);
}

#[test]
fn without_the_directory_a_page_says_so() {
    let bench = Bench::sqlite();
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    bench.damage();
    let answer = browser.get("/");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("30")));
    assert!(answer.body.contains("cannot reach its database"), "{}", answer.body);
    assert_eq!(browser.get("/assets/portal.css").status, 200);
}
