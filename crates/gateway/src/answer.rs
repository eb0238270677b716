use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use wattline_kafka::Appended;

use crate::batch::{Outcome, is_unconfirmed};
use crate::forward::ResponseBody;
use crate::problem::Problem;
use crate::request_id::{self, RequestId};

/// The body of an answer: made here, or passed on from a service beside this one.
pub(crate) type Body = Either<Full<Bytes>, ResponseBody>;

/// What an endpoint that is served here says.
pub(crate) type Answer = Result<Response<Full<Bytes>>, Problem>;

const OK: &str = r#"{"status":"OK","message":""}"#;

/// The answer to a request whose body was understood: a bare array with an entry for each point.
pub(crate) fn array(outcomes: &[Outcome], appended: &Appended) -> Response<Full<Bytes>> {
    let mut body = String::with_capacity(2 + outcomes.len() * (OK.len() + 1));
    body.push('[');
    for (at, outcome) in outcomes.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        match outcome {
            Outcome::Accepted { partition } if is_unconfirmed(appended, *partition) => {
                failed(&mut body, &"not confirmed; resend unchanged");
            }
            Outcome::Accepted { .. } => body.push_str(OK),
            Outcome::Invalid(invalid) => failed(&mut body, invalid),
            Outcome::UnknownDevice => failed(&mut body, &"unknown device"),
            Outcome::NotABattery => failed(&mut body, &"device_id must be a battery's"),
        }
    }
    body.push(']');
    json_text(body.into())
}

/// The answer that shows something.
pub(crate) fn json(shown: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(shown);
    debug_assert!(text.is_ok(), "what is shown has text for keys and no other way to fail");
    json_text(text.unwrap_or_default().into())
}

fn json_text(text: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The messages are ours and have neither quotes nor backslashes.
fn failed(body: &mut String, message: &dyn std::fmt::Display) {
    let written = write!(body, r#"{{"status":"FAILED","message":"{message}"}}"#);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// What every answer carries.
pub(crate) fn finish<B>(mut response: Response<B>, request_id: &RequestId) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(request_id::HEADER), request_id.header());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// An answer as it goes over the wire, with its date, where hyper does not write it.
pub(crate) fn bytes(response: Response<Full<Bytes>>, date: &str) -> Bytes {
    let (parts, body) = response.into_parts();
    let body = body.into_inner().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
    for (name, value) in &parts.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\ndate: {date}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes.into()
}
