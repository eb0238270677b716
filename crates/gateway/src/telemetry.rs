use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;
use wattline_directory::ClientHandle;
use wattline_kafka::Appended;
use wattline_model::Kind;
use wattline_wire::record::Header;
use wattline_wire::{Bounds, Decoder};

use crate::batch::{Batch, Tally};
use crate::problem::{Problem, Unavailable};
use crate::request_id::RequestId;
use crate::server::Gateway;
use crate::{answer, body, clock, metrics};

/// Takes one telemetry request. The cheap checks come first, and the body last.
pub(crate) async fn telemetry(
    gateway: &Gateway,
    kind: Kind,
    request: &Parts,
    incoming: &mut Incoming,
    request_id: &RequestId,
) -> Result<Response<Full<Bytes>>, Problem> {
    let client = authenticate(gateway, request)?;
    let encoding = body::check_headers(&request.headers)?;
    available(gateway)?;

    let mut share = gateway.budget.share();
    let sent = body::read(incoming, &gateway.settings, &mut share).await?;
    metrics::body_read(kind, sent.len());
    let json = body::decompress(sent, encoding, &gateway.settings, &mut share)?;

    // The batch borrows from the body and cannot be kept over a wait, so the records are handed to the
    // producer, which copies them, before this future waits again.
    let (outcomes, appending) = {
        let received_at_ms = clock::now_ms();
        let header = Header { client_id: &client.id, request_id: request_id.as_str(), received_at_ms };
        let partitions = gateway.partitions(kind);
        let mut batch =
            Batch::new(kind, &client, gateway.snapshot.devices(), &gateway.settings, partitions, header);
        Decoder::new(kind)
            .decode(&json, bounds(gateway, received_at_ms), &mut batch)
            .map_err(Problem::Body)?;
        limit_rate(gateway, &client, batch.outcomes().len())?;
        let appending = batch
            .has_records()
            .then(|| gateway.producer.append(gateway.settings.topic(kind), &batch.records()));
        (batch.into_outcomes(), appending)
    };
    let appended = match appending {
        Some(appending) => appending.await,
        None => Appended::default(),
    };

    let tally = Tally::of(&outcomes, &appended);
    metrics::points_answered(kind, &tally, &outcomes);
    if tally.ok == 0 && tally.unconfirmed > 0 {
        return Err(Problem::Unavailable(Unavailable::KafkaAway));
    }
    Ok(answer::array(&outcomes, &appended))
}

/// The client that the request's one bearer token belongs to.
fn authenticate(gateway: &Gateway, request: &Parts) -> Result<ClientHandle, Problem> {
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
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Problem::InvalidToken);
    }
    if !gateway.snapshot.is_fresh() {
        return Err(Problem::Unavailable(Unavailable::DirectoryAway));
    }
    let client = gateway.snapshot.authenticate(token.trim()).map_err(|_| Problem::InvalidToken)?;
    gateway.uses.note(client.key_id, clock::now_ms() / 1_000);
    Ok(client)
}

/// Whether it makes sense to read the body at all.
fn available(gateway: &Gateway) -> Result<(), Problem> {
    if gateway.is_draining() {
        return Err(Problem::Unavailable(Unavailable::Draining));
    }
    let health = gateway.producer.health();
    if health.is_fatal() || health.stalled_for() > gateway.settings.stall_max {
        return Err(Problem::Unavailable(Unavailable::KafkaAway));
    }
    Ok(())
}

fn bounds(gateway: &Gateway, now_ms: i64) -> Bounds {
    Bounds {
        oldest_ms: now_ms - gateway.settings.past_max_ms,
        newest_ms: now_ms + gateway.settings.future_max_ms,
    }
}

fn limit_rate(gateway: &Gateway, client: &ClientHandle, points: usize) -> Result<(), Problem> {
    let Some(rates) = &gateway.rates else { return Ok(()) };
    rates
        .take(client.index, points, Instant::now())
        .map_err(|retry_after_s| Problem::RateLimited { retry_after_s })
}

/// Whether the caller wants its own request id repeated.
pub(crate) fn request_id(headers: &HeaderMap, gateway: &Gateway) -> RequestId {
    RequestId::new(headers.get(crate::request_id::HEADER), &gateway.request_ids)
}
