//! What an endpoint answers.

use wattline_auth::policy::{Endpoint, Native, Service};
use wattline_gateway::Refusal;

use crate::endpoint::{reference, schema};
use crate::tree::{Tree, map};
use crate::{links, refused};

/// The headers that every answer carries.
pub const ALWAYS: [&str; 3] = ["X-Request-Id", "Cache-Control", "X-Content-Type-Options"];

pub fn responses(endpoint: &Endpoint) -> Tree {
    let mut responses = match endpoint.service {
        Service::Native(native) => {
            let (status, response) = success(native);
            map! { status => response }
        }
        Service::Forwarded(_) => Tree::EMPTY,
    };
    for (status, refusals) in by_status(&refused::of(endpoint)) {
        responses.push(&status.to_string(), reference("responses", name(status, &refusals)));
    }
    match endpoint.service {
        Service::Native(_) => responses,
        Service::Forwarded(_) => responses.with("default", reference("responses", "UpstreamAnswer")),
    }
}

/// What is answered where all went well.
fn success(native: Native) -> (&'static str, Tree) {
    let (description, shown) = match native {
        Native::TelemetryBattery | Native::TelemetryBatteryCounter => (
            "The body was understood. One entry for each point, in the order of the request.",
            schema("TelemetryAnswer"),
        ),
        Native::CreateSiteToken => {
            ("A new site token; it is shown here and never again.", schema("SiteToken"))
        }
        Native::Commission => ("The site and its devices are stored.", schema("Commissioned")),
        Native::ListSites => (
            "A page of the client's sites, in the order of their ids; shorter than `limit` at the end.",
            map! { "type" => "array", "items" => schema("Site") },
        ),
        Native::GetSite => ("The site.", schema("Site")),
        Native::PatchSite => ("The site as it is now.", schema("Site")),
        Native::ListDevices => {
            ("The devices of the site.", map! { "type" => "array", "items" => schema("Device") })
        }
        Native::GetDevice => ("The device.", schema("Device")),
        Native::PatchDevice => ("The device as it is now.", schema("Device")),
        Native::DeleteDevice => {
            let gone = map! { "description" => "The device is gone.", "headers" => headers(&[]) };
            return ("204", links::add(native, gone));
        }
    };
    let response = map! {
        "description" => description,
        "headers" => headers(&[]),
        "content" => map! { "application/json" => map! { "schema" => shown } },
    };
    ("200", links::add(native, response))
}

fn headers(others: &[String]) -> Tree {
    let names = ALWAYS.into_iter().map(str::to_owned).chain(others.iter().cloned());
    Tree::Map(names.map(|name| (name.clone(), reference("headers", &name))).collect())
}

pub fn by_status(refusals: &[Refusal]) -> Vec<(u16, Vec<Refusal>)> {
    let mut grouped: Vec<(u16, Vec<Refusal>)> = Vec::new();
    for refusal in refusals {
        match grouped.iter_mut().find(|(status, _)| *status == refusal.status) {
            Some((_, group)) => group.push(refusal.clone()),
            None => grouped.push((refusal.status, vec![refusal.clone()])),
        }
    }
    grouped
}

/// The name of the component of a status; that of 400 depends on what can be wrong with a body.
pub fn name(status: u16, refusals: &[Refusal]) -> &'static str {
    let has = |code| refusals.iter().any(|refusal| refusal.code == code);
    match status {
        400 if has("MALFORMED_JSON") => "BadBody",
        400 if has("INCOMPLETE_BODY") => "BadRequestOrCutBody",
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        408 => "RequestTimeout",
        409 => "Conflict",
        413 => "PayloadTooLarge",
        415 => "UnsupportedMediaType",
        422 => "ValidationError",
        429 => "TooManyRequests",
        431 => "HeadersTooLarge",
        501 => "NotImplemented",
        502 => "BadGateway",
        503 => "Unavailable",
        504 => "GatewayTimeout",
        _ => "Refused",
    }
}

/// A status with the refusals that have it, each shown as it is answered.
pub fn refusal(status: u16, refusals: &[Refusal]) -> Tree {
    let mut codes: Vec<&str> = Vec::new();
    let mut examples = Tree::EMPTY;
    let mut others: Vec<String> = Vec::new();
    for Refusal { code, headers, body, .. } in refusals {
        let of_code = 1 + codes.iter().filter(|known| *known == code).count();
        codes.push(code);
        let name = code.to_ascii_lowercase();
        let name = if of_code == 1 { name } else { format!("{name}_{of_code}") };
        examples.push(&name, map! { "value" => body });
        for (header, _) in headers.iter().filter(|(header, _)| header != "connection") {
            // A header that only some of the refusals carry is described as one that may be there.
            let always =
                refusals.iter().all(|refusal| refusal.headers.iter().any(|(name, _)| name == header));
            let header = capitalised(header) + if always { "" } else { "-Optional" };
            if !others.contains(&header) {
                others.push(header);
            }
        }
    }
    codes.dedup();
    let mut all = headers(&[]);
    for header in others {
        all.push(header.trim_end_matches("-Optional"), reference("headers", &header));
    }
    let body = map! {
        "allOf" => [schema("Problem")],
        "properties" => map! {
            "status" => map! { "const" => status },
            "code" => map! { "enum" => codes },
        },
    };
    map! {
        "description" => crate::words::status(status),
        "headers" => all,
        "content" => map! { "application/problem+json" => map! { "schema" => body, "examples" => examples } },
    }
}

/// `retry-after` as one writes it.
fn capitalised(header: &str) -> String {
    if header == "www-authenticate" {
        return "WWW-Authenticate".to_owned();
    }
    let parts = header.split('-').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_ascii_uppercase() + rest
    });
    parts.collect::<Vec<_>>().join("-")
}

/// What a service behind this one says.
pub fn upstream() -> Tree {
    map! {
        "description" => "What the service behind answers, with its status, its type and its body unchanged.",
        "headers" => headers(&[]),
    }
}
