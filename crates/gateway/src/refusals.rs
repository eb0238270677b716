//! Every refusal as its caller sees it, for the API's description.

use hyper::header::CONTENT_TYPE;
use serde_json::Value;
use wattline_directory::api::Violation;
use wattline_wire::Malformed;

use crate::problem::{Problem, Thing, Unavailable};
use crate::request_id::RequestId;

/// One way in which a request is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    /// The names, in lower case, and values of the headers that come with it and not with every answer.
    pub headers: Vec<(String, String)>,
    /// The body, with an example of what varies in it.
    pub body: Value,
}

/// A problem that is new does not compile here: it belongs into the list.
fn is_listed(problem: &Problem) -> bool {
    match problem {
        Problem::MalformedRequest | Problem::HeadersTooLarge | Problem::NotFound => true,
        Problem::MethodNotAllowed { .. } | Problem::NoCredentials | Problem::InvalidToken => true,
        Problem::TwoCredentials | Problem::WrongKind | Problem::OtherSite | Problem::Exists => true,
        Problem::Unknown(Thing::Site | Thing::Device) => true,
        Problem::NotJson | Problem::UnknownEncoding | Problem::BrokenEncoding | Problem::TooLarge => true,
        Problem::TooSlow | Problem::CutOff | Problem::Malformed(_) | Problem::Invalid(_) => true,
        Problem::RateLimited { .. } | Problem::NoUpstream { .. } => true,
        Problem::UpstreamAway | Problem::UpstreamSilent => true,
        Problem::Unavailable(Unavailable::KafkaAway | Unavailable::OverBudget | Unavailable::Draining) => {
            true
        }
        Problem::Unavailable(Unavailable::DirectoryAway | Unavailable::DirectorySilent) => true,
        Problem::Unavailable(Unavailable::NoSigningKey) => true,
    }
}

fn list() -> Vec<Problem> {
    vec![
        Problem::MalformedRequest,
        Problem::HeadersTooLarge,
        Problem::NotFound,
        Problem::MethodNotAllowed { allow: "GET, PATCH" },
        Problem::NoCredentials,
        Problem::InvalidToken,
        Problem::TwoCredentials,
        Problem::WrongKind,
        Problem::OtherSite,
        Problem::Unknown(Thing::Site),
        Problem::Unknown(Thing::Device),
        Problem::Exists,
        Problem::NotJson,
        Problem::UnknownEncoding,
        Problem::BrokenEncoding,
        Problem::TooLarge,
        Problem::TooSlow,
        Problem::CutOff,
        Problem::Malformed(Malformed { offset: 14, what: "expected a value" }),
        Problem::Invalid(vec![Violation { path: "telemetry".to_owned(), rule: "is required" }]),
        Problem::RateLimited { retry_after_s: 1 },
        Problem::Unavailable(Unavailable::KafkaAway),
        Problem::Unavailable(Unavailable::OverBudget),
        Problem::Unavailable(Unavailable::Draining),
        Problem::Unavailable(Unavailable::DirectoryAway),
        Problem::Unavailable(Unavailable::DirectorySilent),
        Problem::Unavailable(Unavailable::NoSigningKey),
        Problem::NoUpstream { group: "programs" },
        Problem::UpstreamAway,
        Problem::UpstreamSilent,
    ]
}

/// All refusals.
pub fn refusals() -> Vec<Refusal> {
    let request_id = RequestId::example();
    list().into_iter().filter(is_listed).map(|problem| refusal(&problem, &request_id)).collect()
}

fn refusal(problem: &Problem, request_id: &RequestId) -> Refusal {
    let (parts, body) = problem.response(request_id).into_parts();
    let own = parts.headers.iter().filter(|(name, _)| *name != CONTENT_TYPE);
    let headers = own
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()))
        .collect();
    let body = body.into_inner().unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Refusal { status: parts.status.as_u16(), code: problem.code(), headers, body }
}
