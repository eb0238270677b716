//! Every way in which a request comes to nothing: its status and its sentence are decided here.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use tracing::warn;

use crate::page::{self, Message};

#[derive(Debug)]
pub(crate) enum Failure {
    NotFound,
    WrongMethod,
    /// The form is not what the page has, or its body is too large, cut off, or no form at all.
    BadForm(StatusCode),
    /// The form was sent by another site's page, or belongs to another session.
    ForeignForm,
    SessionOver,
    LinkOver,
    UnknownToken,
    TooSlow,
    Directory(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(cause: anyhow::Error) -> Self {
        Failure::Directory(cause)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, title, sentence) = match &self {
            Failure::NotFound => (StatusCode::NOT_FOUND, "Not found", "There is no page at this address."),
            Failure::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "Not possible",
                "This address does not take what was sent to it.",
            ),
            Failure::BadForm(StatusCode::PAYLOAD_TOO_LARGE) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too much",
                "The form is larger than any that the portal has.",
            ),
            Failure::BadForm(status) => {
                (*status, "Not understood", "The form did not arrive as it was meant.")
            }
            Failure::ForeignForm => (
                StatusCode::FORBIDDEN,
                "Not accepted",
                "The form does not belong to your session. Nothing was changed. Go to the start and try again.",
            ),
            Failure::SessionOver => (
                StatusCode::FORBIDDEN,
                "Signed out",
                "Your session has ended. Nothing was changed. Ask for a new sign-in link.",
            ),
            Failure::LinkOver => (
                StatusCode::GONE,
                "The link is over",
                "A sign-in link works once, and for a limited time. This one was used, or its time is over, or it \
                 is incomplete. Ask for a new one.",
            ),
            Failure::UnknownToken => {
                (StatusCode::NOT_FOUND, "No such token", "You have no token with this key id that is active.")
            }
            Failure::TooSlow => {
                (StatusCode::REQUEST_TIMEOUT, "Too slow", "The form did not arrive in time. Try again.")
            }
            Failure::Directory(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Not available",
                "The portal cannot reach its database at the moment. Try again in a minute.",
            ),
        };
        let mut response = page::answer(status, &Message { header: None, title, sentence });
        let headers = response.headers_mut();
        match self {
            Failure::WrongMethod => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
            }
            Failure::BadForm(_) | Failure::TooSlow => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Failure::Directory(cause) => {
                warn!(cause = format!("{cause:#}"), "the directory");
                headers.insert(RETRY_AFTER, HeaderValue::from_static("30"));
            }
            _ => {}
        }
        response
    }
}
