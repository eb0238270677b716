//! The schemas have the members that the code writes and reads, and no others.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use wattline_directory::api::{Commission, Device, Site};
use wattline_gateway::refusals;
use wattline_model::Kind;
use wattline_wire::fields;

use crate::document::{document, resolved};

fn keys(value: &Value) -> BTreeSet<String> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().cloned().collect()
}

/// The members of a schema, by its name.
fn properties(document: &Value, schema: &str) -> BTreeSet<String> {
    keys(&document["components"]["schemas"][schema]["properties"])
}

/// Whether what the code wrote has just the members of the schema, at every depth.
fn check_shape(document: &Value, written: &Value, schema: &Value, place: &str) {
    let schema = resolved(document, schema);
    let Some(properties) = schema.get("properties") else { return };
    if let Some(members) = written.as_object() {
        assert_eq!(keys(written), keys(properties), "{place}");
        if let Some(required) = schema["required"].as_array() {
            assert_eq!(required.len(), members.len(), "{place} always has all of them");
        }
        for (name, member) in members {
            check_shape(document, member, &properties[name], &format!("{place}.{name}"));
        }
    }
}

fn commissioned() -> (Site, Device) {
    let body = br#"{"site":{"id":"s"},"devices":[{"id":"d","type":"BATTERY"}]}"#;
    let mut commission = Commission::parse(body).expect("valid");
    let at = Timestamp::UNIX_EPOCH;
    let site = commission.site;
    let site = Site { id: site.id, details: site.details, created_at: at, updated_at: at };
    let device = commission.devices.remove(0);
    let details = device.details;
    let device = Device { id: device.id, site_id: "s".into(), details, created_at: at, updated_at: at };
    (site, device)
}

#[test]
fn sites_devices_and_problems_are_as_they_are_written() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let (site, device) = commissioned();
    check_shape(&document, &serde_json::to_value(site).expect("JSON"), &schemas["Site"], "Site");
    check_shape(&document, &serde_json::to_value(device).expect("JSON"), &schemas["Device"], "Device");

    let problem = &schemas["Problem"];
    let required: BTreeSet<String> = problem["required"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| name.as_str().expect("a name").into())
        .collect();
    let mut seen = BTreeSet::new();
    for refusal in refusals() {
        assert!(keys(&refusal.body).is_superset(&required), "{}", refusal.body);
        seen.extend(keys(&refusal.body));
    }
    assert_eq!(seen, properties(&document, "Problem"));
    assert_eq!(problem["properties"]["errors"]["items"]["required"], serde_json::json!(["message", "path"]));
}

/// A member with a value of no type that any field takes is refused where the code knows the member, and
/// ignored where it does not.
#[test]
fn what_is_described_of_a_commissioning_is_what_is_read() {
    let document = document();
    let known = |body: &str| Commission::parse(body.as_bytes()).is_err();
    for name in properties(&document, "NewSite") {
        let id = if name == "id" { "" } else { r#""id":"s","# };
        assert!(known(&format!(r#"{{"site":{{{id}"{name}":[[]]}},"devices":[]}}"#)), "site.{name}");
    }
    for name in properties(&document, "NewDevice") {
        let rest = ["id", "type"].into_iter().filter(|required| *required != name);
        let rest: String = rest.map(|name| format!(r#""{name}":"BATTERY","#)).collect();
        assert!(
            known(&format!(r#"{{"site":{{"id":"s"}},"devices":[{{{rest}"{name}":[[]]}}]}}"#)),
            "device.{name}"
        );
    }
    for (object, schema) in [("attributes", "DeviceAttributes"), ("configuration", "DeviceConfiguration")] {
        for name in properties(&document, schema) {
            let device = format!(r#"{{"id":"d","type":"BATTERY","{object}":{{"{name}":[[]]}}}}"#);
            assert!(known(&format!(r#"{{"site":{{"id":"s"}},"devices":[{device}]}}"#)), "{object}.{name}");
        }
    }
}

#[test]
fn points_have_the_fields_that_are_decoded() {
    let document = document();
    for (kind, schema) in [(Kind::Battery, "BatteryFields"), (Kind::BatteryCounter, "BatteryCounterFields")] {
        let names: BTreeSet<String> = fields(kind).map(|field| field.name().to_owned()).collect();
        assert_eq!(properties(&document, schema), names);
    }
}
