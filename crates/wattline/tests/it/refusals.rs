//! Requests that are refused as a whole before their body is read, row by row of the answer table.

use serde_json::Value;

use crate::http::{Answer, Connection, Request, exchange};
use crate::points::{BATTERY, COUNTER, post};
use crate::site::Site;

/// What every answer carries.
#[track_caller]
pub fn check_always(answer: &Answer) {
    let shown = format!("{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{shown}");
}

/// A refusal: its status, its code, the headers that it must have, and every member of its body.
#[track_caller]
pub fn check_problem(answer: &Answer, status: u16, code: &str, headers: &[(&str, &str)]) -> Value {
    check_always(answer);
    let shown = format!("{} {:?} {}", answer.status, answer.headers, answer.text());
    assert_eq!(answer.status, status, "{shown}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
    for (name, value) in headers {
        assert_eq!(answer.header(name), Some(*value), "{name} of {shown}");
    }
    let body = answer.json();
    assert_eq!(body["code"], code, "{shown}");
    assert_eq!(body["status"], status, "{shown}");
    assert_eq!(body["message"], body["detail"], "{shown}");
    assert_eq!(body["request_id"].as_str(), answer.header("x-request-id"), "{shown}");
    for member in ["type", "title", "detail"] {
        assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {shown}");
    }
    body
}

const REALM: &str = r#"Bearer realm="wattline""#;
const INVALID_TOKEN: (&str, &str) = ("www-authenticate", r#"Bearer realm="wattline", error="invalid_token""#);
const INVALID_REQUEST: (&str, &str) =
    ("www-authenticate", r#"Bearer realm="wattline", error="invalid_request""#);
const ALLOW: (&str, &str) = ("allow", "POST");
const ACCEPT: (&str, &str) = ("accept", "application/json");
const ACCEPT_ENCODING: (&str, &str) = ("accept-encoding", "gzip, zstd, identity");
const CLOSE: (&str, &str) = ("connection", "close");

/// A request, and the status, the code and the headers of its answer.
type Case = (Request, u16, &'static str, Vec<(&'static str, &'static str)>);

#[test]
fn the_cheap_checks_come_first_and_each_has_its_answer() {
    let site = Site::new("refusals");
    let token = site.token("demo");
    let bearer = format!("Bearer {token}");
    let gateway = site.gateway(&[]);
    let plain = |method: &str, target: &str| Request::new(method, target);
    let with = |value: &str| plain("POST", BATTERY).header("Authorization", value);
    let good = || with(&bearer);
    let json = |request: Request| request.header("Content-Type", "application/json");
    let mut typo = bearer.clone();
    let last = typo.pop().expect("a character");
    typo.push(if last == 'a' { 'b' } else { 'a' });

    // The later a check, the more of the earlier ones the request passes; what comes after it is wrong too.
    let cases: Vec<Case> = vec![
        (plain("POST", "/v1/telemetry/TOASTER"), 404, "NOT_FOUND", vec![]),
        (plain("GET", "/"), 404, "NOT_FOUND", vec![]),
        (plain("POST", "/v1/telemetry/BATTERY/"), 404, "NOT_FOUND", vec![]),
        (plain("GET", BATTERY), 405, "METHOD_NOT_ALLOWED", vec![ALLOW]),
        (plain("PUT", COUNTER), 405, "METHOD_NOT_ALLOWED", vec![ALLOW]),
        (plain("DELETE", BATTERY), 405, "METHOD_NOT_ALLOWED", vec![ALLOW]),
        (plain("POST", BATTERY), 401, "UNAUTHORIZED", vec![("www-authenticate", REALM)]),
        (plain("POST", COUNTER), 401, "UNAUTHORIZED", vec![("www-authenticate", REALM)]),
        (with("Bearer"), 401, "UNAUTHORIZED", vec![INVALID_TOKEN]),
        (with("Bearer nonsense"), 401, "UNAUTHORIZED", vec![INVALID_TOKEN]),
        (with(&typo), 401, "UNAUTHORIZED", vec![INVALID_TOKEN]),
        (with("Basic dXNlcjpwYXNzd29yZA=="), 401, "UNAUTHORIZED", vec![INVALID_TOKEN]),
        (with(&token), 401, "UNAUTHORIZED", vec![INVALID_TOKEN]),
        (good().header("Authorization", &bearer), 400, "INVALID_REQUEST", vec![INVALID_REQUEST]),
        (
            plain("POST", &format!("{BATTERY}?access_token={token}")).header("Authorization", &bearer),
            400,
            "INVALID_REQUEST",
            vec![INVALID_REQUEST],
        ),
        (
            plain("POST", &format!("{BATTERY}?a=b&access_token={token}")),
            400,
            "INVALID_REQUEST",
            vec![INVALID_REQUEST],
        ),
        (good(), 415, "UNSUPPORTED_MEDIA_TYPE", vec![ACCEPT]),
        (good().header("Content-Type", "text/plain"), 415, "UNSUPPORTED_MEDIA_TYPE", vec![ACCEPT]),
        (good().header("Content-Type", "application/jsonl"), 415, "UNSUPPORTED_MEDIA_TYPE", vec![ACCEPT]),
        (
            json(good()).header("Content-Encoding", "br"),
            415,
            "UNSUPPORTED_CONTENT_ENCODING",
            vec![ACCEPT_ENCODING],
        ),
        (
            json(good()).header("Content-Encoding", "gzip, gzip"),
            415,
            "UNSUPPORTED_CONTENT_ENCODING",
            vec![ACCEPT_ENCODING],
        ),
    ];
    for (request, status, code, headers) in cases {
        // A body that is far too large is not waited for, nor asked for.
        let too_large =
            request.clone().header("Content-Length", "99999999999").header("Expect", "100-continue");
        let answer = exchange(gateway.address, &too_large);
        check_problem(&answer, status, code, &headers);
        assert!(!answer.text().contains(&token), "{}", answer.text());

        // With a body that is read to its end the connection lives on.
        let mut connection = Connection::open(gateway.address).unwrap();
        let answer = connection.exchange(&request.body("{}"));
        check_problem(&answer, status, code, &headers);
        let after = connection.exchange(&json(good()).body(r#"{"telemetry":[]}"#));
        assert_eq!((after.status, after.text().as_str()), (200, "[]"));
    }
    // A length over the limit is the last of the cheap checks.
    let answer = exchange(gateway.address, &json(good()).header("Content-Length", "10485761"));
    check_problem(&answer, 413, "PAYLOAD_TOO_LARGE", &[CLOSE]);

    // What the table allows in other letters.
    for content_type in ["application/json; charset=utf-8", "Application/JSON"] {
        let request = plain("POST", BATTERY)
            .header("authorization", &format!("bearer {token}"))
            .header("content-type", content_type)
            .header("content-encoding", "Identity");
        let answer = exchange(gateway.address, &request.body(r#"{"telemetry":[]}"#));
        check_always(&answer);
        assert_eq!((answer.status, answer.text().as_str()), (200, "[]"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[test]
fn a_request_keeps_its_own_id_where_it_has_a_usable_one() {
    let site = Site::new("request_id");
    let token = site.token("demo");
    let gateway = site.gateway(&[]);
    let with = |id: &str| post(BATTERY, &token).header("X-Request-Id", id).body("{}");
    let answer = exchange(gateway.address, &with("cloud-1.2_3"));
    assert_eq!(check_problem(&answer, 422, "VALIDATION_ERROR", &[])["request_id"], "cloud-1.2_3");
    let mut ours = Vec::new();
    for unusable in ["", "a b", "\"quoted\"", &"x".repeat(65)] {
        let answer = exchange(gateway.address, &with(unusable));
        let id = check_problem(&answer, 422, "VALIDATION_ERROR", &[])["request_id"].to_string();
        assert!(id.len() > 8 && id != format!("\"{unusable}\""), "{id}");
        ours.push(id);
    }
    ours.sort();
    ours.dedup();
    assert_eq!(ours.len(), 4, "ours differ: {ours:?}");
}
