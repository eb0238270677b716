use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use wattline_auth::policy::{Forbidden, Matched};
use wattline_directory::{AuditEvent, ClientHandle, Identity, Refusal};
use wattline_traces::Span;

use crate::problem::{Problem, Unavailable};
use crate::request_id::RequestId;
use crate::server::Gateway;
use crate::{clock, metrics};

/// A request that its caller may make.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub gateway: &'a Gateway,
    pub request: &'a Parts,
    pub matched: &'a Matched<'a>,
    pub client: &'a ClientHandle,
    pub request_id: &'a RequestId,
    /// Its span, where it is traced.
    pub trace: Option<&'a Span>,
}

impl Call<'_> {
    /// The site of the path; every endpoint that asks has one.
    pub(crate) fn site_id(&self) -> &str {
        self.matched.site_id().unwrap_or_default()
    }

    pub(crate) fn device_id(&self) -> &str {
        self.matched.device_id().unwrap_or_default()
    }
}

/// Who sent the request, where its one bearer token is valid and opens this row of the policy. A denial goes to
/// the audit trail.
pub(crate) fn admit(
    gateway: &Gateway,
    request: &Parts,
    matched: &Matched<'_>,
    request_id: &RequestId,
) -> Result<Identity, Problem> {
    let now_ms = clock::now_ms();
    let token = bearer_token(request).inspect_err(|problem| {
        let reason = match problem {
            Problem::NoCredentials => "no_credentials",
            Problem::TwoCredentials => "two_credentials",
            _ => "malformed_token",
        };
        metrics::denied(reason);
    })?;
    if !gateway.snapshot.is_fresh() {
        return Err(Problem::Unavailable(Unavailable::DirectoryAway));
    }
    let deny = |reason, client, key_id| {
        metrics::denied(reason);
        let site_id = matched.site_id();
        gateway.audit_log.note(AuditEvent::denied(
            now_ms,
            reason,
            client,
            key_id,
            site_id,
            request_id.as_str(),
        ));
    };
    let identity = gateway.snapshot.identify(token, &gateway.settings.audience, now_ms / 1_000).map_err(
        |Refusal { reason, key_id, client }| {
            deny(reason, client, key_id);
            Problem::InvalidToken
        },
    )?;
    matched.authorise(identity.caller()).map_err(|forbidden| {
        let ClientHandle { id, key_id, .. } = identity.client();
        deny(forbidden.name(), Some(id.clone()), Some(*key_id));
        match forbidden {
            Forbidden::WrongKind => Problem::WrongKind,
            Forbidden::OtherSite => Problem::OtherSite,
        }
    })?;
    // A site token is not a use of the client token that it was made with.
    if let Identity::Client(client) = &identity {
        gateway.uses.note(client.key_id, now_ms / 1_000);
    }
    Ok(identity)
}

/// The one token that a request carries.
fn bearer_token(request: &Parts) -> Result<&str, Problem> {
    let in_query = request.uri.query().is_some_and(|query| {
        query.split('&').any(|pair| pair.split('=').next().is_some_and(|name| name == "access_token"))
    });
    let mut given = request.headers.get_all(AUTHORIZATION).iter();
    let first = given.next();
    if in_query || given.next().is_some() {
        return Err(Problem::TwoCredentials);
    }
    let Some(first) = first else { return Err(Problem::NoCredentials) };
    let (scheme, token) = first.to_str().ok().and_then(|value| value.split_once(' ')).unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(Problem::InvalidToken) }
}
