//! One row of the policy as an operation.

use wattline_auth::policy::{Endpoint, Method, Native, Service, TokenKind};

use crate::answers;
use crate::examples;
use crate::tree::{Tree, map};
use crate::words::{self, Words};

/// What all operations of a path share: its parameters.
pub fn path_item(endpoint: &Endpoint) -> Tree {
    let parameters: Vec<Tree> = path_parameters(endpoint)
        .into_iter()
        .chain(["request_id"])
        .map(|name| reference("parameters", name))
        .collect();
    map! { "parameters" => parameters }
}

/// The names in the braces of a path.
pub fn path_parameters(endpoint: &Endpoint) -> Vec<&'static str> {
    let parts = endpoint.template.split('/');
    parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect()
}

pub fn operation(endpoint: &Endpoint) -> Tree {
    let Words { summary, description } = words::of(endpoint);
    let mut operation = map! {
        "operationId" => endpoint.name,
        "tags" => [words::tag(endpoint)],
        "summary" => summary,
        "description" => description,
        "security" => [map! { scheme(endpoint.token) => Tree::List(Vec::new()) }],
    };
    if let Service::Forwarded(upstream) = endpoint.service {
        operation.push("x-wattline-upstream", upstream.name());
    }
    if endpoint.service == Service::Native(Native::ListSites) {
        operation.push("parameters", ["skip", "limit"].map(|name| reference("parameters", name)));
    }
    if let Some(body) = request_body(endpoint) {
        operation.push("requestBody", body);
    }
    operation.with("responses", answers::responses(endpoint))
}

/// The name of the security scheme of a kind of token.
pub const fn scheme(token: TokenKind) -> &'static str {
    match token {
        TokenKind::Client => "clientToken",
        TokenKind::Site => "siteToken",
    }
}

pub fn reference(kind: &str, name: &str) -> Tree {
    map! { "$ref" => format!("#/components/{kind}/{name}") }
}

pub fn schema(name: &str) -> Tree {
    reference("schemas", name)
}

/// Whether a request of the endpoint says something in its body.
pub const fn has_body(endpoint: &Endpoint) -> bool {
    match endpoint.service {
        Service::Native(native) => native_body(native).is_some(),
        Service::Forwarded(_) => matches!(endpoint.method, Method::Post | Method::Patch),
    }
}

fn request_body(endpoint: &Endpoint) -> Option<Tree> {
    let Service::Native(native) = endpoint.service else {
        return has_body(endpoint).then(|| {
            map! {
                "description" => "What the service behind reads; it is passed on as it is.",
                "content" => map! { "application/json" => Tree::EMPTY },
            }
        });
    };
    let name = native_body(native)?;
    let examples = examples::of(native);
    Some(map! {
        "required" => true,
        "content" => map! { "application/json" => map! { "schema" => schema(name), "examples" => examples } },
    })
}

/// The schema of the body that an endpoint reads.
const fn native_body(native: Native) -> Option<&'static str> {
    match native {
        Native::TelemetryBattery => Some("BatteryRequest"),
        Native::TelemetryBatteryCounter => Some("BatteryCounterRequest"),
        Native::Commission => Some("Commission"),
        Native::PatchSite => Some("SiteChange"),
        Native::PatchDevice => Some("DeviceChange"),
        Native::CreateSiteToken
        | Native::ListSites
        | Native::GetSite
        | Native::ListDevices
        | Native::GetDevice
        | Native::DeleteDevice => None,
    }
}
