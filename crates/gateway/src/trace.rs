//! The spans of a request that is sampled, by the semantic conventions of HTTP and messaging.

use hyper::StatusCode;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use wattline_auth::policy::{Matched, NoRoute};
use wattline_kafka::Appended;
use wattline_traces::{KeyValue, Span, SpanKind, Traces};

use crate::batch::Tally;
use crate::request_id::RequestId;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What a span says of a path that may be anything.
const PATH_BYTES_MAX: usize = 256;

/// The span of a request, where it is sampled.
pub(crate) fn begin(
    traces: &Traces,
    request: &Parts,
    route: &Result<Matched<'_>, NoRoute>,
    request_id: &RequestId,
    scheme: &'static str,
) -> Option<Span> {
    let parent = traces.sample(request.headers.get(TRACEPARENT).map(|value| value.as_bytes()))?;
    let method = method(request);
    let path = request.uri.path();
    let mut attributes = vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("url.scheme", scheme),
        KeyValue::new("url.path", path.get(..PATH_BYTES_MAX).unwrap_or(path).to_owned()),
        KeyValue::new("wattline.request_id", request_id.as_str().to_owned()),
    ];
    let name = match route {
        Ok(matched) => {
            attributes.push(KeyValue::new("http.route", matched.endpoint.template));
            format!("{method} {}", matched.endpoint.template)
        }
        Err(_) => method.to_owned(),
    };
    Some(traces.begin(parent, SpanKind::Server, name, attributes))
}

/// The conventions know these, and nobody shall make up others.
fn method(request: &Parts) -> &'static str {
    const KNOWN: [&str; 8] = ["GET", "POST", "PATCH", "DELETE", "HEAD", "PUT", "OPTIONS", "TRACE"];
    KNOWN.into_iter().find(|known| *known == request.method.as_str()).unwrap_or("_OTHER")
}

/// A span of the log, which gives its lines the id of the trace; none for a request that is not traced.
pub(crate) fn log(trace: Option<&Span>) -> tracing::Span {
    match trace {
        None => tracing::Span::none(),
        // At the highest level, so that lines of every level have it.
        Some(trace) => tracing::error_span!("request", trace_id = %trace.trace_id()),
    }
}

pub(crate) fn admitted(trace: &Span, client_id: &str) {
    trace.set([KeyValue::new("wattline.client_id", client_id.to_owned())]);
}

/// The span of handing records to Kafka. Its context is what they carry.
pub(crate) fn send(trace: &Span, topic: &str, records: usize) -> Span {
    let attributes = vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.type", "send"),
        KeyValue::new("messaging.operation.name", "send"),
        KeyValue::new("messaging.destination.name", topic.to_owned()),
        KeyValue::new("messaging.batch.message_count", records as i64),
    ];
    trace.child(SpanKind::Producer, format!("send {topic}"), attributes)
}

pub(crate) fn sent(sending: Span, appended: &Appended) {
    if !appended.unconfirmed.is_empty() {
        sending.fail("not confirmed by Kafka");
    }
}

pub(crate) fn points(trace: &Span, tally: &Tally) {
    trace.set([
        KeyValue::new("wattline.points.accepted", tally.ok as i64),
        KeyValue::new("wattline.points.rejected", tally.failed as i64),
        KeyValue::new("wattline.points.unconfirmed", tally.unconfirmed as i64),
    ]);
}

pub(crate) fn answered(trace: &Span, status: StatusCode) {
    trace.set([KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
    if status.is_server_error() {
        trace.set([KeyValue::new("error.type", status.as_str().to_owned())]);
        trace.fail("");
    }
}
