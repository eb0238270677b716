//! Forms that the portal's own pages did not send.

use crate::bench::{Bench, ORIGIN, SESSION_TIME, on_both};
use crate::browser::{Browser, OWN_PAGE};

on_both!(a_form_counts_only_with_the_key_of_its_session, a_form_counts_only_from_a_page_of_the_portal);

fn a_form_counts_only_with_the_key_of_its_session(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let token = bench.operators_token("demo");
    let key = browser.get("/").form_key();
    // A second session of the same client, and one of another.
    let colleague = bench.signed_in(&portal, "demo").get("/").form_key();
    let stranger = bench.signed_in(&portal, "other").get("/").form_key();
    let revoke = format!("/tokens/{}/revoke", token.key_id());
    let typo = key.replacen(&key[..1], if key.starts_with('0') { "1" } else { "0" }, 1);
    let wrong = [colleague.as_str(), &stranger, &typo, "", &key[1..], "é"];
    for path in ["/tokens", &revoke, "/sign-out"] {
        for wrong in wrong {
            let fields = [("form_key", wrong), ("name", "forged"), ("kind", "live")];
            let refused = browser.press(path, &fields);
            assert!(
                refused.status == 403 && refused.body.contains("Nothing was changed"),
                "{path} {refused:?}"
            );
        }
        let refused = browser.press(path, &[("name", "forged"), ("kind", "live")]);
        assert_eq!(refused.status, 422, "{path}: no key at all");
    }
    assert!(bench.is_active(token.key_id()) && bench.token_count() == 1);
    assert_eq!(browser.get("/").status, 200, "still signed in");
}

fn a_form_counts_only_from_a_page_of_the_portal(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let token = bench.operators_token("demo");
    let key = browser.get("/").form_key();
    let revoke = format!("/tokens/{}/revoke", token.key_id());
    let elsewhere: [&[(&str, &str)]; 8] = [
        &[],
        &[("Origin", "null")],
        &[("Origin", "https://example.com")],
        &[("Origin", "https://portal.example.com.example.com")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", "null")],
        &[("Sec-Fetch-Site", "same-site"), ("Origin", ORIGIN)],
        &[("Sec-Fetch-Site", "none"), ("Origin", ORIGIN)],
        &[("Sec-Fetch-Site", "same-origin"), ("Origin", "https://example.com")],
    ];
    let mut guest = Browser::new(portal.address);
    guest.get(&format!("/sign-in/{}", bench.invite("demo").expose()));
    for headers in elsewhere {
        for path in ["/tokens", &revoke, "/sign-out"] {
            let fields = [("form_key", &*key), ("name", "forged"), ("kind", "live")];
            assert_eq!(browser.post(path, headers, &fields).status, 403, "{path} {headers:?}");
        }
        assert_eq!(guest.post("/sign-in", headers, &[]).status, 403, "{headers:?}");
    }
    // Nothing changes by being asked for.
    for path in ["/tokens", "/sign-out"] {
        assert_eq!(browser.get(path).status, 405, "{path}");
    }
    assert!(bench.is_active(token.key_id()) && bench.token_count() == 1);
    assert_eq!(browser.get("/").status, 200, "still signed in");
    // The link was not used up. A browser that does not know Sec-Fetch-Site says where the form is from.
    assert_eq!(guest.post("/sign-in", &[("Origin", ORIGIN)], &[]).status, 303);
    assert_eq!(browser.post("/sign-out", &OWN_PAGE, &[("form_key", &key)]).status, 200);
}
