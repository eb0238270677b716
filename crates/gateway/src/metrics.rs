use std::cell::RefCell;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use wattline_model::Kind;

use crate::batch::{Outcome, Tally};

/// Gives each metric of the gateway its help text and its unit.
pub fn describe_metrics() {
    describe_counter!("wattline_gateway_requests_total", "Requests by endpoint and status.");
    describe_histogram!(
        "wattline_gateway_request_seconds",
        Unit::Seconds,
        "From the headers to the answer, by endpoint."
    );
    describe_counter!(
        "wattline_gateway_points_total",
        "Data points by kind and outcome: ok, unconfirmed, failed."
    );
    describe_counter!(
        "wattline_gateway_points_failed_total",
        "Data points refused, by kind and the rule they break."
    );
    describe_counter!("wattline_gateway_body_bytes_total", Unit::Bytes, "Bytes of bodies as sent.");
    describe_counter!("wattline_gateway_denials_total", "Requests refused for their credentials, by reason.");
    describe_counter!(
        "wattline_gateway_forwarded_total",
        "Requests handed on to services beside this one, by upstream and the status of the answer."
    );
    describe_gauge!("wattline_gateway_in_flight_requests", "Requests under way.");
    describe_gauge!(
        "wattline_gateway_in_flight_bytes",
        Unit::Bytes,
        "Bytes of bodies under way, decompressed ones included."
    );
    describe_gauge!(
        "wattline_gateway_in_flight_bytes_max",
        Unit::Bytes,
        "The bound of the bytes of bodies under way: above it requests are answered 503."
    );
    describe_gauge!("wattline_gateway_connections", "Open connections.");
    describe_gauge!("wattline_gateway_connections_max", "The bound of open connections.");
    describe_counter!(
        "wattline_gateway_tls_handshakes_total",
        "TLS handshakes by outcome: ok, failed, closed, timed_out."
    );
    describe_counter!(
        "wattline_gateway_tls_reloads_total",
        "New TLS certificates by outcome: ok, or failed where the one before stays."
    );
    describe_gauge!(
        "wattline_gateway_tls_certificate_expiry_timestamp_seconds",
        Unit::Seconds,
        "When the TLS certificate that is served expires, in seconds since 1970."
    );
    describe_gauge!(
        "wattline_directory_age_seconds",
        Unit::Seconds,
        "How long ago the directory was last read."
    );
    describe_gauge!("wattline_directory_devices", "Devices in the live snapshot of the directory.");
    describe_gauge!("wattline_directory_tokens", "Tokens in the live snapshot of the directory.");
    describe_counter!(
        "wattline_directory_audit_events_dropped_total",
        "Events of which the audit trail has the number only, by what they are of."
    );
}

pub(crate) fn audit_events_dropped(totals: [(&'static str, u64); 3]) {
    for (of, total) in totals {
        counter!("wattline_directory_audit_events_dropped_total", "of" => of).absolute(total);
    }
}

pub(crate) fn connection_opened() {
    gauge!("wattline_gateway_connections").increment(1.0);
}

pub(crate) fn connection_closed() {
    gauge!("wattline_gateway_connections").decrement(1.0);
}

pub(crate) fn tls_handshake_ended(outcome: &'static str) {
    counter!("wattline_gateway_tls_handshakes_total", "outcome" => outcome).increment(1);
}

pub(crate) fn tls_reloaded(outcome: &'static str) {
    counter!("wattline_gateway_tls_reloads_total", "outcome" => outcome).increment(1);
}

pub(crate) fn tls_certificate_expires(at_s: i64) {
    gauge!("wattline_gateway_tls_certificate_expiry_timestamp_seconds").set(at_s as f64);
}

pub(crate) fn bounds(in_flight_bytes_max: usize, connections_max: usize) {
    gauge!("wattline_gateway_in_flight_bytes_max").set(in_flight_bytes_max as f64);
    gauge!("wattline_gateway_connections_max").set(connections_max as f64);
}

/// The handles of a metric by the values of its labels. Every request counts, and to look a handle up by the names
/// of a metric and its labels costs far more than counting does.
struct Known<H>(Vec<([&'static str; 2], H)>);

impl<H> Known<H> {
    fn get(&mut self, labels: [&'static str; 2], look_up: impl FnOnce() -> H) -> &H {
        let at = self.0.iter().position(|(known, _)| *known == labels).unwrap_or_else(|| {
            self.0.push((labels, look_up()));
            self.0.len() - 1
        });
        &self.0[at].1
    }
}

/// What a thread has counted. All labels are of small fixed sets.
struct OfThread {
    requests: Known<Counter>,
    request_seconds: Known<Histogram>,
    body_bytes: Known<Counter>,
    points: Known<Counter>,
}

thread_local! {
    static OF_THREAD: RefCell<OfThread> = const {
        RefCell::new(OfThread {
            requests: Known(Vec::new()),
            request_seconds: Known(Vec::new()),
            body_bytes: Known(Vec::new()),
            points: Known(Vec::new()),
        })
    };
}

static IN_FLIGHT_REQUESTS: LazyLock<Gauge> = LazyLock::new(|| gauge!("wattline_gateway_in_flight_requests"));

/// A request that is under way for as long as this lives: one whose client goes away is dropped unanswered.
pub(crate) struct UnderWay;

impl Drop for UnderWay {
    fn drop(&mut self) {
        IN_FLIGHT_REQUESTS.decrement(1.0);
    }
}

pub(crate) fn request_began() -> UnderWay {
    IN_FLIGHT_REQUESTS.increment(1.0);
    UnderWay
}

pub(crate) fn request_answered(endpoint: &'static str, status: StatusCode, took: Duration) {
    let status = status_label(status);
    OF_THREAD.with_borrow_mut(|known| {
        let requests = known.requests.get(
            [endpoint, status],
            || counter!("wattline_gateway_requests_total", "endpoint" => endpoint, "status" => status),
        );
        requests.increment(1);
        let seconds = known
            .request_seconds
            .get([endpoint, ""], || histogram!("wattline_gateway_request_seconds", "endpoint" => endpoint));
        seconds.record(took.as_secs_f64());
    });
}

pub(crate) fn denied(reason: &'static str) {
    counter!("wattline_gateway_denials_total", "reason" => reason).increment(1);
}

/// The status is the service's own; `none` where there was no answer.
pub(crate) fn forwarded(upstream: &'static str, status: Option<StatusCode>) {
    let status = status.map_or("none", status_class);
    counter!("wattline_gateway_forwarded_total", "upstream" => upstream, "status" => status).increment(1);
}

pub(crate) fn body_read(kind: Kind, bytes: usize) {
    OF_THREAD.with_borrow_mut(|known| {
        let body_bytes = known
            .body_bytes
            .get([kind.name(), ""], || counter!("wattline_gateway_body_bytes_total", "kind" => kind.name()));
        body_bytes.increment(bytes as u64);
    });
}

pub(crate) fn points_answered(kind: Kind, tally: &Tally, outcomes: &[Outcome]) {
    OF_THREAD.with_borrow_mut(|known| {
        for (outcome, count) in
            [("ok", tally.ok), ("unconfirmed", tally.unconfirmed), ("failed", tally.failed)]
        {
            let points = known.points.get(
                [kind.name(), outcome],
                || counter!("wattline_gateway_points_total", "kind" => kind.name(), "outcome" => outcome),
            );
            points.increment(count);
        }
    });
    if tally.failed == 0 {
        return;
    }
    for outcome in outcomes {
        let reason = match outcome {
            Outcome::Accepted { .. } => continue,
            Outcome::Invalid(invalid) => invalid.rule.name(),
            Outcome::UnknownDevice => "unknown_device",
            Outcome::NotABattery => "not_a_battery",
        };
        counter!("wattline_gateway_points_failed_total", "kind" => kind.name(), "reason" => reason)
            .increment(1);
    }
}

/// The statuses are the ones of the answer table, so the label is bounded.
fn status_label(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200 => "200",
        204 => "204",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        431 => "431",
        501 => "501",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}

fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() {
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        _ => "5xx",
    }
}
