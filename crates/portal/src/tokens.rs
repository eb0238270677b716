//! The client's tokens: their list, a new one, and the end of one.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use tracing::info;
use wattline_auth::{ClientToken, KeyId};
use wattline_directory::{
    PORTAL_ACTIVE_TOKENS_MAX, PORTAL_TOKENS_A_DAY_MAX, PortalSession, PortalTokenError,
};

use crate::failure::Failure;
use crate::form::{Keyed, Posted, SignedIn};
use crate::page::{self, CreateForm, Created, Revoke, Tokens};
use crate::server::Portal;

/// What a redirect to the list has to say.
#[derive(Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    revoked: String,
}

pub(crate) async fn list(
    State(portal): State<Arc<Portal>>,
    SignedIn(session): SignedIn,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let revoked: Option<KeyId> = query.ok().and_then(|Query(query)| query.revoked.parse().ok());
    list_page(&portal, &session, StatusCode::OK, revoked, CreateForm::default()).await
}

async fn list_page(
    portal: &Portal,
    session: &PortalSession,
    status: StatusCode,
    revoked: Option<KeyId>,
    form: CreateForm,
) -> Result<Response, Failure> {
    let tokens = portal.directory.portal_tokens(session).await?;
    // The address is anybody's to write; the list says what is so.
    let revoked = tokens.iter().find(|token| Some(token.key_id) == revoked && !token.is_active());
    Ok(page::answer(status, &Tokens::new(session, &tokens, revoked, form)))
}

#[derive(Deserialize)]
pub(crate) struct CreateTokenForm {
    form_key: String,
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Live,
    Test,
}

impl Keyed for CreateTokenForm {
    fn form_key(&self) -> &str {
        &self.form_key
    }
}

/// The one page that has the token is the answer to this form.
pub(crate) async fn create(
    State(portal): State<Arc<Portal>>,
    posted: Posted<CreateTokenForm>,
) -> Result<Response, Failure> {
    let Posted { session, form } = posted;
    let name = form.name.trim();
    let live = form.kind == Kind::Live;
    let refused = |error: String| CreateForm { name: name.to_owned(), is_test: !live, error: Some(error) };
    if name.is_empty() {
        let form = refused("Give the token a name, by which you will know it in the list.".into());
        return list_page(&portal, &session, StatusCode::UNPROCESSABLE_ENTITY, None, form).await;
    }
    // Somebody pasted what they had just copied. It must not be kept as a name, nor be shown again.
    if name.split_whitespace().any(|word| ClientToken::parse(word).is_ok()) {
        let form = CreateForm { name: String::new(), ..refused("That is a token and no name.".into()) };
        return list_page(&portal, &session, StatusCode::UNPROCESSABLE_ENTITY, None, form).await;
    }
    let token = match portal.directory.create_portal_token(&session, name, live, &portal.pepper).await {
        Ok(token) => token,
        Err(PortalTokenError::Directory(cause)) => return Err(cause.into()),
        Err(refusal) => {
            let (status, error) = match refusal {
                PortalTokenError::TooManyActive => (
                    StatusCode::CONFLICT,
                    format!(
                        "You have {PORTAL_ACTIVE_TOKENS_MAX} active tokens already. Revoke one that is not used."
                    ),
                ),
                PortalTokenError::TooManyToday => (
                    StatusCode::TOO_MANY_REQUESTS,
                    format!(
                        "{PORTAL_TOKENS_A_DAY_MAX} tokens were created within a day already. Try again tomorrow."
                    ),
                ),
                PortalTokenError::Name(rule) => {
                    (StatusCode::UNPROCESSABLE_ENTITY, format!("The name {rule}."))
                }
                PortalTokenError::Directory(_) => unreachable!("it was returned above"),
            };
            return list_page(&portal, &session, status, None, refused(error)).await;
        }
    };
    info!(client = session.client, session = %session.id, key_id = %token.key_id(), "token created");
    Ok(page::answer(StatusCode::CREATED, &Created::new(&session, name, &token)))
}

/// Asks whether it is meant.
pub(crate) async fn confirm(
    State(portal): State<Arc<Portal>>,
    SignedIn(session): SignedIn,
    Path(key_id): Path<String>,
) -> Result<Response, Failure> {
    let key_id = key_id.parse().map_err(|_| Failure::UnknownToken)?;
    let token = portal.directory.portal_token(&session, key_id).await?;
    let token = token.filter(|token| token.is_active()).ok_or(Failure::UnknownToken)?;
    Ok(page::answer(StatusCode::OK, &Revoke::new(&session, &token)))
}

#[derive(Deserialize)]
pub(crate) struct RevokeForm {
    form_key: String,
}

impl Keyed for RevokeForm {
    fn form_key(&self) -> &str {
        &self.form_key
    }
}

pub(crate) async fn revoke(
    State(portal): State<Arc<Portal>>,
    Path(key_id): Path<String>,
    posted: Posted<RevokeForm>,
) -> Result<Response, Failure> {
    let session = posted.session;
    let key_id: KeyId = key_id.parse().map_err(|_| Failure::UnknownToken)?;
    if !portal.directory.revoke_portal_token(&session, key_id).await? {
        return Err(Failure::UnknownToken);
    }
    info!(client = session.client, session = %session.id, %key_id, "token revoked");
    Ok(Redirect::to(&format!("/?revoked={key_id}")).into_response())
}
