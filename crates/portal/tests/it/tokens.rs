//! What a session sees and does of its client's tokens.

use wattline_auth::ClientToken;

use crate::bench::{Bench, SESSION_TIME, on_both};
use crate::browser::{Answer, Browser};

on_both!(
    a_token_is_in_the_answer_that_made_it_and_nowhere_else,
    revoking_asks_first,
    a_token_of_another_client_is_out_of_reach,
    what_is_wrong_with_a_new_token_stands_beside_its_field,
);

fn create(browser: &mut Browser, name: &str, kind: &str) -> Answer {
    let key = browser.get("/").form_key();
    browser.press("/tokens", &[("form_key", &key), ("name", name), ("kind", kind)])
}

fn a_token_is_in_the_answer_that_made_it_and_nowhere_else(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let operators = bench.operators_token("demo");
    let mut browser = bench.signed_in(&portal, "demo");
    let name = "<b>the \"cloud\" & co</b>";
    let shown = "&#60;b&#62;the &#34;cloud&#34; &#38; co&#60;/b&#62;";
    for (kind, prefix) in [("live", "wl_live_"), ("test", "wl_test_")] {
        let created = create(&mut browser, &format!("  {name} "), kind);
        assert_eq!((created.status, created.header("cache-control")), (201, Some("no-store")));
        let token = created.token();
        assert!(token.starts_with(prefix), "{token}");
        assert_eq!(created.body.matches(&token).count(), 1);
        assert!(created.body.contains(shown) && !created.body.contains(name), "{}", created.body);
        assert!(created.headers.iter().all(|(_, value)| !value.contains(&token[19..])));

        let key_id = ClientToken::parse(&token).expect("a token").key_id();
        assert!(bench.is_active(key_id));
        for path in ["/", &format!("/tokens/{key_id}/revoke")] {
            let page = browser.get(path);
            assert_eq!(page.status, 200);
            assert!(page.body.contains(key_id.as_str()) && page.body.contains(shown), "{}", page.body);
            assert!(!page.body.contains(&token[19..]), "never again");
        }
        assert!(!bench.holds(&token[19..]), "the secret is not at rest");
        let row = &bench.trail()[0];
        let reason = row.reason.as_deref().unwrap_or_default();
        assert_eq!((&*row.action, row.key_id.as_deref()), ("MINT", Some(key_id.as_str())));
        assert!(reason.starts_with("in the portal, by session "), "{reason}");
    }
    let list = browser.get("/");
    assert!(list.body.contains(operators.key_id().as_str()) && list.body.contains("made by hand"));
    let by_hand =
        bench.trail().into_iter().find(|row| row.key_id.as_deref() == Some(operators.key_id().as_str()));
    assert_eq!(by_hand.expect("a row").reason, None);
}

fn revoking_asks_first(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    let token = create(&mut browser, "the cloud", "live").token();
    let key_id = ClientToken::parse(&token).expect("a token").key_id();
    let path = format!("/tokens/{key_id}/revoke");
    let asked = browser.get(&path);
    assert!(asked.status == 200 && asked.body.contains("Revoke the cloud"), "{asked:?}");
    assert!(bench.is_active(key_id), "to ask is not to do");

    let revoked = browser.press(&path, &[("form_key", &asked.form_key())]);
    let next = format!("/?revoked={key_id}");
    assert_eq!((revoked.status, revoked.header("location")), (303, Some(&*next)));
    assert!(!bench.is_active(key_id));
    let list = browser.get(&next);
    assert!(list.body.contains("is revoked.") && list.body.contains("Revoked tokens"), "{}", list.body);
    assert!(!list.body.contains(&path));
    assert_eq!(bench.trail()[0].action, "REVOKE");
    for answer in [browser.get(&path), browser.press(&path, &[("form_key", &asked.form_key())])] {
        assert_eq!(answer.status, 404, "{answer:?}");
    }
}

fn a_token_of_another_client_is_out_of_reach(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let theirs = bench.operators_token("other");
    let mut browser = bench.signed_in(&portal, "demo");
    let list = browser.get(&format!("/?revoked={}", theirs.key_id()));
    assert!(list.status == 200 && !list.body.contains(theirs.key_id().as_str()), "{}", list.body);
    let mut bodies = Vec::new();
    for key_id in [theirs.key_id().as_str(), "0000000000", "x", "%00"] {
        let path = format!("/tokens/{key_id}/revoke");
        for answer in [browser.get(&path), browser.press(&path, &[("form_key", &list.form_key())])] {
            assert_eq!(answer.status, 404, "{path}");
            bodies.push(answer.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "nobody learns which key ids there are");
    assert!(bench.is_active(theirs.key_id()));
    assert_eq!(browser.get("/?revoked=%FF&revoked=2").status, 200, "an address is anybody's to write");
}

fn what_is_wrong_with_a_new_token_stands_beside_its_field(bench: &Bench) {
    let portal = bench.portal(SESSION_TIME);
    let mut browser = bench.signed_in(&portal, "demo");
    for name in ["", "  \t", "two\nlines", &"x".repeat(257)] {
        let refused = create(&mut browser, name, "test");
        assert_eq!(refused.status, 422, "{name:?}");
        assert!(refused.body.contains(r#"id="name-error" role="alert""#), "{}", refused.body);
        assert!(refused.body.contains(r#"value="test" checked"#), "what was chosen stays chosen");
    }
    assert_eq!(create(&mut browser, "a", "other").status, 422);
    assert_eq!(bench.token_count(), 0);
    let token = create(&mut browser, "one", "test").token();
    let refused = create(&mut browser, &format!("is {token}"), "test");
    assert!(refused.status == 422 && refused.body.contains("a token and no name"), "{refused:?}");
    assert!(!refused.body.contains(&token) && !bench.holds(&token[19..]));
    for _ in 1..50 {
        assert_eq!(create(&mut browser, "one", "test").status, 201);
    }
    let refused = create(&mut browser, "too many", "test");
    assert!(refused.status == 409 && refused.body.contains("50 active tokens already"), "{refused:?}");
    assert_eq!(bench.token_count(), 50);
}
