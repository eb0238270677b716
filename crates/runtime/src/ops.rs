use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::process::Process;

/// Says whether the role is ready, and why not.
pub trait Readiness: Send + Sync + 'static {
    fn ready(&self) -> Result<(), String>;
}

/// Seconds, from a millisecond to a minute: what an answer or a flush takes.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// What `/metrics` shows.
#[derive(Clone)]
pub struct Metrics {
    recorded: PrometheusHandle,
    process: Process,
}

impl Metrics {
    fn render(&self, is_ready: bool) -> String {
        self.process.sample(is_ready);
        self.recorded.render()
    }
}

/// Installs the recorder that the macros of the crate `metrics` write to. Once a process.
pub fn install_metrics() -> anyhow::Result<Metrics> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .context("histogram buckets")?
        .build_recorder();
    let recorded = recorder.handle();
    metrics::set_global_recorder(recorder).context("a recorder is there already")?;
    Ok(Metrics { recorded, process: Process::describe() })
}

/// Serves `/metrics`, `/livez` and `/readyz` until it is dropped. Returns the address it listens on.
pub async fn serve_ops(
    listen: SocketAddr,
    metrics: Metrics,
    readiness: Arc<dyn Readiness>,
) -> anyhow::Result<SocketAddr> {
    const CONNECTIONS_MAX: usize = 64;
    const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);
    const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
    const UPKEEP: Duration = Duration::from_secs(5);

    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen} (ops_listen)"))?;
    let address = listener.local_addr()?;
    let upkeep = metrics.recorded.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (metrics, readiness) = (metrics.clone(), Arc::clone(&readiness));
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let response = answer(&request, &metrics, &*readiness);
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(HEADER_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                // A scraper that goes away is no event.
                let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
                drop(place);
            });
        }
    });
    Ok(address)
}

fn answer<B>(request: &Request<B>, metrics: &Metrics, readiness: &dyn Readiness) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".into());
    }
    match request.uri().path() {
        "/metrics" => text(StatusCode::OK, metrics.render(readiness.ready().is_ok())),
        "/livez" => text(StatusCode::OK, "alive\n".into()),
        "/readyz" => match readiness.ready() {
            Ok(()) => text(StatusCode::OK, "ready\n".into()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
        },
        _ => text(StatusCode::NOT_FOUND, "there are /metrics, /livez and /readyz\n".into()),
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    response
}
