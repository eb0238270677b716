//! Links, sessions and their ends.

use std::time::Duration;

use crate::bench::{Bench, SESSION_TIME, on_both, until};
use crate::browser::Browser;

on_both!(
    a_link_shows_a_button_and_the_button_uses_it_up,
    links_that_are_not_good_are_refused_alike,
    a_session_ends_by_itself,
    a_session_is_good_at_every_portal_until_it_is_signed_out,
    signing_in_anew_ends_the_session_from_before,
);

fn a_link_shows_a_button_and_the_button_uses_it_up(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let secret = bench.invite("demo");
    let link = format!("/sign-in/{}", secret.expose());
    // Mail scanners and previews open it, with GET and HEAD, and go where it leads.
    for method in ["GET", "HEAD", "GET"] {
        let mut scanner = Browser::new(portal.address);
        assert_eq!(scanner.send(method, &link, &[], "").status, 303);
        assert_eq!(scanner.send(method, "/sign-in", &[], "").status, 200);
    }

    let mut browser = Browser::new(portal.address);
    let opened = browser.get(&link);
    assert_eq!((opened.status, opened.header("location")), (303, Some("/sign-in")));
    let cookie = format!(
        "__Host-wattline-invite={}; Path=/; HttpOnly; SameSite=Lax; Max-Age=600; Secure",
        secret.expose()
    );
    assert_eq!(opened.cookies(), [cookie]);
    let asked = browser.get("/sign-in");
    assert!(asked.status == 200 && asked.body.contains("Sign in for demo"), "{asked:?}");
    assert!(!asked.body.contains(secret.expose()), "the secret is in no page");
    let second = browser.clone();

    let signed_in = browser.press("/sign-in", &[]);
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/")));
    let [session, invite] = &signed_in.cookies()[..] else { panic!("{signed_in:?}") };
    let attributes = "; Path=/; HttpOnly; SameSite=Strict; Max-Age=3600; Secure";
    assert!(session.starts_with("__Host-wattline-session=") && session.ends_with(attributes), "{session}");
    assert_eq!(*invite, "__Host-wattline-invite=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0; Secure");
    let list = browser.get("/");
    assert!(list.status == 200 && list.body.contains("Signed in for <strong>demo</strong>"), "{list:?}");

    // Nobody comes in by it again: not with its address, and not with the cookie from before.
    let mut third = Browser::new(portal.address);
    third.get(&link);
    for mut late in [second, third] {
        let refused = late.press("/sign-in", &[]);
        assert_eq!(refused.status, 410, "{refused:?}");
        assert!(late.cookies.is_empty(), "{:?}", late.cookies);
    }
    let value = browser.cookies.values().next().expect("a session").clone();
    for text in [secret.expose(), &value] {
        assert!(!bench.holds(text) && !bench.holds(&text[11..]), "secrets are not at rest");
    }
}

fn links_that_are_not_good_are_refused_alike(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let brief = bench.invite_for("demo", Duration::from_millis(1));
    std::thread::sleep(Duration::from_millis(2));
    let good = bench.invite("demo");
    // The right name with a wrong secret; a link that nobody was sent.
    let mut wrong = good.expose().to_owned();
    let other_digit = if wrong.ends_with('0') { "1" } else { "0" };
    wrong.replace_range(wrong.len() - 1.., other_digit);
    let unknown = "0000000000_0000000000000000000000000000000000000000000";
    let mut bodies = Vec::new();
    for secret in [brief.expose(), &wrong, unknown] {
        let mut browser = Browser::new(portal.address);
        assert_eq!(browser.get(&format!("/sign-in/{secret}")).status, 303);
        let mut presses = browser.clone();
        for answer in [browser.get("/sign-in"), presses.press("/sign-in", &[])] {
            assert_eq!(answer.status, 410);
            bodies.push(answer.body);
        }
        assert!(browser.cookies.is_empty() && presses.cookies.is_empty());
        let list = presses.get("/");
        assert_eq!((list.status, list.header("location")), (303, Some("/sign-in")));
    }
    let mut browser = Browser::new(portal.address);
    for path in ["/sign-in/x", "/sign-in/%00", &format!("/sign-in/{}", &good.expose()[1..])] {
        let answer = browser.get(path);
        assert_eq!(answer.status, 410, "{path}");
        bodies.push(answer.body);
    }
    // The button without a link, as after a second click.
    bodies.push(browser.press("/sign-in", &[]).body);
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // To come without a link is no mistake.
    assert_eq!(browser.get("/sign-in").status, 200);
}

fn a_session_ends_by_itself(bench: &Bench) {
    let portal = bench.portal(Duration::from_millis(1_500));
    let mut browser = bench.signed_in(&portal, "demo");
    let list = browser.get("/");
    assert_eq!(list.status, 200);
    let fields = [("form_key", &*list.form_key()), ("name", "late"), ("kind", "live")];
    until("the session ends", Duration::from_secs(20), || browser.get("/").status == 303);
    let refused = browser.press("/tokens", &fields);
    assert!(refused.status == 403 && refused.body.contains("Your session has ended"), "{refused:?}");
    assert_eq!(bench.token_count(), 0);
}

fn a_session_is_good_at_every_portal_until_it_is_signed_out(bench: &Bench) {
    let (first, second) = (bench.portal(SESSION_TIME), bench.portal(SESSION_TIME));
    let mut browser = bench.signed_in(&first, "demo");
    let key = browser.at(second.address).get("/").form_key();
    assert_eq!(browser.get("/").form_key(), key);
    // A restart ends no session.
    bench.stop(first);
    let third = bench.portal(SESSION_TIME);
    let mut browser = browser.at(third.address);
    assert_eq!(browser.get("/").status, 200);

    let cookies = browser.clone();
    let answer = browser.press("/sign-out", &[("form_key", &key)]);
    assert!(answer.status == 200 && answer.body.contains("You are signed out"), "{answer:?}");
    assert_eq!(
        answer.cookies(),
        ["__Host-wattline-session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0; Secure"]
    );
    assert_eq!(answer.header("clear-site-data"), Some("\"cache\""));
    for address in [second.address, third.address] {
        let list = cookies.at(address).get("/");
        assert_eq!((list.status, list.header("location")), (303, Some("/sign-in")));
    }
    let actions: Vec<String> = bench.trail().into_iter().rev().map(|row| row.action).collect();
    assert_eq!(actions, ["INVITE", "SIGN_IN", "SIGN_OUT"]);
}

fn signing_in_anew_ends_the_session_from_before(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let mut before = browser.clone();
    browser.get(&format!("/sign-in/{}", bench.invite("other").expose()));
    assert_eq!(before.get("/").status, 200, "until the button is pressed");
    assert_eq!(browser.press("/sign-in", &[]).status, 303);
    assert!(browser.get("/").body.contains("<strong>other</strong>"));
    assert_eq!(before.get("/").status, 303);
}
