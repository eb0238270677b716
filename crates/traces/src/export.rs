//! The way of ended spans to the collector: a queue with a bound, and a task that empties it. Nothing waits for either.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use metrics::{counter, describe_counter};
use opentelemetry::trace::SpanId;
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    IdGenerator as _, RandomIdGenerator, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter as _,
    SpanProcessor,
};
use rustls::crypto::ring;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::{info, warn};

use crate::Settings;

/// Spans of one export.
const BATCH_MAX: usize = 512;
/// How long spans gather before they are exported.
const GATHER: Duration = Duration::from_millis(200);
/// What is left at the end has so long to be exported.
const LAST_MAX: Duration = Duration::from_secs(5);
/// A collector that is away is told of once in this time.
const WARN_EVERY: Duration = Duration::from_secs(60);

const SPANS: &str = "wattline_traces_spans_total";

/// Gives the metric of the traces its help text.
pub fn describe_metrics() {
    describe_counter!(SPANS, "Spans of sampled requests by outcome: exported, failed, queue_full.");
}

pub(crate) fn start(settings: &Settings) -> anyhow::Result<(SdkTracerProvider, Exporting)> {
    let Settings { endpoint, service, version, .. } = settings;
    ensure!(settings.queue_spans_max > 0, "a queue has room for one span at least");
    let instance = RandomIdGenerator::default().new_span_id();
    let resource = resource(service, version, instance);
    let mut exporter = exporter(settings).with_context(|| format!("traces to {endpoint}"))?;
    exporter.set_resource(&resource);
    let (ended, spans) = mpsc::channel(settings.queue_spans_max);
    let provider = SdkTracerProvider::builder()
        // Who is asked for a span has decided already.
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(crate::LINKS_MAX as u32)
        .with_span_processor(Queue { ended })
        .with_resource(resource)
        .build();
    let (stop, stopped) = oneshot::channel();
    let task = Task { endpoint: endpoint.clone(), exporter, spans, told: None };
    info!(%endpoint, %instance, "traces");
    Ok((provider, Exporting { stop, task: tokio::spawn(task.run(stopped)) }))
}

fn resource(service: &'static str, version: &'static str, instance: SpanId) -> Resource {
    // The builder with defaults would read the environment.
    Resource::builder_empty()
        .with_service_name(service)
        .with_attributes([
            KeyValue::new("service.version", version),
            KeyValue::new("service.instance.id", instance.to_string()),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
        ])
        .build()
}

fn exporter(settings: &Settings) -> anyhow::Result<SpanExporter> {
    let Settings { endpoint, timeout, .. } = settings;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let builder = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .with_timeout(*timeout);
    let builder = match endpoint.starts_with("https://") {
        true => builder.with_http_client(HyperClient::new(secured(tcp)?, *timeout, None)),
        false => builder.with_http_client(HyperClient::new(tcp, *timeout, None)),
    };
    Ok(builder.build()?)
}

/// The collector is known by the authorities that the operating system trusts.
fn secured(tcp: HttpConnector) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let builder = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(ring::default_provider())
        .context("the certificates of the operating system's authorities cannot be read")?;
    Ok(builder.https_only().enable_http1().wrap_connector(tcp))
}

/// Takes spans as they end.
#[derive(Debug)]
struct Queue {
    ended: mpsc::Sender<SpanData>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.ended.try_send(span).is_err() {
            counter!(SPANS, "outcome" => "queue_full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// The task that exports spans.
#[derive(Debug)]
pub struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporting {
    /// Exports what has ended, and gives up what takes too long.
    pub async fn finish(self) {
        let Exporting { stop, mut task } = self;
        // An error says that the task is gone, which is seen next.
        let _ = stop.send(());
        if tokio::time::timeout(LAST_MAX, &mut task).await.is_err() {
            task.abort();
            warn!("the last traces were not exported in time");
        }
    }
}

struct Task {
    endpoint: String,
    exporter: SpanExporter,
    spans: mpsc::Receiver<SpanData>,
    /// When it was last told of a failure, and how many spans were lost since.
    told: Option<(Instant, usize)>,
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut gathered = tokio::time::interval(GATHER);
        gathered.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = tokio::select! {
                _ = &mut stopped => true,
                _ = gathered.tick() => false,
            };
            if is_last {
                self.spans.close();
            }
            while !self.spans.is_empty() {
                let mut batch = Vec::new();
                self.spans.recv_many(&mut batch, BATCH_MAX).await;
                self.export(batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len();
        let outcome = match self.exporter.export(batch).await {
            Ok(()) => "exported",
            Err(cause) => {
                self.tell(&cause, spans);
                "failed"
            }
        };
        counter!(SPANS, "outcome" => outcome).increment(spans as u64);
    }

    fn tell(&mut self, cause: &OTelSdkError, spans: usize) {
        match &mut self.told {
            Some((at, lost)) if at.elapsed() < WARN_EVERY => *lost += spans,
            told => {
                let lost = spans + told.map_or(0, |(_, lost)| lost);
                warn!(endpoint = self.endpoint, %cause, spans = lost, "traces are lost");
                *told = Some((Instant::now(), 0));
            }
        }
    }
}
