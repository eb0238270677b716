//! The pages. Their HTML is in `templates/`, where everything that is put in is escaped.

use askama::Template;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use jiff::Timestamp;
use tracing::error;
use wattline_auth::{ClientToken, KeyId};
use wattline_directory::{PORTAL_LISTED_TOKENS_MAX, PortalGuest, PortalSession, TokenRow};

/// The top of every page of somebody who is signed in.
pub(crate) struct Header {
    client: String,
    until: Time,
    form_key: String,
}

impl Header {
    fn new(session: &PortalSession) -> Option<Self> {
        let (client, until) = (session.client.clone(), Time::new(session.expires_at));
        Some(Header { client, until, form_key: session.form_key.to_hex() })
    }
}

/// A time for people and for programs.
pub(crate) struct Time {
    exact: String,
    shown: String,
}

impl Time {
    fn new(at: Timestamp) -> Self {
        let shown = at.strftime("%Y-%m-%d %H:%M UTC").to_string();
        Time { exact: format!("{at:.0}"), shown }
    }
}

/// A sentence, and the way to the start.
#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct Message<'a> {
    pub(crate) header: Option<Header>,
    pub(crate) title: &'a str,
    pub(crate) sentence: &'a str,
}

#[derive(Template)]
#[template(path = "sign_in.html")]
pub(crate) struct SignIn<'a> {
    header: Option<Header>,
    client: &'a str,
    until: Time,
}

impl<'a> SignIn<'a> {
    pub(crate) fn new(guest: &'a PortalGuest) -> Self {
        SignIn { header: None, client: &guest.client, until: Time::new(guest.expires_at) }
    }
}

/// What stands in the form for a new token, and what was wrong with it.
#[derive(Default)]
pub(crate) struct CreateForm {
    pub(crate) name: String,
    pub(crate) is_test: bool,
    pub(crate) error: Option<String>,
}

#[derive(Template)]
#[template(path = "tokens.html")]
pub(crate) struct Tokens {
    header: Option<Header>,
    form_key: String,
    active: Vec<Row>,
    over: Vec<Row>,
    is_cut: bool,
    revoked: Option<Row>,
    form: CreateForm,
}

struct Row {
    key_id: KeyId,
    name: String,
    kind: &'static str,
    created: Time,
    last_used: Option<Time>,
    /// When the token was revoked, or will be.
    ends: Option<Time>,
}

impl Row {
    fn new(token: &TokenRow) -> Self {
        Row {
            key_id: token.key_id,
            name: if token.label.is_empty() { "(no name)".into() } else { token.label.clone() },
            kind: if token.live { "live" } else { "test" },
            created: Time::new(token.created_at),
            last_used: token.last_used_at.map(Time::new),
            ends: token.revoked_at.map(Time::new),
        }
    }
}

impl Tokens {
    pub(crate) fn new(
        session: &PortalSession,
        tokens: &[TokenRow],
        revoked: Option<&TokenRow>,
        form: CreateForm,
    ) -> Self {
        let (active, over): (Vec<&TokenRow>, Vec<&TokenRow>) =
            tokens.iter().partition(|token| token.is_active());
        let rows = |tokens: Vec<&TokenRow>| tokens.into_iter().map(Row::new).collect();
        Tokens {
            header: Header::new(session),
            form_key: session.form_key.to_hex(),
            active: rows(active),
            over: rows(over),
            is_cut: tokens.len() >= PORTAL_LISTED_TOKENS_MAX as usize,
            revoked: revoked.map(Row::new),
            form,
        }
    }
}

/// The one page that has a token.
#[derive(Template)]
#[template(path = "created.html")]
pub(crate) struct Created<'a> {
    header: Option<Header>,
    name: &'a str,
    kind: &'static str,
    key_id: KeyId,
    token: &'a str,
}

impl<'a> Created<'a> {
    pub(crate) fn new(session: &PortalSession, name: &'a str, token: &'a ClientToken) -> Self {
        let kind = if token.is_live() { "live" } else { "test" };
        let header = Header::new(session);
        Created { header, name, kind, key_id: token.key_id(), token: token.expose() }
    }
}

#[derive(Template)]
#[template(path = "revoke.html")]
pub(crate) struct Revoke {
    header: Option<Header>,
    form_key: String,
    token: Row,
}

impl Revoke {
    pub(crate) fn new(session: &PortalSession, token: &TokenRow) -> Self {
        let form_key = session.form_key.to_hex();
        Revoke { header: Header::new(session), form_key, token: Row::new(token) }
    }
}

pub(crate) fn answer(status: StatusCode, page: &impl Template) -> Response {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        Err(cause) => {
            error!(%cause, "a page cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "<!DOCTYPE html><title>Error</title>".to_owned())
        }
    };
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}
