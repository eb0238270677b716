//! The live page in a real browser, on a gateway and a worker that are at work.

use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use wattline_live::{Fleet, Sources, serve};

use crate::http;
use crate::load::{import_fleet, start_fleet};
use crate::points::{BATTERY, HOUR_MS, ago_ms, interval, messages, post_points};
use crate::process::until;
use crate::site::Site;
use crate::webdriver::Chromium;

const SECONDS: u32 = 30;
const POINTS_PER_S: f64 = 400.0;
const DEADLINE: Duration = Duration::from_secs(40);

/// What every page has to be: said in words to whoever cannot see it, and legible to whoever can.
const ACCESSIBILITY: &str = include_str!("../../../portal/tests/it/accessibility.js");

fn text(chromium: &Chromium, css: &str) -> String {
    chromium.text_of(&chromium.one(css))
}

/// Digits of a figure, its separators left aside; none where there is no number.
fn number(chromium: &Chromium, css: &str) -> Option<f64> {
    text(chromium, css).replace(',', "").parse().ok()
}

fn pictures(chromium: &Chromium) {
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        chromium.command("Emulation.setEmulatedMedia", features);
        chromium.picture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{scheme}.png")));
        assert_eq!(chromium.run(ACCESSIBILITY), json!([]), "{scheme}");
    }
}

/// Nothing to complain about, and nothing asked of anybody else.
#[track_caller]
fn check_logs(chromium: &Chromium, origin: &str) {
    let said = chromium.log("browser");
    assert!(said.is_empty(), "{said:#?}");
    let mut asked = 0;
    for entry in chromium.log("performance") {
        let message: Value =
            entry["message"].as_str().and_then(|text| serde_json::from_str(text).ok()).expect("JSON");
        if message["message"]["method"] == "Network.requestWillBeSent" {
            let url = message["message"]["params"]["request"]["url"].as_str().expect("a URL").to_owned();
            let is_inside = url.starts_with("data:") || url.starts_with("chrome:");
            assert!(is_inside || url.starts_with(origin), "{url}");
            asked += u32::from(url.ends_with("/numbers"));
        }
    }
    assert!(asked > 5, "{asked} looks");
}

#[test]
fn the_page_shows_a_fleet_at_work() {
    let Some(chromium) = Chromium::start() else { return };
    let site = Site::new("live");
    let token = site.token("demo");
    import_fleet(&site);
    let gateway = site.gateway(&[]);
    let worker = site.worker(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let origin = format!("http://{}/", listener.local_addr().expect("an address"));
    let sources = Sources {
        gateway: format!("http://{}", gateway.ops.address()),
        worker: format!("http://{}", worker.ops.address()),
        clickhouse: site.clickhouse.clone(),
        database: site.database().to_owned(),
        client: "demo".to_owned(),
    };
    let fleet = Fleet { batteries: crate::load::DEVICES, posts_for: Duration::from_secs(SECONDS.into()) };
    thread::spawn(move || serve(listener, sources, Some(fleet)));
    let posting = start_fleet(gateway.address, &token, SECONDS, POINTS_PER_S);

    chromium.open(&origin);
    let is_plausible = |rate: &f64| (POINTS_PER_S / 4.0..POINTS_PER_S * 4.0).contains(rate);
    let rate = until("points a second", DEADLINE, || number(&chromium, "#points-rate").filter(is_plausible));
    until("the points a second change", DEADLINE, || {
        number(&chromium, "#points-rate").filter(|now| is_plausible(now) && *now != rate)
    });
    let freshness = until("freshness", DEADLINE, || {
        let shown = text(&chromium, "#freshness-p99");
        shown.ends_with(['s']).then_some(shown)
    });
    assert!(freshness.ends_with(" ms") || freshness.ends_with(" s"), "{freshness}");
    // Those that are offline have no charge.
    until("the charge of most batteries", DEADLINE, || {
        number(&chromium, "#charge-devices").filter(|count| *count > 150.0)
    });
    let steps = chromium.all("#charge-chart .count").len();
    assert_eq!(steps, 10);

    assert!(chromium.all("[data-reason=too_new]").is_empty(), "the fleet posts nothing like it");
    let planted = post_points(BATTERY, &token, &[interval("bat-000001", ago_ms(-100 * HOUR_MS))]);
    assert_eq!(messages(&http::exchange(gateway.address, &planted)), ["start_time is too far in the future"]);
    until("the planted point is among the rejected", DEADLINE, || {
        (!chromium.all("[data-reason=too_new]").is_empty()).then_some(())
    });
    assert_eq!(text(&chromium, "[data-reason=too_new] th"), "too new");
    assert_eq!(text(&chromium, "[data-reason=too_new] .number"), "1");
    assert!(text(&chromium, "#fleet").contains("240 simulated batteries post; they stop by themselves in"));
    assert_eq!(text(&chromium, "#silent"), "");
    until("most of the fleet's time is over", DEADLINE, || {
        let words = text(&chromium, "#fleet");
        let left = words.split(' ').rev().nth(1).and_then(|left| left.parse::<u32>().ok())?;
        (left <= 8).then_some(())
    });
    pictures(&chromium);

    assert!(posting.join().expect("the fleet").report.is_sound());
    until("the fleet has stopped", DEADLINE, || {
        text(&chromium, "#fleet").contains("have posted and stopped").then_some(())
    });
    drop(worker);
    until("the worker is silent", DEADLINE, || {
        (text(&chromium, "#silent") == "No answer from the worker.").then_some(())
    });
    check_logs(&chromium, &origin);
}
