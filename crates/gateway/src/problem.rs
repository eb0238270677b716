use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::json;
use wattline_directory::api::Violation;
use wattline_wire::Malformed;

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
    /// The endpoint takes the other kind of token.
    WrongKind,
    /// A site token on another site, whether that exists or not.
    OtherSite,
    /// The path is right, and the client has no such thing.
    Unknown(Thing),
    /// Commissioning what is there already.
    Exists,
    NotJson,
    UnknownEncoding,
    BrokenEncoding,
    TooLarge,
    TooSlow,
    /// The connection ended in the middle of the body.
    CutOff,
    Malformed(Malformed),
    /// Never empty.
    Invalid(Vec<Violation>),
    RateLimited {
        retry_after_s: u64,
    },
    Unavailable(Unavailable),
    /// The endpoints of this group belong to another service, and it is not said where that is.
    NoUpstream {
        group: &'static str,
    },
    /// The service cannot be reached, or what it says is no HTTP.
    UpstreamAway,
    UpstreamSilent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    Site,
    Device,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    KafkaAway,
    OverBudget,
    Draining,
    /// The snapshot is too old to be served from.
    DirectoryAway,
    /// The directory's database did not answer.
    DirectorySilent,
    NoSigningKey,
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
            Problem::WrongKind => text(
                StatusCode::FORBIDDEN,
                "FORBIDDEN",
                "Forbidden",
                "this endpoint takes the other kind of token",
            ),
            Problem::OtherSite => {
                text(StatusCode::FORBIDDEN, "FORBIDDEN", "Forbidden", "the token is for another site")
            }
            Problem::Unknown(Thing::Site) => {
                text(StatusCode::NOT_FOUND, "NOT_FOUND", "Not found", "the client has no such site")
            }
            Problem::Unknown(Thing::Device) => {
                text(StatusCode::NOT_FOUND, "NOT_FOUND", "Not found", "the site has no such device")
            }
            Problem::Exists => text(
                StatusCode::CONFLICT,
                "CONFLICT",
                "Conflict",
                "the site, or one of the devices at another site, is there already; nothing was stored",
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
            Problem::Malformed(malformed) => text(
                StatusCode::BAD_REQUEST,
                "MALFORMED_JSON",
                "Malformed JSON",
                &format!("{malformed}; nothing was stored"),
            ),
            Problem::Invalid(violations) => {
                let rules = violations.iter().map(|violation| format!("{}; ", sentence(violation)));
                text(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "VALIDATION_ERROR",
                    "Validation error",
                    &(rules.collect::<String>() + "nothing was stored"),
                )
            }
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
                    Unavailable::DirectorySilent => {
                        "the directory did not answer; a change may have been made, so look before you repeat it"
                    }
                    Unavailable::NoSigningKey => "no site token can be signed",
                },
            ),
            Problem::NoUpstream { group } => text(
                StatusCode::NOT_IMPLEMENTED,
                "NOT_IMPLEMENTED",
                "Not implemented",
                &format!("another service serves this endpoint; its base URL goes into upstreams.{group}"),
            ),
            Problem::UpstreamAway => text(
                StatusCode::BAD_GATEWAY,
                "BAD_GATEWAY",
                "Bad gateway",
                "the service of this endpoint cannot be reached",
            ),
            Problem::UpstreamSilent => text(
                StatusCode::GATEWAY_TIMEOUT,
                "GATEWAY_TIMEOUT",
                "Gateway timeout",
                "the service of this endpoint did not answer in time; it may have done what was asked",
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
            Problem::WrongKind | Problem::OtherSite => {
                headers.insert(WWW_AUTHENTICATE, challenge("insufficient_scope"));
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
            Problem::NotFound
            | Problem::Unknown(_)
            | Problem::Exists
            | Problem::BrokenEncoding
            | Problem::Malformed(_)
            | Problem::Invalid(_)
            | Problem::NoUpstream { .. }
            | Problem::UpstreamAway
            | Problem::UpstreamSilent => {}
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
            Problem::Malformed(malformed) => body["offset"] = json!(malformed.offset),
            Problem::Invalid(violations) => {
                let error = |violation| json!({ "message": sentence(violation), "path": violation.path });
                body["errors"] = violations.iter().map(error).collect();
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

fn sentence(Violation { path, rule }: &Violation) -> String {
    let what = if path.is_empty() { "the body" } else { path };
    format!("{what} {rule}")
}

fn challenge(error: &'static str) -> HeaderValue {
    // The realm and the error are plain constants.
    HeaderValue::try_from(format!(r#"{REALM}, error="{error}""#)).unwrap_or(HeaderValue::from_static(REALM))
}

impl From<wattline_wire::BodyError> for Problem {
    fn from(error: wattline_wire::BodyError) -> Self {
        match error {
            wattline_wire::BodyError::Malformed(malformed) => Problem::Malformed(malformed),
            wattline_wire::BodyError::Invalid { path, rule } => {
                Problem::Invalid(vec![Violation { path: path.to_owned(), rule }])
            }
        }
    }
}

impl From<wattline_directory::api::BodyError> for Problem {
    fn from(error: wattline_directory::api::BodyError) -> Self {
        match error {
            wattline_directory::api::BodyError::Malformed(malformed) => Problem::Malformed(malformed),
            wattline_directory::api::BodyError::Invalid(violations) => Problem::Invalid(violations),
        }
    }
}
