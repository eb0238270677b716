//! Coming in by a link, and going out.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tracing::info;
use wattline_auth::InviteSecret;

use crate::failure::Failure;
use crate::form::{self, Keyed, Posted, PostedBefore};
use crate::page::{self, Message, SignIn};
use crate::server::Portal;
use crate::{cookie, metrics};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// The link itself. It moves its secret out of the address and leads to the button. It uses nothing up, so that
/// a mail scanner or a preview may look at it.
pub(crate) async fn open(State(portal): State<Arc<Portal>>, Path(secret): Path<String>) -> Response {
    match InviteSecret::parse(&secret) {
        Some(secret) => {
            let cookie = cookie::set_invite(&portal.settings.public_url, &secret);
            ([(SET_COOKIE, cookie)], Redirect::to("/sign-in")).into_response()
        }
        None => Failure::LinkOver.into_response(),
    }
}

/// The page with the button.
pub(crate) async fn ask(State(portal): State<Arc<Portal>>, headers: HeaderMap) -> Result<Response, Failure> {
    let Some(secret) = cookie::invite(&portal.settings.public_url, &headers) else {
        let sentence = "To sign in, open the link that you were sent. Whoever runs this portal gives them out. \
                        The portal needs cookies.";
        return Ok(page::answer(StatusCode::OK, &Message { header: None, title: "Sign in", sentence }));
    };
    match portal.directory.portal_guest(&secret, &portal.pepper).await? {
        Some(guest) => Ok(page::answer(StatusCode::OK, &SignIn::new(&guest))),
        None => Ok(link_over(&portal)),
    }
}

/// The button: it uses the link up and begins a session.
pub(crate) async fn sign_in(
    State(portal): State<Arc<Portal>>,
    _: PostedBefore,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let url = &portal.settings.public_url;
    let Some(secret) = cookie::invite(url, &headers) else { return Err(Failure::LinkOver) };
    // Whoever signs in anew has no use for the session from before.
    let before = form::session(&headers, &portal).await?;
    let session_time = portal.settings.session_time;
    let signed_in = portal.directory.sign_in_to_portal(&secret, session_time, &portal.pepper).await?;
    let Some((secret, session)) = signed_in else {
        metrics::sign_in_refused();
        return Ok(link_over(&portal));
    };
    if let Some(before) = before {
        portal.directory.sign_out_of_portal(&before).await?;
    }
    metrics::signed_in();
    info!(client = session.client, session = %session.id, "signed in");
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().append(SET_COOKIE, cookie::set_session(url, &secret, session_time));
    response.headers_mut().append(SET_COOKIE, cookie::clear_invite(url));
    Ok(response)
}

fn link_over(portal: &Portal) -> Response {
    let cookie = cookie::clear_invite(&portal.settings.public_url);
    ([(SET_COOKIE, cookie)], Failure::LinkOver).into_response()
}

#[derive(Deserialize)]
pub(crate) struct SignOutForm {
    form_key: String,
}

impl Keyed for SignOutForm {
    fn form_key(&self) -> &str {
        &self.form_key
    }
}

/// Ends the session, for every portal, and has the browser forget the pages.
pub(crate) async fn sign_out(
    State(portal): State<Arc<Portal>>,
    posted: Posted<SignOutForm>,
) -> Result<Response, Failure> {
    portal.directory.sign_out_of_portal(&posted.session).await?;
    info!(client = posted.session.client, session = %posted.session.id, "signed out");
    let sentence = "You are signed out. To come back, ask for a new sign-in link.";
    let mut response = page::answer(StatusCode::OK, &Message { header: None, title: "Signed out", sentence });
    let headers = response.headers_mut();
    headers.append(SET_COOKIE, cookie::clear_session(&portal.settings.public_url));
    headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cache\""));
    Ok(response)
}
