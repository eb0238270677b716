//! Who sent a request, and whether they meant to.
//!
//! A form changes something only where three things hold: the browser says that a page of the portal sent it,
//! the session's cookie came along, and the form has the key of that session.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::{HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use serde::de::DeserializeOwned;
use wattline_directory::PortalSession;

use crate::cookie;
use crate::failure::Failure;
use crate::public_url::PublicUrl;
use crate::server::Portal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The session of whoever asks for a page. Without one they are led to where to sign in.
pub(crate) struct SignedIn(pub(crate) PortalSession);

/// A form of the session's own.
pub(crate) struct Posted<F> {
    pub(crate) session: PortalSession,
    pub(crate) form: F,
}

/// A form of somebody who is not signed in yet. It has no fields: what it needs is in a cookie.
pub(crate) struct PostedBefore;

pub(crate) trait Keyed: DeserializeOwned {
    /// The session's form key, as it was sent.
    fn form_key(&self) -> &str;
}

impl FromRequestParts<Arc<Portal>> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Response> {
        match session(&parts.headers, portal).await {
            Ok(Some(session)) => Ok(SignedIn(session)),
            Ok(None) => Err(Redirect::to("/sign-in").into_response()),
            Err(failure) => Err(failure.into_response()),
        }
    }
}

impl<F: Keyed> FromRequest<Arc<Portal>> for Posted<F> {
    type Rejection = Failure;

    async fn from_request(request: Request, portal: &Arc<Portal>) -> Result<Self, Failure> {
        check_site(request.headers(), &portal.settings.public_url)?;
        let session = session(request.headers(), portal).await?.ok_or(Failure::SessionOver)?;
        let form = axum::Form::<F>::from_request(request, portal).await;
        let axum::Form(form) = form.map_err(|rejection| Failure::BadForm(rejection.status()))?;
        if !session.form_key.is(form.form_key()) {
            return Err(Failure::ForeignForm);
        }
        Ok(Posted { session, form })
    }
}

impl FromRequestParts<Arc<Portal>> for PostedBefore {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, portal: &Arc<Portal>) -> Result<Self, Failure> {
        check_site(&parts.headers, &portal.settings.public_url)?;
        Ok(PostedBefore)
    }
}

/// The session that the cookie of a request stands for.
pub(crate) async fn session(headers: &HeaderMap, portal: &Portal) -> Result<Option<PortalSession>, Failure> {
    let Some(secret) = cookie::session(&portal.settings.public_url, headers) else { return Ok(None) };
    Ok(portal.directory.portal_session(&secret, &portal.pepper).await?)
}

/// Refuses what does not come from a page of the portal, as far as the browser says.
///
/// The portal's pages have the referrer policy `no-referrer`, and with it a browser sends `Origin: null` with
/// their own forms too. What tells them from a sandboxed frame of somebody else is `Sec-Fetch-Site`, which no
/// script can set. One of the two has to say where the form is from, and none may say otherwise.
fn check_site(headers: &HeaderMap, url: &PublicUrl) -> Result<(), Failure> {
    let values = |name: HeaderName| headers.get_all(name).iter().map(|value| value.as_bytes());
    let mut sites = values(SEC_FETCH_SITE);
    let mut origins = values(ORIGIN);
    let is_own = match (sites.next(), origins.next()) {
        (Some(site), None | Some(b"null")) => site == b"same-origin",
        (Some(site), Some(origin)) => site == b"same-origin" && origin == url.origin().as_bytes(),
        (None, origin) => origin == Some(url.origin().as_bytes()),
    };
    if is_own && sites.next().is_none() && origins.next().is_none() {
        Ok(())
    } else {
        Err(Failure::ForeignForm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_portals_own_pages_may_send_forms() {
        let url: PublicUrl = "https://portal.example.com".parse().expect("a public URL");
        let own = "https://portal.example.com";
        let is_taken = |sites: &[&str], origins: &[&str]| {
            let mut headers = HeaderMap::new();
            for (name, values) in [(SEC_FETCH_SITE, sites), (ORIGIN, origins)] {
                for value in values {
                    headers.append(&name, value.parse().expect("a header"));
                }
            }
            check_site(&headers, &url).is_ok()
        };
        assert!(is_taken(&["same-origin"], &["null"]));
        assert!(is_taken(&["same-origin"], &[own]));
        assert!(is_taken(&["same-origin"], &[]));
        assert!(is_taken(&[], &[own]), "a browser that does not know Sec-Fetch-Site");
        assert!(!is_taken(&[], &[]) && !is_taken(&[], &["null"]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(!is_taken(&[site], &[own]) && !is_taken(&[site], &["null"]), "{site}");
        }
        for origin in
            ["https://example.com", "http://portal.example.com", "https://portal.example.com:8443", ""]
        {
            assert!(!is_taken(&["same-origin"], &[origin]) && !is_taken(&[], &[origin]), "{origin}");
        }
        assert!(!is_taken(&["same-origin", "cross-site"], &[own]) && !is_taken(&[], &[own, own]));
    }
}
