//! Traces, by OpenTelemetry: which requests are followed, their spans, and the way of the spans to a collector.
//!
//! Owns the sampling, the queue of ended spans and OTLP. It must not know HTTP servers, Kafka, points or sinks:
//! what a span is of is said by who begins it, and a trace comes in and goes out as a `traceparent`.

mod context;
mod export;
mod sampling;
mod span;

use std::time::Duration;

pub use export::{Exporting, describe_metrics};
pub use opentelemetry::KeyValue;
pub use opentelemetry::trace::{SpanContext, SpanKind, TraceId};
pub use span::{LINKS_MAX, Parent, Span, Traces};

/// Checked settings of the traces.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where OTLP over HTTP is taken, without the path: `http://127.0.0.1:4318`.
    pub endpoint: String,
    /// The share of requests that begin a trace, from 0 to 1.
    pub sample_ratio: f64,
    /// How many requests a second are traced because their caller says so.
    pub incoming_per_s: u32,
    /// An export that takes longer has failed.
    pub timeout: Duration,
    /// Spans that wait for their export; more are dropped.
    pub queue_spans_max: usize,
    pub service: &'static str,
    pub version: &'static str,
}

/// Spans are exported from now on, by a task of the runtime that this is called on.
pub fn start(settings: &Settings) -> anyhow::Result<(Traces, Exporting)> {
    let (provider, exporting) = export::start(settings)?;
    Ok((Traces::new(settings, &provider), exporting))
}
