use std::collections::HashSet;

use proptest::prelude::*;
use wattline_auth::policy::{
    Caller, ENDPOINTS, Forbidden, Method, Native, NoRoute, Service, TokenKind, route,
};

const SEED_TABLE: &str = include_str!("seed-table.txt");

/// Method, path, and the two columns, as the founding document has them.
fn seed_rows() -> Vec<(&'static str, &'static str, bool, bool)> {
    let yes = |text: &str| match text.trim() {
        "Yes" => true,
        "No" => false,
        other => panic!("neither Yes nor No: {other}"),
    };
    SEED_TABLE
        .lines()
        .map(|line| {
            let [endpoint, client, site, ""] = line.split('|').collect::<Vec<_>>()[..] else {
                panic!("not a row: {line}");
            };
            let (method, path) = endpoint.trim().split_once(' ').expect("a method and a path");
            (method, path, yes(client), yes(site))
        })
        .collect()
}

#[test]
fn the_table_is_the_founding_documents_in_every_row_and_both_columns() {
    let ours: Vec<_> = ENDPOINTS
        .iter()
        .map(|endpoint| {
            let takes = |kind| endpoint.token == kind;
            (endpoint.method.name(), endpoint.template, takes(TokenKind::Client), takes(TokenKind::Site))
        })
        .collect();
    assert_eq!(ours.len(), 24);
    assert_eq!(ours, seed_rows());
    let names: HashSet<_> = ENDPOINTS.iter().map(|endpoint| endpoint.name).collect();
    assert_eq!(names.len(), 24, "names tell the rows apart");
}

#[test]
fn every_row_is_found_and_judged_by_its_two_columns() {
    for (row, (method, template, client, site)) in seed_rows().into_iter().enumerate() {
        let path = template
            .replace("{siteId}", "site%2F%C3%A9")
            .split('/')
            .map(|part| if part.starts_with('{') { "other-id" } else { part })
            .collect::<Vec<_>>()
            .join("/");
        let matched = route(method, &path).unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        assert_eq!(*matched.endpoint, ENDPOINTS[row]);
        let has_site = template.contains("{siteId}");
        assert_eq!(matched.site_id(), has_site.then_some("site/é"));
        assert_eq!(matched.canonical_path(), path);

        let wrong_kind = Err(Forbidden::WrongKind);
        assert_eq!(matched.authorise(Caller::Client), if client { Ok(()) } else { wrong_kind });
        assert_eq!(matched.authorise(Caller::Site("site/é")), if site { Ok(()) } else { wrong_kind });
        for other in ["site", "site/É", "site%2F%C3%A9", ""] {
            let expected = if site { Err(Forbidden::OtherSite) } else { wrong_kind };
            assert_eq!(matched.authorise(Caller::Site(other)), expected, "{other}");
        }
    }
}

#[test]
fn other_methods_are_told_what_the_path_takes() {
    for (_, template, _, _) in seed_rows() {
        let path = template.replace(['{', '}'], "");
        let taken: Vec<_> =
            seed_rows().into_iter().filter(|row| row.1 == template).map(|row| row.0).collect();
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "get", ""] {
            match route(method, &path) {
                Ok(matched) => assert_eq!(matched.endpoint.template, template),
                Err(NoRoute::Method { allow }) => {
                    assert!(!taken.contains(&method), "{method} {path}");
                    let mut told: Vec<_> = allow.header().split(", ").collect();
                    let mut taken = taken.clone();
                    told.sort_unstable();
                    taken.sort_unstable();
                    assert_eq!(told, taken, "{method} {path}");
                }
                Err(NoRoute::Path) => panic!("{path} is not known"),
            }
        }
    }
}

#[test]
fn paths_that_name_nothing_are_not_found() {
    for path in [
        "",
        "/",
        "*",
        "/v1",
        "/v1/",
        "/v1/sites/",
        "//v1/sites",
        "/V1/sites",
        "/v1/telemetry",
        "/v1/telemetry/battery",
        "/v1/telemetry/BATTERY/",
        "/v1/site/",
        "/v1/site//devices",
        "/v1/site/s/devices/",
        "/v1/site/s/device/",
        "/v1/site/s/device/d/e",
        "/v1/site/./devices",
        "/v1/site/s/device/..",
        "/v1/site/s/event/%2e%2E",
        "/v1/site/s/device/%",
        "/v1/site/s/device/%4",
        "/v1/site/s/device/%zz",
        "/v1/site/s/device/%+1",
        "/v1/site/s/device/%ff",
        "/v1/site/s/device/%C3",
    ] {
        assert_eq!(route("GET", path).map(|matched| matched.endpoint.name), Err(NoRoute::Path), "{path}");
    }
}

#[test]
fn the_two_telemetry_paths_lead_to_their_rows() {
    let native = |path| route("POST", path).expect("known").endpoint.service;
    assert_eq!(native("/v1/telemetry/BATTERY"), Service::Native(Native::TelemetryBattery));
    assert_eq!(native("/v1/telemetry/BATTERY_COUNTER"), Service::Native(Native::TelemetryBatteryCounter));
    assert_eq!(Method::from_name("post"), None);
}

proptest! {
    /// However an id is spelled, the canonical path leads back to the same row and the same ids.
    #[test]
    fn a_canonical_path_names_the_same(site in ".{1,40}", device in "\\PC{1,40}") {
        prop_assume!(!matches!(&*site, "." | "..") && !matches!(&*device, "." | ".."));
        let spell = |id: &str| id.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let path = format!("/v1/site/{}/device/{}", spell(&site), spell(&device));
        let matched = route("GET", &path).expect("a row");
        prop_assert_eq!(matched.site_id(), Some(&*site));
        prop_assert_eq!(matched.device_id(), Some(&*device));
        let canonical = matched.canonical_path();
        let again = route("GET", &canonical).expect("a row");
        prop_assert_eq!(again.site_id(), Some(&*site));
        prop_assert_eq!(again.device_id(), Some(&*device));
        prop_assert!(canonical.is_ascii());
    }

    #[test]
    fn routing_never_panics(method in ".{0,8}", path in ".{0,60}", tail in "[/%a-f0-9.]{0,30}") {
        let _ = route(&method, &path);
        let _ = route("GET", &format!("/v1/site/{tail}"));
    }
}
