use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::json;
use wattline_wire::BodyError;

use crate::request_id::RequestId;

/// Why a request as a whole is refused. The status, the public text and the headers of each are decided here
/// and nowhere else; no text repeats what the caller sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It is no HTTP request.
    MalformedRequest,
    HeadersTooLarge,
    NotFound,
    MethodNotAllowed {
        allow: &'static str,
    },
    NoCredentials,
    InvalidToken,
    TwoCredentials,
    NotJson,
    UnknownEncoding,
    BrokenEncoding,
    TooLarge,
    TooSlow,
    /// The connection ended in the middle of the body.
    CutOff,
    Body(BodyError),
    RateLimited {
        retry_after_s: u64,
    },
    Unavailable(Unavailable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    KafkaAway,
    OverBudget,
    Draining,
    DirectoryAway,
}

struct Text {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    detail: String,
}

const REALM: &str = r#"Bearer realm="wattline""#;

impl Problem {
    fn text(&self) -> Text {
        let text =
            |status, code, title, detail: &str| Text { status, code, title, detail: detail.to_owned() };
        match self {
            Problem::MalformedRequest => text(
                StatusCode::BAD_REQUEST,
                "MALFORMED_REQUEST",
                "Bad request",
                "the request is not well-formed HTTP/1.1",
            ),
            Problem::HeadersTooLarge => text(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HEADERS_TOO_LARGE",
                "Request header fields too large",
                "the request line and the headers are over the limit",
            ),
            Problem::NotFound => {
                text(StatusCode::NOT_FOUND, "NOT_FOUND", "Not found", "there is nothing at this path")
            }
            Problem::MethodNotAllowed { allow } => text(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "Method not allowed",
                &format!("this path takes {allow}"),
            ),
            Problem::NoCredentials => text(
                StatusCode::UNAUTHORIZED,
                "UNAUTHORIZED",
                "Unauthorized",
                "send the header Authorization: Bearer <token>",
            ),
            Problem::InvalidToken => {
                text(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "Unauthorized", "the token is not valid")
            }
            Problem::TwoCredentials => text(
                StatusCode::BAD_REQUEST,
                "INVALID_REQUEST",
                "Bad request",
                "send the token once, in the header Authorization",
            ),
            Problem::NotJson => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_MEDIA_TYPE",
                "Unsupported media type",
                "Content-Type must be application/json",
            ),
            Problem::UnknownEncoding => text(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UNSUPPORTED_CONTENT_ENCODING",
                "Unsupported content encoding",
                "Content-Encoding must be gzip, zstd or identity",
            ),
            Problem::BrokenEncoding => text(
                StatusCode::BAD_REQUEST,
                "MALFORMED_ENCODING",
                "Bad request",
                "the body is not what its Content-Encoding says",
            ),
            Problem::TooLarge => text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "PAYLOAD_TOO_LARGE",
                "Payload too large",
                "the body is over the limit, as sent or decompressed; send fewer points a request",
            ),
            Problem::TooSlow => text(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                "Request timeout",
                "the body did not arrive in time",
            ),
            Problem::CutOff => {
                text(StatusCode::BAD_REQUEST, "INCOMPLETE_BODY", "Bad request", "the body ended too early")
            }
            Problem::Body(BodyError::Malformed(malformed)) => text(
                StatusCode::BAD_REQUEST,
                "MALFORMED_JSON",
                "Malformed JSON",
                &format!("{malformed}; nothing was stored"),
            ),
            Problem::Body(BodyError::Invalid { path, rule }) => text(
                StatusCode::UNPROCESSABLE_ENTITY,
                "VALIDATION_ERROR",
                "Validation error",
                &format!("{path} {rule}; nothing was stored"),
            ),
            Problem::RateLimited { .. } => text(
                StatusCode::TOO_MANY_REQUESTS,
                "RATE_LIMITED",
                "Too many requests",
                "over the points a second of this client; nothing was stored",
            ),
            Problem::Unavailable(why) => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "Unavailable",
                match why {
                    Unavailable::KafkaAway => "no point could be confirmed; resend unchanged",
                    Unavailable::OverBudget => "too much is under way; nothing was stored, resend unchanged",
                    Unavailable::Draining => "this server is stopping; nothing was stored, resend unchanged",
                    Unavailable::DirectoryAway => {
                        "devices and tokens cannot be checked; nothing was stored, resend unchanged"
                    }
                },
            ),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.text().status
    }

    pub(crate) fn code(&self) -> &'static str {
        self.text().code
    }

    fn headers(&self, headers: &mut HeaderMap) {
        let close = |headers: &mut HeaderMap| headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self {
            Problem::MethodNotAllowed { allow } => {
                headers.insert(ALLOW, HeaderValue::from_static(allow));
            }
            Problem::NoCredentials => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(REALM));
            }
            Problem::InvalidToken => {
                headers.insert(WWW_AUTHENTICATE, challenge("invalid_token"));
            }
            Problem::TwoCredentials => {
                headers.insert(WWW_AUTHENTICATE, challenge("invalid_request"));
            }
            Problem::NotJson => {
                headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            }
            Problem::UnknownEncoding => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd, identity"));
            }
            Problem::MalformedRequest
            | Problem::HeadersTooLarge
            | Problem::TooLarge
            | Problem::TooSlow
            | Problem::CutOff => {
                close(headers);
            }
            Problem::RateLimited { retry_after_s } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            Problem::Unavailable(why) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
                if *why == Unavailable::Draining {
                    close(headers);
                }
            }
            Problem::NotFound | Problem::BrokenEncoding | Problem::Body(_) => {}
        }
    }

    /// The answer, as `application/problem+json` (RFC 9457).
    pub(crate) fn response(&self, request_id: &RequestId) -> Response<Full<Bytes>> {
        let Text { status, code, title, detail } = self.text();
        let mut body = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
            "message": detail,
            "code": code,
            "request_id": request_id.as_str(),
        });
        match self {
            Problem::Body(BodyError::Malformed(malformed)) => body["offset"] = json!(malformed.offset),
            Problem::Body(BodyError::Invalid { path, rule }) => {
                body["errors"] = json!([{ "message": format!("{path} {rule}"), "path": path }]);
            }
            _ => {}
        }
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.headers(headers);
        response
    }
}

fn challenge(error: &'static str) -> HeaderValue {
    // The realm and the error are plain constants.
    HeaderValue::try_from(format!(r#"{REALM}, error="{error}""#)).unwrap_or(HeaderValue::from_static(REALM))
}
