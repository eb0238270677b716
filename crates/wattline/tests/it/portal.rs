//! `wattline portal`: letting somebody in, serving, and keeping secrets out of the logs.

use std::time::Duration;

use crate::http::{Answer, Request, exchange};
use crate::points::{BATTERY, MINUTE_MS, ago_ms, all_ok, interval, post_points};
use crate::process::until;
use crate::site::{Keys, PEPPER, Site};

const PUBLIC_URL: &str = "https://portal.example.com";
const KEYS: Keys<'_> = &[("WATTLINE_PORTAL_PUBLIC_URL", PUBLIC_URL), ("WATTLINE_LOG_LEVEL", "trace")];

/// Runs a command of the portal that has to succeed: what it printed, and its log.
#[track_caller]
fn run(site: &Site, arguments: &[&str]) -> (String, String) {
    let output = site.command(KEYS, arguments).output().expect("the binary starts");
    let log = String::from_utf8(output.stderr).expect("text");
    assert!(output.status.success(), "{arguments:?}: {log}");
    (String::from_utf8(output.stdout).expect("text"), log)
}

fn form(path: &str, cookie: &str, body: &str) -> Request {
    Request::new("POST", path)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Origin", PUBLIC_URL)
        .header("Cookie", cookie)
        .body(body)
}

/// The first cookie that an answer sets.
#[track_caller]
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").unwrap_or_else(|| panic!("no cookie in {answer:?}"));
    set.split_once(';').expect("attributes").0.to_owned()
}

#[track_caller]
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}")).1;
    rest.split_once(end).expect("an end").0
}

#[test]
fn a_client_that_is_let_in_makes_a_token_that_opens_the_api() {
    let site = Site::new("portal");
    site.import("demo", &["bat"]);
    let gateway = site.gateway(&[]);
    let mut portal = site.portal(KEYS);
    portal.ops.wait_until_ready();

    let (printed, invite_log) = run(&site, &["portal", "invite", "demo"]);
    let link = printed.strip_suffix('\n').expect("one line");
    let path = link.strip_prefix(PUBLIC_URL).expect("the public URL");
    let secret = path.strip_prefix("/sign-in/").expect("a link");
    assert!(secret.len() == 54 && !printed.trim().contains('\n'), "{printed}");

    let opened = exchange(portal.address, &Request::new("GET", path));
    let signed_in = exchange(portal.address, &form("/sign-in", &cookie(&opened), ""));
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")), "{signed_in:?}");
    let session = cookie(&signed_in);
    let list = exchange(portal.address, &Request::new("GET", "/").header("Cookie", &session)).text();
    let key = between(&list, r#"name="form_key" value=""#, "\"");
    let body = format!("form_key={key}&name=the+cloud&kind=live");
    let created = exchange(portal.address, &form("/tokens", &session, &body));
    assert_eq!(created.status, 201, "{}", created.text());
    let page = created.text();
    let token = between(between(&page, "<textarea id=\"token\"", "/textarea>"), ">", "<");

    let points = [interval("bat", ago_ms(5 * MINUTE_MS))];
    let request = post_points(BATTERY, token, &points);
    let answer = until("the gateway knows the token", Duration::from_secs(5), || {
        let answer = exchange(gateway.address, &request);
        (answer.status == 200).then_some(answer)
    });
    all_ok(&answer, 1);
    let key_id = &token[8..18];
    let revoke = form(&format!("/tokens/{key_id}/revoke"), &session, &format!("form_key={key}"));
    assert_eq!(exchange(portal.address, &revoke).status, 303);
    until("the gateway refuses the token", Duration::from_secs(5), || {
        (exchange(gateway.address, &request).status == 401).then_some(())
    });

    // The operator ends it all. The token list is theirs to see.
    let (told, _) = run(&site, &["portal", "sign-out", "demo"]);
    assert_eq!(told, "1 sessions ended, 0 links voided\n");
    let list = exchange(portal.address, &Request::new("GET", "/").header("Cookie", &session));
    assert_eq!(list.status, 303);
    assert!(site.run(&["token", "list"]).contains("the cloud"));

    let sign_ins = portal.ops.metric("wattline_portal_sign_ins_total", &["done"]);
    let answered = portal.ops.metric("wattline_portal_requests_total", &["/tokens\"", "201"]);
    assert_eq!((sign_ins, answered), (1.0, 1.0));
    let (_, metrics) = portal.ops.get("/metrics").expect("the metrics");
    portal.process.term();
    assert!(portal.process.wait(Duration::from_secs(20)).success());
    let log = portal.process.log();
    assert!(log.contains("token created") && log.contains(key_id) && log.contains("drained"), "{log}");
    let (_, session_secret) = session.split_once('=').expect("a cookie");
    let secrets = [&secret[11..], &session_secret[11..], &token[19..], key, PEPPER];
    for (name, text) in [("portal", &log), ("invite", &invite_log), ("metrics", &metrics)] {
        let told = text.lines().find(|line| secrets.iter().any(|secret| line.contains(secret)));
        assert_eq!(told, None, "{name}");
    }
}

#[test]
fn the_portals_commands_say_what_is_wrong() {
    let site = Site::new("portal_errors");
    let failure = |keys: Keys<'_>, arguments: &[&str]| {
        let output = site.command(keys, arguments).output().expect("the binary starts");
        assert!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    for command in ["invite", "sign-out"] {
        let told = failure(&[], &["portal", command, "nobody"]);
        assert!(told.contains("there is no client nobody; `wattline client create`"), "{told}");
    }
    for (key, value, named) in [
        (
            "WATTLINE_PORTAL_PUBLIC_URL",
            "http://portal.example.com",
            "portal.public_url must begin with https://",
        ),
        ("WATTLINE_PORTAL_PUBLIC_URL", "portal", "portal.public_url must be https://"),
        ("WATTLINE_PORTAL_LISTEN", "here", "portal.listen"),
        ("WATTLINE_PORTAL_SESSION_HOURS", "25", "portal.session_hours must be from 1 to 24"),
        ("WATTLINE_AUTH_PEPPER", "", "auth.pepper"),
    ] {
        let told = failure(&[(key, value)], &["portal"]);
        assert!(told.contains(named), "{key}={value}: {told}");
    }
    site.run(&["client", "create", "demo"]);
    let told = failure(&[("WATTLINE_PORTAL_LINK_HOURS", "0")], &["portal", "invite", "demo"]);
    assert!(told.contains("portal.link_hours must be from 1 to 168"), "{told}");
}
