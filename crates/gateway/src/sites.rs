//! The endpoints that are answered from the directory: commissioning, sites, devices, site tokens.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Response, StatusCode};
use serde_json::json;
use tracing::warn;
use wattline_directory::api::{Commission, DeviceChange, SiteChange, Violation};
use wattline_directory::{AuditEvent, CommissionError, MintSiteError, SITES_PAGE_MAX};

use crate::answer::Answer;
use crate::call::Call;
use crate::problem::{Problem, Thing, Unavailable};
use crate::{answer, body, clock};

/// How long the directory may take for one request.
const DIRECTORY_TIMEOUT: Duration = Duration::from_secs(8);
/// How long an answer waits until this gateway itself knows what it has just stored.
const CAUGHT_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// The sites of a page where the caller does not say.
pub const SITES_PAGE: u32 = 100;

pub(crate) async fn create_site_token(call: &Call<'_>) -> Answer {
    let (gateway, site_id, now_ms) = (call.gateway, call.site_id(), clock::now_ms());
    let minted =
        gateway.snapshot.mint_site_token(call.client, site_id, &gateway.settings.audience, now_ms / 1_000);
    let token = minted.map_err(|error| match error {
        MintSiteError::UnknownSite => Problem::Unknown(Thing::Site),
        MintSiteError::NoSigningKey | MintSiteError::Mint(_) => {
            warn!(cause = %error, "no site token was made");
            Problem::Unavailable(Unavailable::NoSigningKey)
        }
    })?;
    gateway.audit_log.note(AuditEvent::site_token_minted(
        now_ms,
        call.client.id.clone(),
        call.client.key_id,
        site_id,
        call.request_id.as_str(),
    ));
    Ok(answer::json(&json!({
        "site_access_token": token.expose(),
        "expires_at": token.expires_at().to_string(),
    })))
}

pub(crate) async fn commission(call: &Call<'_>, incoming: &mut Incoming) -> Answer {
    let commission = Commission::parse(&body(call, incoming).await?)?;
    let stored = call.gateway.directory.commission(call.client.index, &commission);
    let outcome = answered(async {
        match stored.await {
            Ok(()) => Ok(Ok(())),
            Err(CommissionError::Exists) => Ok(Err(Problem::Exists)),
            Err(CommissionError::Directory(cause)) => Err(cause),
        }
    });
    outcome.await??;
    catch_up(call).await;
    // There are no programs here to enroll in.
    Ok(answer::json(&json!({ "programs": [], "enrollment": null })))
}

pub(crate) async fn list_sites(call: &Call<'_>) -> Answer {
    let query = call.request.uri.query().unwrap_or_default();
    let skip = number(query, "skip", 0..=u32::MAX, 0, "must be a whole number from 0 to 4294967295")?;
    let limit =
        number(query, "limit", 1..=SITES_PAGE_MAX, SITES_PAGE, "must be a whole number from 1 to 1000")?;
    let sites = answered(call.gateway.directory.sites(call.client.index, skip, limit)).await?;
    Ok(answer::json(&sites))
}

pub(crate) async fn get_site(call: &Call<'_>) -> Answer {
    let site = answered(call.gateway.directory.site(call.client.index, call.site_id())).await?;
    found(site, Thing::Site)
}

pub(crate) async fn patch_site(call: &Call<'_>, incoming: &mut Incoming) -> Answer {
    let change = SiteChange::parse(&body(call, incoming).await?, call.site_id())?;
    let site = call.gateway.directory.patch_site(call.client.index, call.site_id(), change);
    found(answered(site).await?, Thing::Site)
}

pub(crate) async fn list_devices(call: &Call<'_>) -> Answer {
    let devices = answered(call.gateway.directory.devices(call.client.index, call.site_id())).await?;
    Ok(answer::json(&devices))
}

pub(crate) async fn get_device(call: &Call<'_>) -> Answer {
    let device = call.gateway.directory.device(call.client.index, call.site_id(), call.device_id());
    found(answered(device).await?, Thing::Device)
}

pub(crate) async fn patch_device(call: &Call<'_>, incoming: &mut Incoming) -> Answer {
    let (site_id, device_id) = (call.site_id(), call.device_id());
    let change = DeviceChange::parse(&body(call, incoming).await?, site_id, device_id)?;
    let device = call.gateway.directory.patch_device(call.client.index, site_id, device_id, change);
    let device = answered(device).await?;
    catch_up(call).await;
    found(device, Thing::Device)
}

pub(crate) async fn delete_device(call: &Call<'_>) -> Answer {
    let (site_id, device_id) = (call.site_id(), call.device_id());
    let deleted = call.gateway.directory.delete_site_device(call.client.index, site_id, device_id);
    if !answered(deleted).await? {
        return Err(Problem::Unknown(Thing::Device));
    }
    catch_up(call).await;
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

fn found(thing: Option<impl serde::Serialize>, what: Thing) -> Answer {
    thing.map(|thing| answer::json(&thing)).ok_or(Problem::Unknown(what))
}

/// The JSON body of a request.
async fn body(call: &Call<'_>, incoming: &mut Incoming) -> Result<Bytes, Problem> {
    let settings = &call.gateway.settings;
    let encoding = body::check_headers(&call.request.headers)?;
    let mut share = call.gateway.budget.share();
    let sent = body::read(incoming, settings, &mut share).await?;
    body::decompress(sent, encoding, settings, &mut share)
}

/// What the directory says, within its time.
async fn answered<T>(query: impl Future<Output = anyhow::Result<T>>) -> Result<T, Problem> {
    let cause = match tokio::time::timeout(DIRECTORY_TIMEOUT, query).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(cause)) => format!("{cause:#}"),
        Err(_) => format!("no answer in {} s", DIRECTORY_TIMEOUT.as_secs()),
    };
    warn!(cause, "the directory");
    Err(Problem::Unavailable(Unavailable::DirectorySilent))
}

/// Who has changed something finds it changed here: the next request may well build on it.
async fn catch_up(call: &Call<'_>) {
    if !call.gateway.snapshot.caught_up(CAUGHT_UP_TIMEOUT).await {
        warn!(request_id = %call.request_id, "answered before this gateway knew of the change");
    }
}

/// A number of the query, or what stands for it where it is not given.
fn number(
    query: &str,
    name: &str,
    range: std::ops::RangeInclusive<u32>,
    absent: u32,
    rule: &'static str,
) -> Result<u32, Problem> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut given = pairs.filter(|(key, _)| *key == name);
    let broken = |rule| Problem::Invalid(vec![Violation { path: name.to_owned(), rule }]);
    let Some((_, text)) = given.next() else { return Ok(absent) };
    if given.next().is_some() {
        return Err(broken("must not be given twice"));
    }
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| is_plain && range.contains(number)).ok_or_else(|| broken(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_given_in_plain_numbers() {
        let limit = |query| number(query, "limit", 1..=1_000, 100, "rule");
        assert_eq!(limit(""), Ok(100));
        assert_eq!(limit("skip=5"), Ok(100));
        assert_eq!(limit("skip=5&limit=1000"), Ok(1_000));
        for broken in
            ["limit", "limit=", "limit=0", "limit=1001", "limit=+5", "limit=5.0", "limit=99999999999"]
        {
            assert!(matches!(limit(broken), Err(Problem::Invalid(_))), "{broken}");
        }
        assert!(matches!(limit("limit=5&limit=5"), Err(Problem::Invalid(_))));
    }
}
