//! Sites and devices over HTTP, from their commissioning to their end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::http::{Answer, Connection, Request, exchange};
use crate::points::{BATTERY, COUNTER, HOUR_MS, ago_ms, all_ok, interval, messages, post_points, reading};
use crate::process::until;
use crate::refusals::{check_always, check_problem};
use crate::site::{Gateway, Site};

/// What an operator promises of any change.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

fn request(method: &str, target: &str, token: &str) -> Request {
    Request::new(method, target)
        .header("Authorization", &format!("Bearer {token}"))
        .header("Content-Type", "application/json")
}

fn battery(id: &str) -> Value {
    json!({ "id": id, "type": "BATTERY", "manufacturer_name": "Acme",
            "attributes": { "battery_capacity_wh": 13500, "battery_power_output_w": 5000 } })
}

#[track_caller]
fn commission(gateway: &Gateway, token: &str, site: &str, devices: &[&str]) -> Answer {
    let devices: Vec<_> = devices.iter().map(|id| battery(id)).collect();
    let site = json!({ "id": site, "first_name": "Ada", "state_code": "CA", "zip_code": "94110" });
    let body = json!({ "site": site, "devices": devices, "can_auto_enroll": true });
    exchange(gateway.address, &request("POST", "/v1/commission", token).json(&body))
}

#[track_caller]
fn site_token(gateway: &Gateway, token: &str, target: &str) -> String {
    let answer = exchange(gateway.address, &request("POST", target, token));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["site_access_token"].as_str().expect("a token").to_owned()
}

#[track_caller]
fn get(gateway: &Gateway, token: &str, target: &str) -> Value {
    let answer = exchange(gateway.address, &request("GET", target, token));
    check_always(&answer);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

#[test]
fn a_site_from_its_commissioning_to_its_telemetry_and_its_end() {
    let site = Site::new("sites");
    let token = site.token("oem");
    let gateway = site.gateway(&[]);
    let answer = commission(&gateway, &token, "home-1", &["bat-1", "bat-2"]);
    check_always(&answer);
    assert_eq!((answer.status, answer.json()), (200, json!({ "programs": [], "enrollment": null })));

    // What was commissioned may post at once, in both shapes.
    let points = [interval("bat-1", ago_ms(HOUR_MS)), interval("bat-2", ago_ms(HOUR_MS))];
    all_ok(&exchange(gateway.address, &post_points(BATTERY, &token, &points)), 2);
    let points = [reading("bat-1", ago_ms(HOUR_MS), [1.0, 2.0, 3.0, 4.0])];
    all_ok(&exchange(gateway.address, &post_points(COUNTER, &token, &points)), 1);

    // The site token comes with its end, an hour from now.
    let answer = exchange(gateway.address, &request("POST", "/v1/auth/site/home-1", &token));
    let minted = answer.json();
    let expires_at: jiff::Timestamp =
        minted["expires_at"].as_str().expect("a time").parse().expect("RFC 3339");
    let left_s = expires_at.as_second() - jiff::Timestamp::now().as_second();
    assert!((3_590..=3_600).contains(&left_s), "{left_s}");
    let opened = site_token(&gateway, &token, "/v1/auth/site/home-1");

    let shown = get(&gateway, &opened, "/v1/site/home-1");
    assert_eq!(
        (&shown["id"], &shown["first_name"], &shown["city"]),
        (&json!("home-1"), &json!("Ada"), &Value::Null)
    );
    assert!(shown["created_at"].is_string() && shown["updated_at"].is_string());
    let devices = get(&gateway, &opened, "/v1/site/home-1/devices");
    assert_eq!(devices.as_array().map(Vec::len), Some(2), "{devices}");
    let device = get(&gateway, &opened, "/v1/site/home-1/device/bat-1");
    assert_eq!(device, devices[0]);
    assert_eq!((&device["site_id"], &device["type"]), (&json!("home-1"), &json!("BATTERY")));
    assert_eq!(device["attributes"]["battery_capacity_wh"], json!(13500.0));

    // A PATCH changes what is sent and leaves the rest.
    let patch =
        |target: &str, body: Value| exchange(gateway.address, &request("PATCH", target, &opened).json(&body));
    let answer = patch("/v1/site/home-1", json!({ "city": "San Francisco", "first_name": null }));
    assert_eq!(
        (&answer.json()["city"], &answer.json()["first_name"]),
        (&json!("San Francisco"), &Value::Null)
    );
    assert_eq!(answer.json()["zip_code"], "94110");
    let answer =
        patch("/v1/site/home-1/device/bat-1", json!({ "attributes": { "battery_power_input_w": 3000 } }));
    assert_eq!(answer.json()["attributes"]["battery_power_input_w"], json!(3000.0));
    assert_eq!(answer.json()["manufacturer_name"], "Acme");
    assert_eq!(get(&gateway, &opened, "/v1/site/home-1/device/bat-1"), answer.json());
    let answer = patch("/v1/site/home-1", json!({ "state_code": "XX", "zip_code": 5 }));
    let body = check_problem(&answer, 422, "VALIDATION_ERROR", &[]);
    let paths: Vec<_> =
        body["errors"].as_array().expect("errors").iter().map(|error| &error["path"]).collect();
    assert_eq!(paths, ["state_code", "zip_code"]);
    check_problem(&patch("/v1/site/home-1/device/none", json!({})), 404, "NOT_FOUND", &[]);

    // A device that was deleted may not post, and is gone.
    let delete = request("DELETE", "/v1/site/home-1/device/bat-2", &opened);
    let answer = exchange(gateway.address, &delete);
    check_always(&answer);
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    check_problem(&exchange(gateway.address, &delete), 404, "NOT_FOUND", &[]);
    let points = [interval("bat-2", ago_ms(HOUR_MS)), interval("bat-1", ago_ms(HOUR_MS))];
    let answer = exchange(gateway.address, &post_points(BATTERY, &token, &points));
    assert_eq!(messages(&answer), ["unknown device", ""]);

    // Nothing is commissioned twice, and nothing of what is refused is kept.
    for (again, devices) in [("home-1", ["bat-9"]), ("home-2", ["bat-1"])] {
        let answer = commission(&gateway, &token, again, &devices);
        check_problem(&answer, 409, "CONFLICT", &[]);
    }
    assert_eq!(get(&gateway, &token, "/v1/sites").as_array().map(Vec::len), Some(1));
    let unknown = exchange(gateway.address, &request("POST", "/v1/auth/site/home-2", &token));
    check_problem(&unknown, 404, "NOT_FOUND", &[]);
}

#[test]
fn a_body_that_is_refused_says_why_and_stores_nothing() {
    let site = Site::new("commission");
    let token = site.token("oem");
    let gateway = site.gateway(&[]);
    let send = |body: &str| exchange(gateway.address, &request("POST", "/v1/commission", &token).body(body));
    let problem = check_problem(&send("{\"site\": {"), 400, "MALFORMED_JSON", &[]);
    assert_eq!(problem["offset"], 10);
    let answer = send(r#"{"site": {"id": "a"}, "devices": [{"id": "b", "type": "TOASTER"}, 5]}"#);
    let problem = check_problem(&answer, 422, "VALIDATION_ERROR", &[]);
    assert_eq!(problem["errors"][0]["path"], "devices[0].type");
    assert_eq!(problem["errors"][0]["message"], "devices[0].type must be BATTERY or EV_CHARGER");
    assert_eq!(problem["errors"][1]["path"], "devices[1]");
    let plain = Request::new("POST", "/v1/commission").header("Authorization", &format!("Bearer {token}"));
    check_problem(&exchange(gateway.address, &plain), 415, "UNSUPPORTED_MEDIA_TYPE", &[]);
    assert_eq!(get(&gateway, &token, "/v1/sites"), json!([]));
}

#[test]
fn sites_come_in_pages() {
    let site = Site::new("pages");
    let token = site.token("oem");
    let gateway = site.gateway(&[]);
    for number in 0..5 {
        let answer = commission(&gateway, &token, &format!("s{number}"), &[&format!("d{number}")]);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let ids = |target: &str| -> Vec<String> {
        let sites = get(&gateway, &token, target);
        let ids = sites.as_array().expect("an array").iter().map(|site| site["id"].as_str().expect("an id"));
        ids.map(str::to_owned).collect()
    };
    assert_eq!(ids("/v1/sites"), ["s0", "s1", "s2", "s3", "s4"]);
    assert_eq!(ids("/v1/sites?skip=1&limit=2"), ["s1", "s2"]);
    assert_eq!(ids("/v1/sites?limit=1&skip=4"), ["s4"]);
    assert!(ids("/v1/sites?skip=5").is_empty());
    for (query, path) in
        [("limit=0", "limit"), ("limit=1001", "limit"), ("skip=-1", "skip"), ("skip=1&skip=2", "skip")]
    {
        let answer = exchange(gateway.address, &request("GET", &format!("/v1/sites?{query}"), &token));
        let problem = check_problem(&answer, 422, "VALIDATION_ERROR", &[]);
        assert_eq!(problem["errors"][0]["path"], path, "{query}");
    }
}

#[test]
fn a_revocation_reaches_open_connections_and_the_site_tokens_made_before() {
    let site = Site::new("revocation");
    let token = site.token("oem");
    let gateway = site.gateway(&[]);
    assert_eq!(commission(&gateway, &token, "home", &["bat"]).status, 200);
    let opened = site_token(&gateway, &token, "/v1/auth/site/home");
    let mut clients = Connection::open(gateway.address).expect("a connection");
    let mut sites = Connection::open(gateway.address).expect("a connection");
    let by_client = request("GET", "/v1/sites", &token);
    let by_site = request("GET", "/v1/site/home", &opened);
    assert_eq!((clients.exchange(&by_client).status, sites.exchange(&by_site).status), (200, 200));
    site.run(&["token", "revoke", &token["wl_live_".len()..][..10]]);
    until("the revocation on open connections", SEEN_WITHIN, || {
        let statuses = (clients.exchange(&by_client).status, sites.exchange(&by_site).status);
        (statuses == (401, 401)).then_some(())
    });
}

#[test]
fn two_clients_with_the_same_ids_never_see_each_other() {
    let site = Site::new("twins");
    let (one, two) = (site.token("one"), site.token("two"));
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    assert_eq!(commission(&gateway, &one, "home", &["bat"]).status, 200);
    // The other client has neither the site nor the device yet.
    let unknown = exchange(gateway.address, &request("POST", "/v1/auth/site/home", &two));
    check_problem(&unknown, 404, "NOT_FOUND", &[]);
    let start_ms = ago_ms(HOUR_MS);
    let post = |token: &str, wh: u32| {
        let mut point = interval("bat", start_ms);
        point["battery_total_energy_charge_wh"] = json!(wh);
        messages(&exchange(gateway.address, &post_points(BATTERY, token, &[point])))
    };
    assert_eq!(post(&two, 5), ["unknown device"]);
    assert_eq!(commission(&gateway, &two, "home", &["bat"]).status, 200);
    assert_eq!((post(&one, 11), post(&two, 22)), (vec![String::new()], vec![String::new()]));

    // Each changes and deletes its own.
    let (of_one, of_two) =
        (site_token(&gateway, &one, "/v1/auth/site/home"), site_token(&gateway, &two, "/v1/auth/site/home"));
    let change = request("PATCH", "/v1/site/home", &of_one).json(&json!({ "city": "Austin" }));
    assert_eq!(exchange(gateway.address, &change).status, 200);
    assert_eq!(get(&gateway, &of_two, "/v1/site/home")["city"], Value::Null);
    assert_eq!(
        exchange(gateway.address, &request("DELETE", "/v1/site/home/device/bat", &of_one)).status,
        204
    );
    assert_eq!(get(&gateway, &of_two, "/v1/site/home/device/bat")["id"], "bat");
    assert_eq!((post(&one, 11), post(&two, 22)), (vec!["unknown device".to_owned()], vec![String::new()]));

    site.wait_until_stored();
    let sql = format!(
        "SELECT client_id, device_id, toString(battery_total_energy_charge_wh) FROM {}.intervals FINAL \
         ORDER BY client_id FORMAT TSV",
        site.database()
    );
    let rows = crate::http::post_text(&site.clickhouse, &sql);
    assert_eq!(rows, "one\tbat\t11\ntwo\tbat\t22\n");
}

#[test]
fn what_another_gateway_commissions_may_post_here_within_a_second() {
    let site = Site::new("gateways");
    let token = site.token("oem");
    let (here, there) = (site.gateway(&[]), site.gateway(&[]));
    assert_eq!(commission(&there, &token, "home", &["bat"]).status, 200);
    let post = || {
        messages(&exchange(here.address, &post_points(BATTERY, &token, &[interval("bat", ago_ms(HOUR_MS))])))
    };
    until("the device is known here", Duration::from_secs(1), || (post() == [""]).then_some(()));
    let opened = site_token(&here, &token, "/v1/auth/site/home");
    assert_eq!(exchange(there.address, &request("DELETE", "/v1/site/home/device/bat", &opened)).status, 204);
    until("the device is gone here", Duration::from_secs(1), || (post() == ["unknown device"]).then_some(()));
}
