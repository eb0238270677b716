//! A token is seen where it is handed out, and nowhere else.

use serde_json::json;

use crate::http::{Request, exchange, post_text};
use crate::points::{BATTERY, HOUR_MS, ago_ms, all_ok, interval, post_points};
use crate::site::{PEPPER, Site, files_below};

#[test]
fn no_secret_is_in_a_log_a_metric_an_error_a_row_or_a_file() {
    let site = Site::new("canary");
    let token = site.token("oem");
    let debug = &[("WATTLINE_LOG_LEVEL", "trace")];
    let (mut gateway, mut worker) = (site.gateway(debug), site.worker(debug));
    let with = |method: &str, target: &str, token: &str| {
        Request::new(method, target)
            .header("Authorization", &format!("Bearer {token}"))
            .header("Content-Type", "application/json")
    };
    let body = json!({ "site": { "id": "home" }, "devices": [{ "id": "bat", "type": "BATTERY" }] });
    assert_eq!(exchange(gateway.address, &with("POST", "/v1/commission", &token).json(&body)).status, 200);
    let minted = exchange(gateway.address, &with("POST", "/v1/auth/site/home", &token)).json();
    let site_token = minted["site_access_token"].as_str().expect("a token").to_owned();
    let points = [interval("bat", ago_ms(HOUR_MS))];
    all_ok(&exchange(gateway.address, &post_points(BATTERY, &token, &points)), 1);

    // Used rightly, wrongly, and in the wrong places.
    let spoilt = format!("{token}x");
    let requests = [
        with("GET", "/v1/site/home", &site_token),
        with("GET", "/v1/site/elsewhere", &site_token),
        with("GET", "/v1/site/home", &token),
        with("GET", "/v1/sites", &spoilt),
        with("GET", &format!("/v1/sites?access_token={token}"), &token),
        with("GET", &format!("/{token}"), &token),
        with("POST", BATTERY, &token).header("X-Request-Id", &format!("{token}!")).body(token.as_str()),
        with("POST", "/v1/commission", &token).body(format!("{{\"site\": \"{token}\"}}")),
        with("POST", "/v1/commission", &token).header("Content-Encoding", &token),
    ];
    let mut shown = String::new();
    for request in &requests {
        let answer = exchange(gateway.address, request);
        shown += &format!("{:?} {}", answer.headers, answer.text());
    }
    shown += &site.run(&["token", "list", "--json"]);
    let wrong = site.output(&["token", "revoke", &token]);
    assert!(!wrong.status.success());
    shown += &String::from_utf8_lossy(&wrong.stderr);
    site.wait_until_stored();
    shown += &gateway.ops.get("/metrics").expect("metrics").1;
    shown += &worker.ops.get("/metrics").expect("metrics").1;
    for table in ["intervals", "readings", "rejected"] {
        shown +=
            &post_text(&site.clickhouse, &format!("SELECT * FROM {}.{table} FORMAT TSV", site.database()));
    }
    gateway.process.term();
    worker.process.term();
    let ended = std::time::Duration::from_secs(30);
    assert!(gateway.process.wait(ended).success() && worker.process.wait(ended).success());

    // Logs, the directory with its audit trail, Parquet: all that the site wrote.
    let mut bytes = shown.into_bytes();
    for file in files_below(&site.path("")) {
        bytes.extend(std::fs::read(&file).expect("a file"));
    }
    // The secret is what stands behind the key id, and the signed part of a site token.
    let secrets = [&token["wl_live_0123456789_".len()..], &site_token["v4.public.".len()..], PEPPER];
    for secret in secrets {
        let needle = secret.as_bytes();
        let found = bytes.windows(needle.len()).position(|window| window == needle);
        let around = found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..at]).into_owned());
        assert_eq!(around, None, "a secret stands behind this");
    }
}
