//! What every answer tells the browser.

use crate::bench::{Bench, SESSION_TIME};
use crate::browser::{Answer, Browser};

const CSP: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; form-action 'self'; \
                   frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

#[track_caller]
fn check(answer: &Answer) {
    for (name, value) in [
        ("content-security-policy", CSP),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("strict-transport-security", "max-age=31536000"),
        ("x-robots-tag", "noindex"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer:?}");
    }
}

#[test]
fn every_answer_has_the_headers_and_every_page_a_sentence() {
    let bench = Bench::sqlite();
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let link = format!("/sign-in/{}", bench.invite("demo").expose());
    let key = browser.get("/").form_key();
    let mut stranger = Browser::new(portal.address);
    let mut answers = vec![
        browser.get("/"),
        browser.get(&link),
        browser.get("/sign-in"),
        browser.press("/tokens", &[("form_key", &key), ("name", "a"), ("kind", "live")]),
        browser.press("/tokens", &[("form_key", "x"), ("name", "a"), ("kind", "live")]),
        browser.press("/tokens", &[]),
        browser.get("/tokens"),
        browser.get("/nowhere"),
        browser.get("/sign-in/x"),
        browser.get("/tokens/0000000000/revoke"),
        stranger.get("/"),
        stranger.get("/sign-in"),
        stranger.press("/sign-out", &[("form_key", "x")]),
        browser.press("/sign-out", &[("form_key", &key)]),
    ];
    for answer in &answers {
        check(answer);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        if answer.status == 303 {
            continue;
        }
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        for part in ["<html lang=\"en\">", "<title>", "<h1", "<main"] {
            assert!(answer.body.contains(part), "{part} in {}", answer.body);
        }
        // Nothing inline, nothing from elsewhere.
        for part in ["style=", "<style", "onclick=", "http:", "https:", "//", "javascript:"] {
            assert!(!answer.body.contains(part), "{part} in {}", answer.body);
        }
        assert_eq!(
            answer.body.matches("<script").count(),
            answer.body.matches("<script src=\"/assets/").count()
        );
    }
    for (path, content_type) in [
        ("/assets/portal.css", "text/css; charset=utf-8"),
        ("/assets/portal.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let answer = stranger.get(path);
        check(&answer);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)));
        answers.push(answer);
    }
    assert!(
        answers.iter().all(|answer| !answer.body.contains(&link[9..])),
        "the link's secret is in no page"
    );
}
