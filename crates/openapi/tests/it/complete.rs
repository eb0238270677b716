//! Every endpoint is there with all that it may answer, and nothing is there for nothing.

use std::collections::BTreeSet;

use serde_json::Value;
use wattline_auth::policy::{ENDPOINTS, Service, TokenKind};
use wattline_gateway::refusals;

use crate::document::{document, resolved};

#[test]
fn every_row_of_the_policy_is_an_operation() {
    let document = document();
    let mut operations = BTreeSet::new();
    for endpoint in &ENDPOINTS {
        let path = &document["paths"][endpoint.template];
        let operation = &path[endpoint.method.name().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], endpoint.name);
        let scheme = match endpoint.token {
            TokenKind::Client => "clientToken",
            TokenKind::Site => "siteToken",
        };
        assert_eq!(operation["security"], serde_json::json!([{ scheme: [] }]), "{}", endpoint.name);
        let named = |parameter: &Value| {
            let parameter = resolved(&document, parameter);
            (parameter["in"] == "path")
                .then(|| format!("{{{}}}", parameter["name"].as_str().unwrap_or_default()))
        };
        let parameters: Vec<_> =
            path["parameters"].as_array().into_iter().flatten().filter_map(named).collect();
        let braces: Vec<_> = endpoint.template.split('/').filter(|part| part.starts_with('{')).collect();
        assert_eq!(parameters, braces, "{}", endpoint.name);
        let upstream = operation["x-wattline-upstream"].as_str();
        match endpoint.service {
            Service::Native(_) => assert_eq!(upstream, None),
            Service::Forwarded(group) => assert_eq!(upstream, Some(group.name())),
        }
        operations.insert(endpoint.name);
    }
    let paths = document["paths"].as_object().expect("paths");
    let count = paths.values().flat_map(|path| path.as_object().expect("a path").keys());
    assert_eq!(count.filter(|key| *key != "parameters").count(), ENDPOINTS.len());
    assert_eq!(operations.len(), ENDPOINTS.len(), "no two operations have one name");
}

#[test]
fn every_refusal_is_described_with_its_headers() {
    let document = document();
    let responses = document["components"]["responses"].as_object().expect("responses");
    for refusal in refusals() {
        let described = responses.values().find(|response| {
            let schema = &response["content"]["application/problem+json"]["schema"]["properties"];
            let codes = schema["code"]["enum"].as_array();
            schema["status"]["const"] == refusal.status
                && codes.is_some_and(|codes| codes.contains(&refusal.code.into()))
        });
        let described =
            described.unwrap_or_else(|| panic!("no endpoint answers {} {}", refusal.status, refusal.code));
        let headers = described["headers"].as_object().expect("headers");
        for (name, _) in refusal.headers.iter().filter(|(name, _)| name != "connection") {
            let is_there = headers.keys().any(|key| key.eq_ignore_ascii_case(name));
            assert!(is_there, "{name} of {} {}", refusal.status, refusal.code);
        }
    }
}

/// Every place that is pointed to.
fn references<'a>(node: &'a Value, found: &mut BTreeSet<&'a str>) {
    match node {
        Value::Object(members) => {
            for (key, value) in members {
                match value.as_str() {
                    Some(place) if key == "$ref" => drop(found.insert(place)),
                    _ => references(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let components = document["components"].as_object().expect("components");
    let mut there = BTreeSet::new();
    for (kind, components) in components.iter().filter(|(kind, _)| *kind != "securitySchemes") {
        for name in components.as_object().expect("a kind of components").keys() {
            there.insert(format!("#/components/{kind}/{name}"));
        }
    }
    let used: BTreeSet<String> = used.into_iter().map(str::to_owned).collect();
    assert_eq!(used, there);
}

#[test]
fn links_lead_to_operations() {
    let document = document();
    let mut count = 0;
    for endpoint in &ENDPOINTS {
        let operation = &document["paths"][endpoint.template][endpoint.method.name().to_ascii_lowercase()];
        for response in operation["responses"].as_object().expect("responses").values() {
            for link in response["links"].as_object().into_iter().flat_map(|links| links.values()) {
                let to = ENDPOINTS.iter().find(|other| link["operationId"] == other.name);
                let to = to.unwrap_or_else(|| panic!("{link} leads to no operation"));
                for parameter in link["parameters"].as_object().expect("parameters").keys() {
                    assert!(to.template.contains(&format!("{{{parameter}}}")), "{link}");
                }
                count += 1;
            }
        }
    }
    assert!(count > 0);
}
