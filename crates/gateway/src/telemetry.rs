use std::cell::RefCell;
use std::time::Instant;

use hyper::body::Incoming;
use wattline_directory::ClientHandle;
use wattline_kafka::Appended;
use wattline_model::Kind;
use wattline_traces::Span;
use wattline_wire::record::Header;
use wattline_wire::{Bounds, Decoder};

use crate::answer::Answer;
use crate::batch::{Batch, Tally};
use crate::call::Call;
use crate::problem::{Problem, Unavailable};
use crate::server::{Gateway, Topic};
use crate::{answer, body, clock, metrics, trace};

thread_local! {
    /// One for each kind. It knows the order of the fields in the body before, and most bodies have the same.
    static DECODERS: RefCell<[Decoder; 2]> =
        RefCell::new([Kind::Battery, Kind::BatteryCounter].map(Decoder::new));
}

/// Takes one telemetry request. The cheap checks come first, and the body last.
pub(crate) async fn telemetry(call: &Call<'_>, kind: Kind, incoming: &mut Incoming) -> Answer {
    let Call { gateway, client, request_id, .. } = *call;
    let encoding = body::check_headers(&call.request.headers)?;
    available(gateway)?;

    let mut share = gateway.budget.share();
    let sent = body::read(incoming, &gateway.settings, &mut share).await?;
    metrics::body_read(kind, sent.len());
    let json = body::decompress(sent, encoding, &gateway.settings, &mut share)?;

    // The batch borrows from the body and cannot be kept over a wait, so the records are handed to the
    // joiner, which copies them, before this future waits again.
    let (outcomes, appending, sending) = {
        let received_at_ms = clock::now_ms();
        let header = Header { client_id: &client.id, request_id: request_id.as_str(), received_at_ms };
        let Topic { joiner, partitions } = gateway.topic(kind);
        let devices = gateway.snapshot.devices();
        let mut batch = Batch::new(kind, client, devices, &gateway.settings, *partitions, header, json.len());
        let bounds = bounds(gateway, received_at_ms);
        DECODERS.with_borrow_mut(|decoders| decoders[kind as usize].decode(&json, bounds, &mut batch))?;
        let encoded = batch.finish();
        limit_rate(gateway, client, encoded.outcomes.len())?;
        let records = encoded.records();
        let sending = call
            .trace
            .filter(|_| !records.is_empty())
            .map(|of| trace::send(of, joiner.topic(), records.len()));
        let traceparent = sending.as_ref().map(Span::traceparent);
        let appending = (!records.is_empty()).then(|| joiner.append(&records, traceparent.as_deref()));
        (encoded.outcomes, appending, sending)
    };
    // Kafka may take its time, and the body is not needed any more.
    drop(json);
    let appended = match appending {
        Some(appending) => appending.await,
        None => Appended::default(),
    };

    if let Some(sending) = sending {
        trace::sent(sending, &appended);
    }

    let tally = Tally::of(&outcomes, &appended);
    if let Some(of) = call.trace {
        trace::points(of, &tally);
    }
    metrics::points_answered(kind, &tally, &outcomes);
    if tally.ok == 0 && tally.unconfirmed > 0 {
        return Err(Problem::Unavailable(Unavailable::KafkaAway));
    }
    Ok(answer::array(&outcomes, &appended))
}

/// Whether it makes sense to read the body at all.
fn available(gateway: &Gateway) -> Result<(), Problem> {
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
