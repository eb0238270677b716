//! Every endpoint with every kind of credential, from the founding document's own table.

use std::time::Duration;

use serde_json::{Value, json};
use wattline_auth::{ClientToken, Pepper, site_token};
use wattline_directory::{AuditRow, Directory};

use crate::http::{Answer, Request, exchange};
use crate::points::now_ms;
use crate::process::until;
use crate::refusals::{check_always, check_problem};
use crate::site::{Gateway, PEPPER, Site};

/// Endpoint, whether it takes a client token, whether it takes a site token.
const TABLE: &str = include_str!("../../../auth/tests/it/seed-table.txt");

const REALM: &str = r#"Bearer realm="wattline""#;
const INVALID: &str = r#"Bearer realm="wattline", error="invalid_token""#;
const SCOPE: &str = r#"Bearer realm="wattline", error="insufficient_scope""#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential {
    None,
    Malformed,
    Unknown,
    Revoked,
    Client,
    OwnSite,
    OtherSite,
    ExpiredSite,
}

use Credential::{Client, ExpiredSite, Malformed, OtherSite, OwnSite, Revoked, Unknown};

const CREDENTIALS: [Credential; 8] =
    [Credential::None, Malformed, Unknown, Revoked, Client, OwnSite, OtherSite, ExpiredSite];

struct Tokens(Vec<(Credential, String)>);

impl Tokens {
    /// The site `s/1` is the own one, `s2` the other one; both are the client's.
    fn make(site: &Site) -> (Gateway, Self) {
        let (client, revoked) = (site.token("demo"), site.token("demo"));
        let gateway = site.gateway(&[]);
        for id in ["s/1", "s2"] {
            let body =
                json!({ "site": { "id": id }, "devices": [{ "id": format!("d-{id}"), "type": "BATTERY" }] });
            let answer = send(&gateway, &request("POST", "/v1/commission", Some(&client)).json(&body));
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        let site_token = |target: &str, by: &str| {
            let answer = send(&gateway, &request("POST", target, Some(by)));
            assert_eq!(answer.status, 200, "{}", answer.text());
            answer.json()["site_access_token"].as_str().expect("a token").to_owned()
        };
        let (own, other) =
            (site_token("/v1/auth/site/s%2F1", &client), site_token("/v1/auth/site/s2", &client));
        let expired = expired_site_token(site, &client, "s/1");
        site.run(&["token", "revoke", key_id(&revoked)]);
        let wait = request("GET", "/v1/sites", Some(&revoked));
        until("the revocation", Duration::from_secs(5), || {
            (send(&gateway, &wait).status == 401).then_some(())
        });
        let tokens = Tokens(vec![
            (Malformed, "wl_live_nonsense".into()),
            (Unknown, ClientToken::mint(true).expect("randomness").expose().to_owned()),
            (Revoked, revoked),
            (Client, client),
            (OwnSite, own),
            (OtherSite, other),
            (ExpiredSite, expired),
        ]);
        (gateway, tokens)
    }

    fn of(&self, credential: Credential) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == credential).map(|(_, token)| token.as_str())
    }
}

fn key_id(token: &str) -> &str {
    &token["wl_live_".len()..][..10]
}

/// Asks the directory's database, past the gateway.
fn ask<T>(site: &Site, question: impl AsyncFnOnce(Directory) -> anyhow::Result<T>) -> T {
    let url = format!("sqlite://{}", site.path("directory.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async { question(Directory::open(&url).await?).await });
    answer.expect("an answer of the directory")
}

fn audit_trail(site: &Site) -> Vec<AuditRow> {
    ask(site, async |directory| directory.audit_trail(10_000).await)
}

/// What the gateway itself would have signed more than an hour ago.
fn expired_site_token(site: &Site, client_token: &str, site_id: &str) -> String {
    let pepper: Pepper = PEPPER.parse().expect("a pepper");
    let keys = ask(site, async |directory| directory.list_signing_keys().await);
    let key = keys[0].seed.derive(&pepper).expect("the key");
    let by = key_id(client_token).parse().expect("a key id");
    let token = site_token::mint(&key, site_id, by, "wattline", now_ms() / 1_000 - 3_601).expect("a token");
    token.expose().to_owned()
}

/// A request with a fixed id, so that equal answers are equal to the byte.
fn request(method: &str, target: &str, token: Option<&str>) -> Request {
    let request = Request::new(method, target)
        .header("X-Request-Id", "matrix")
        .header("Content-Type", "application/json");
    match token {
        Some(token) => request.header("Authorization", &format!("Bearer {token}")),
        None => request,
    }
}

fn send(gateway: &Gateway, request: &Request) -> Answer {
    exchange(gateway.address, request)
}

/// What is sent to a row, and the status where the caller may.
fn good(endpoint: &str) -> (Value, u16) {
    match endpoint {
        "POST /v1/commission" => (json!({}), 422),
        "POST /v1/telemetry/BATTERY" | "POST /v1/telemetry/BATTERY_COUNTER" => {
            (json!({ "telemetry": [] }), 200)
        }
        "DELETE /v1/site/{siteId}/device/{deviceId}" => (json!({}), 204),
        "POST /v1/auth/site/{siteId}"
        | "GET /v1/sites"
        | "GET /v1/site/{siteId}"
        | "PATCH /v1/site/{siteId}"
        | "GET /v1/site/{siteId}/devices"
        | "GET /v1/site/{siteId}/device/{deviceId}"
        | "PATCH /v1/site/{siteId}/device/{deviceId}" => (json!({}), 200),
        // The others are another service's, and none is configured.
        _ => (json!({}), 501),
    }
}

#[test]
fn each_endpoint_takes_what_the_table_says_and_nothing_else() {
    let site = Site::new("matrix");
    let (gateway, tokens) = Tokens::make(&site);
    let mut cells = 0;
    for line in TABLE.lines().filter(|line| !line.trim().is_empty()) {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let [endpoint, takes_client, takes_site, ..] = columns[..] else { panic!("{line}") };
        let takes = |column| match column {
            "Yes" => true,
            "No" => false,
            _ => panic!("{line}"),
        };
        let (takes_client, takes_site) = (takes(takes_client), takes(takes_site));
        let (method, template) = endpoint.split_once(' ').expect("a method and a path");
        let target = template
            .replace("{siteId}", "s%2F1")
            .replace("{deviceId}", "d-s%2F1")
            .replace("{commandId}", "c1")
            .replace("{settingsRequestId}", "r1")
            .replace("{enrollmentId}", "e1")
            .replace("{programId}", "p1")
            .replace("{eventId}", "v1");
        assert!(!target.contains('{'), "{target}");
        let (body, status) = good(endpoint);
        for credential in CREDENTIALS {
            cells += 1;
            let answer = send(&gateway, &request(method, &target, tokens.of(credential)).json(&body));
            let shown = format!("{endpoint} with {credential:?}: {} {}", answer.status, answer.text());
            let expected = match credential {
                Credential::None => (401, Some(REALM)),
                Malformed | Unknown | Revoked | ExpiredSite => (401, Some(INVALID)),
                Client if takes_client => (status, None),
                OwnSite if takes_site => (status, None),
                Client | OwnSite | OtherSite => (403, Some(SCOPE)),
            };
            assert_eq!((answer.status, answer.header("www-authenticate")), expected, "{shown}");
            match answer.status {
                401 => drop(check_problem(&answer, 401, "UNAUTHORIZED", &[])),
                403 => drop(check_problem(&answer, 403, "FORBIDDEN", &[])),
                501 => drop(check_problem(&answer, 501, "NOT_IMPLEMENTED", &[])),
                _ => check_always(&answer),
            }
            if answer.status == 501 {
                assert!(answer.text().contains("upstreams."), "{shown}");
            }
        }
    }
    assert_eq!(cells, 24 * 8);

    // Nobody learns why a token is void, nor whether another site exists.
    let mut void = [Malformed, Unknown, Revoked, ExpiredSite]
        .map(|credential| send(&gateway, &request("GET", "/v1/site/s%2F1", tokens.of(credential))).body);
    void.sort();
    assert_eq!(void.first(), void.last());
    let own = tokens.of(OwnSite);
    for tail in ["", "/devices", "/device/d-s2", "/device/none", "/events"] {
        let [there, absent] = ["s2", "s3"].map(|other| {
            let answer = send(&gateway, &request("GET", &format!("/v1/site/{other}{tail}"), own));
            let headers: Vec<_> = answer.headers.into_iter().filter(|(name, _)| name != "date").collect();
            (answer.status, headers, answer.body)
        });
        assert_eq!(there, absent);
        assert_eq!(there.0, 403);
    }

    // What was denied stands in the audit trail, with the key id and the site, and without a token.
    let own_key = key_id(tokens.of(Client).expect("a token"));
    let denial = |reason: &str, site_id: Option<&str>| {
        until(&format!("{reason} in the audit trail"), Duration::from_secs(10), || {
            let rows = audit_trail(&site);
            let is_it = |row: &AuditRow| {
                row.action == "DENIAL"
                    && row.reason.as_deref() == Some(reason)
                    && row.key_id.as_deref() == Some(own_key)
                    && row.site_id.as_deref() == site_id
                    && row.request_id.as_deref() == Some("matrix")
            };
            rows.iter().any(is_it).then_some(())
        });
    };
    denial("wrong_kind", None);
    denial("other_site", Some("s/1"));
    let minted = audit_trail(&site).iter().filter(|row| row.action == "MINT_SITE").count();
    assert!(minted >= 3, "{minted}");
    assert!(gateway.ops.metric("wattline_gateway_denials_total", &["other_site"]) >= 24.0);
}
