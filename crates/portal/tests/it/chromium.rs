//! The portal in a real browser, by keyboard alone, as somebody does who sees it or hears it.

use std::path::Path;

use serde_json::{Value, json};

use crate::bench::{Bench, until};
use crate::webdriver::{CONTROL, Chromium, ENTER, TAB};

const WAIT: std::time::Duration = std::time::Duration::from_secs(20);

/// What the console says of a form that was refused on purpose.
const REFUSED: &str = "/tokens - Failed to load resource: the server responded with a status of 422";

/// What every page has to be: said in words to whoever cannot see it, and legible to whoever can.
const ACCESSIBILITY: &str = include_str!("accessibility.js");

/// Goes on with Tab until something has this role and name, and sees that every stop on the way has a name and
/// shows that it is the one.
#[track_caller]
fn tab_to(chromium: &Chromium, role: &str, label: &str) {
    let mut passed = Vec::new();
    for _ in 0..30 {
        chromium.press(&[TAB]);
        let focused = chromium.focused();
        let (is_role, is_label) = (chromium.role(&focused), chromium.label(&focused));
        if is_role == "generic" || is_role == "none" {
            // The page itself, between its last element and its first.
            continue;
        }
        assert!(!is_label.is_empty(), "a {is_role} without a name, after {passed:?}");
        assert_eq!(chromium.css(&focused, "outline-style"), "solid", "the focus on {is_label:?} is seen");
        if is_role == role && is_label == label {
            return;
        }
        passed.push((is_role, is_label));
    }
    panic!("no {role} {label:?} by Tab: {passed:?}");
}

#[track_caller]
fn check_page(chromium: &Chromium, name: &str) {
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        chromium.command("Emulation.setEmulatedMedia", features);
        keep_picture(chromium, &format!("{name}-{scheme}"));
        let problems = chromium.run(ACCESSIBILITY);
        assert_eq!(problems, json!([]), "{name}, {scheme}");
    }
    for element in chromium.all("a, button, input:not([type=hidden]), textarea, [tabindex]") {
        let (role, label) = (chromium.role(&element), chromium.label(&element));
        assert!(!label.trim().is_empty(), "{name}: a {role} without a name");
    }
}

/// Nothing to complain about, and nothing asked of anybody else. Gives all that Chromium says of the network.
#[track_caller]
fn check_logs(chromium: &Chromium, origin: &str) -> Vec<Value> {
    // That forms were refused is told of too, and so is, as an information, that signing out cleared the cache.
    let said = chromium.log("browser");
    let complaints: Vec<&Value> = said
        .iter()
        .filter(|entry| entry["level"] != "INFO")
        .filter(|entry| !entry["message"].as_str().is_some_and(|text| text.contains(REFUSED)))
        .collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    let messages: Vec<Value> = chromium
        .log("performance")
        .iter()
        .filter_map(|entry| serde_json::from_str::<Value>(entry["message"].as_str()?).ok())
        .map(|entry| entry["message"].clone())
        .collect();
    for message in &messages {
        if message["method"] == "Network.requestWillBeSent" {
            let url = message["params"]["request"]["url"].as_str().expect("a URL");
            // Chromium begins with an empty page of its own.
            let is_inside = url.starts_with("data:") || url.starts_with("chrome:");
            assert!(is_inside || url.starts_with(&format!("{origin}/")), "{url}");
        }
        let headers = message["params"]["headers"].as_object().into_iter().flatten();
        for (header, _) in headers.filter(|_| message["method"] == "Network.requestWillBeSentExtraInfo") {
            assert!(!header.eq_ignore_ascii_case("referer"), "{message:#}");
        }
    }
    messages
}

#[test]
fn a_token_is_made_copied_and_revoked_by_keyboard() {
    let Some(chromium) = Chromium::start() else { return };
    let bench = Bench::sqlite();
    let portal = bench.local_portal();
    let origin = format!("http://{}", portal.address);
    let secret = bench.invite("demo");

    chromium.open(&format!("{origin}/"));
    chromium.wait_for("Sign in");
    check_page(&chromium, "1-signed-out");
    chromium.open(&format!("{origin}/sign-in/{}", secret.expose()));
    chromium.wait_for("Sign in");
    assert_eq!(chromium.url(), format!("{origin}/sign-in"), "the secret is not in the address");
    check_page(&chromium, "2-sign-in");
    tab_to(&chromium, "button", "Sign in for demo");
    chromium.press(&[ENTER]);
    chromium.wait_for("Tokens");
    check_page(&chromium, "3-no-tokens");

    // A name that is only spaces gets past the browser, and is told of beside its field.
    tab_to(&chromium, "textbox", "Name");
    chromium.write("  ");
    chromium.press(&[ENTER]);
    chromium.wait_for("Error: Tokens");
    check_page(&chromium, "4-refused");
    let field = chromium.focused();
    assert_eq!(chromium.label(&field), "Name", "the field that was wrong has the focus");
    chromium.write("the cloud");
    chromium.press(&[TAB]);
    assert_eq!(chromium.role(&chromium.focused()), "radio");
    tab_to(&chromium, "button", "Create token");
    chromium.press(&[ENTER]);
    chromium.wait_for("Token created");
    check_page(&chromium, "5-created");
    let shown = chromium.one("textarea");
    let token = chromium.property(&shown, "value");
    assert!(token.starts_with("wl_live_") && token.len() == 68, "{}", token.len());
    assert_eq!(chromium.label(&shown), "Your new live token: the cloud");

    let said = chromium.one("#copied");
    assert_eq!((chromium.role(&said).as_str(), &*chromium.text_of(&said)), ("status", ""));
    tab_to(&chromium, "button", "Copy token");
    chromium.press(&[ENTER]);
    until("it is said that the token is copied", WAIT, || chromium.text_of(&said) == "Copied.");
    tab_to(&chromium, "link", "Done, to the list");
    chromium.press(&[ENTER]);
    chromium.wait_for("Tokens");
    // What was copied is what is pasted.
    tab_to(&chromium, "textbox", "Name");
    chromium.press(&[CONTROL, 'v']);
    assert_eq!(chromium.property(&chromium.focused(), "value"), token);
    assert!(!chromium.run("return document.documentElement.outerHTML").to_string().contains(&token[19..]));
    check_page(&chromium, "6-list");

    let key_id = &token[8..18];
    tab_to(&chromium, "link", &format!("Revoke the cloud ({key_id})"));
    chromium.press(&[ENTER]);
    chromium.wait_for("Revoke a token");
    check_page(&chromium, "7-revoke");
    assert!(bench.is_active(key_id.parse().expect("a key id")));
    tab_to(&chromium, "button", "Revoke the cloud");
    chromium.press(&[ENTER]);
    chromium.wait_for("Tokens");
    let notice = chromium.text_of(&chromium.one(".notice"));
    assert!(notice.contains(key_id) && notice.contains("is revoked"), "{notice}");
    assert!(!bench.is_active(key_id.parse().expect("a key id")));
    check_page(&chromium, "8-revoked");

    // In the history there is neither the link nor the token.
    let entries = chromium.command("Page.getNavigationHistory", json!({}))["entries"].take();
    let urls = entries.as_array().expect("a list").iter().map(|entry| entry["url"].as_str().expect("a URL"));
    let urls: Vec<&str> = urls.collect();
    assert!(urls.len() > 4, "{urls:?}");
    for url in urls {
        assert!(!url.contains(&secret.expose()[11..]) && !url.contains(&token[19..]), "{url}");
    }

    tab_to(&chromium, "button", "Sign out");
    chromium.press(&[ENTER]);
    chromium.wait_for("Signed out");
    check_page(&chromium, "9-signed-out");
    // The page before is not there any more: it is asked for again, and leads to where to sign in.
    chromium.back();
    chromium.wait_for("Sign in");
    let network = check_logs(&chromium, &origin);
    let asked = |path: &str| {
        let url = format!("{origin}{path}");
        network.iter().any(|message| message["params"]["request"]["url"] == *url)
    };
    assert!(asked("/tokens") && asked("/assets/portal.js") && asked("/sign-out"), "the log is there");
}

/// Puts a picture of the page where somebody wants to look at it.
#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn keep_picture(chromium: &Chromium, name: &str) {
    let Ok(folder) = std::env::var("WATTLINE_TEST_PICTURES") else { return };
    chromium.picture(&Path::new(&folder).join(format!("{name}.png")));
}
