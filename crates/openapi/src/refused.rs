//! Which of the gateway's refusals an endpoint can give.

use wattline_auth::policy::{Endpoint, Native, Service};
use wattline_gateway::{Refusal, refusals};

use crate::endpoint::{has_body, path_parameters};

/// What every endpoint may answer before it is its turn.
const EVERY: [&str; 7] = [
    "MALFORMED_REQUEST",
    "INVALID_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "METHOD_NOT_ALLOWED",
    "HEADERS_TOO_LARGE",
    "UNAVAILABLE",
];
/// Where a body is read.
const BODY: [&str; 8] = [
    "REQUEST_TIMEOUT",
    "MALFORMED_JSON",
    "MALFORMED_ENCODING",
    "INCOMPLETE_BODY",
    "PAYLOAD_TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "UNSUPPORTED_CONTENT_ENCODING",
    "VALIDATION_ERROR",
];
/// Where a body is passed on and not looked at.
const PASSED_ON: [&str; 3] = ["REQUEST_TIMEOUT", "INCOMPLETE_BODY", "PAYLOAD_TOO_LARGE"];

/// The codes of an endpoint.
fn codes(endpoint: &Endpoint) -> Vec<&'static str> {
    let mut codes = EVERY.to_vec();
    if !path_parameters(endpoint).is_empty() {
        codes.push("NOT_FOUND");
    }
    match endpoint.service {
        Service::Forwarded(_) => {
            codes.extend(["NOT_IMPLEMENTED", "BAD_GATEWAY", "GATEWAY_TIMEOUT"]);
            if has_body(endpoint) {
                codes.extend(PASSED_ON);
            }
        }
        Service::Native(native) => {
            if has_body(endpoint) {
                codes.extend(BODY);
            }
            match native {
                Native::TelemetryBattery | Native::TelemetryBatteryCounter => codes.push("RATE_LIMITED"),
                Native::Commission => codes.push("CONFLICT"),
                Native::ListSites => codes.push("VALIDATION_ERROR"),
                _ => {}
            }
        }
    }
    codes
}

/// The refusals of an endpoint, by status.
pub fn of(endpoint: &Endpoint) -> Vec<Refusal> {
    let codes = codes(endpoint);
    let mut refusals = refusals();
    refusals.retain(|refusal| codes.contains(&refusal.code));
    refusals.sort_by_key(|refusal| refusal.status);
    refusals
}
