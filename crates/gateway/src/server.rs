use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{Instrument as _, debug, info, warn};
use wattline_auth::policy::{self, Matched, Native, NoRoute, Service};
use wattline_directory::{AuditLog, Directory, Snapshot, Uses};
use wattline_kafka::{Joiner, Producer};
use wattline_model::Kind;
use wattline_traces::{Span, Traces};

use crate::answer::{self, Answer, Body};
use crate::budget::Budget;
use crate::call::{Call, admit};
use crate::connection::{self, Rest};
use crate::forward::Upstreams;
use crate::metrics;
use crate::problem::{Problem, Unavailable};
use crate::rate::Rates;
use crate::request_id::{self, RequestId, RequestIds};
use crate::settings::Settings;
use crate::sites;
use crate::telemetry::telemetry;
use crate::tls::Tls;
use crate::trace;

/// Everything that a request needs, shared by all connections.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) producer: Arc<Producer>,
    intervals: Topic,
    counters: Topic,
    pub(crate) budget: Arc<Budget>,
    pub(crate) rates: Option<Rates>,
    pub(crate) request_ids: RequestIds,
    pub(crate) directory: Directory,
    pub(crate) uses: Uses,
    pub(crate) audit_log: AuditLog,
    upstreams: Upstreams,
    tls: Option<Arc<Tls>>,
    traces: Option<Traces>,
    draining: AtomicBool,
}

/// Where the points of one kind go.
pub(crate) struct Topic {
    pub(crate) joiner: Arc<Joiner>,
    pub(crate) partitions: u32,
}

/// What is read of a connection at once; hyper's own bound is six times as much memory for each that floods.
const READ_BYTES_MAX: usize = 64 * 1024;

impl Gateway {
    /// The numbers of partitions are those of the topics before any were added; a device that came later knows
    /// its own. A device's partition follows from them.
    pub fn new(
        settings: Settings,
        directory: Directory,
        snapshot: Arc<Snapshot>,
        producer: Producer,
        partitions_intervals: u32,
        partitions_counters: u32,
    ) -> anyhow::Result<Self> {
        let producer = Arc::new(producer);
        let topic = |kind, partitions| Topic {
            joiner: Joiner::new(Arc::clone(&producer), settings.joiner(kind)),
            partitions,
        };
        Ok(Gateway {
            intervals: topic(Kind::Battery, partitions_intervals),
            counters: topic(Kind::BatteryCounter, partitions_counters),
            budget: Budget::new(settings.in_flight_bytes_max),
            rates: Rates::new(settings.rate_points_per_s, settings.rate_burst_points),
            request_ids: RequestIds::new()?,
            directory,
            uses: Uses::default(),
            audit_log: AuditLog::default(),
            upstreams: Upstreams::new(&settings.upstreams)?,
            settings,
            snapshot,
            producer,
            tls: None,
            traces: None,
            draining: AtomicBool::new(false),
        })
    }

    /// With TLS in front of HTTP; without it the listener speaks plain HTTP.
    pub fn with_tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// With traces of the requests that are sampled; without it of none.
    pub fn with_traces(mut self, traces: Option<Traces>) -> Self {
        self.traces = traces;
        self
    }

    pub(crate) fn topic(&self, kind: Kind) -> &Topic {
        match kind {
            Kind::Battery => &self.intervals,
            Kind::BatteryCounter => &self.counters,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// When tokens were last used, since this was last written down.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// What was minted and denied, since this was last written down.
    pub fn audit_log(&self) -> &AuditLog {
        &self.audit_log
    }

    /// Whether a request would be served, and why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_draining() {
            return Err("draining".into());
        }
        if !self.snapshot.is_fresh() {
            return Err(format!("the directory was last read {} s ago", self.snapshot.age().as_secs()));
        }
        if !self.producer.health().is_ready() {
            return Err("Kafka is away or acknowledges nothing".into());
        }
        Ok(())
    }

    /// Serves until it is asked to stop, then drains: requests under way are finished and what they appended
    /// is flushed, new ones are refused. An error is a producer that only a new process can replace.
    pub async fn run(
        self: Arc<Self>,
        listener: TcpListener,
        stop: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<()> {
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        let (drain, draining) = watch::channel(());
        // Begun once: connections that come faster than it looks must not begin it anew.
        let failed = self.watch();
        tokio::pin!(stop, failed);
        let outcome = loop {
            tokio::select! {
                () = &mut stop => break Ok(()),
                () = &mut failed => break Err(anyhow::anyhow!(
                    "the Kafka producer cannot go on; this process ends so that a new one takes over"
                )),
                accepted = accept(&listener, &places) => {
                    let Some((stream, place)) = accepted else { continue };
                    let (gateway, draining) = (Arc::clone(&self), draining.clone());
                    tokio::spawn(async move {
                        gateway.connection(stream, draining).await;
                        drop(place);
                    });
                }
            }
        };
        self.draining.store(true, Ordering::Relaxed);
        drop(draining);
        drain.send_replace(());
        self.drain(&listener, &places, drain).await?;
        outcome
    }

    /// Waits for the open connections, each of which listens to `open`. The listener stays open until the end:
    /// who comes late is refused with an answer and not with a reset.
    async fn drain(
        self: &Arc<Self>,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
        open: watch::Sender<()>,
    ) -> anyhow::Result<()> {
        // A moment for what is in the listen queue and for load balancers that have not heard yet.
        const MOMENT: Duration = Duration::from_millis(200);
        let (late, turned_away) = watch::channel(());
        let drained = async {
            let ended = async { tokio::join!(tokio::time::sleep(MOMENT), open.closed()) };
            tokio::pin!(ended);
            loop {
                tokio::select! {
                    _ = &mut ended => break,
                    accepted = accept(listener, places) => {
                        let Some((stream, place)) = accepted else { continue };
                        let (gateway, turned_away) = (Arc::clone(self), turned_away.clone());
                        tokio::spawn(async move {
                            gateway.connection(stream, turned_away).await;
                            drop(place);
                        });
                    }
                }
            }
            drop(turned_away);
            late.closed().await;
        };
        if tokio::time::timeout(self.settings.drain_timeout, drained).await.is_err() {
            warn!("some requests did not end in time");
        }
        let gateway = Arc::clone(self);
        let flush_max = self.settings.drain_timeout;
        // Of requests whose clients have gone away; the others have their answers.
        self.intervals.joiner.send_all();
        self.counters.joiner.send_all();
        tokio::task::spawn_blocking(move || gateway.producer.flush(flush_max))
            .await
            .context("flush")?
            .context(
                "not everything was acknowledged by Kafka before the end; it was not answered OK either",
            )?;
        info!("drained");
        Ok(())
    }

    /// Ends when the producer cannot go on; samples gauges meanwhile.
    async fn watch(&self) {
        const EVERY: Duration = Duration::from_secs(1);
        metrics::bounds(self.settings.in_flight_bytes_max, self.settings.connections_max);
        loop {
            tokio::time::sleep(EVERY).await;
            let size = self.snapshot.size();
            ::metrics::gauge!("wattline_gateway_in_flight_bytes").set(self.budget.used_bytes() as f64);
            ::metrics::gauge!("wattline_directory_age_seconds").set(self.snapshot.age().as_secs_f64());
            ::metrics::gauge!("wattline_directory_devices").set(size.devices as f64);
            ::metrics::gauge!("wattline_directory_tokens").set(size.tokens as f64);
            metrics::audit_events_dropped(self.audit_log.dropped());
            if self.producer.health().is_fatal() {
                return;
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, draining: watch::Receiver<()>) {
        metrics::connection_opened();
        let _ = stream.set_nodelay(true);
        match self.tls.clone() {
            None => self.requests(stream, draining).await,
            // In a box, so that a connection without TLS does not take the space for one with it.
            Some(tls) => {
                let secured = async {
                    if let Some(stream) = tls.accept(stream, self.settings.header_timeout).await {
                        self.requests(stream, draining).await;
                    }
                };
                Box::pin(secured).await;
            }
        }
        metrics::connection_closed();
    }

    async fn requests<S>(self: Arc<Self>, stream: S, draining: watch::Receiver<()>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let settings = &self.settings;
        let mut builder = http1::Builder::new();
        // While an answer is made nothing is read: hyper would set new space aside for it, for each request, only to
        // hear early that a client has gone away. A client that only says that no more comes has its answer.
        builder
            .half_close(true)
            .max_header_size(settings.header_bytes_max)
            .max_buf_size(settings.header_bytes_max.max(READ_BYTES_MAX))
            .keep_alive(!self.is_draining());
        let refusing = Arc::clone(&self);
        let refuse = Box::new(move |status, date: &str| refusing.refuse_unparsed(status, date));
        let serving = Arc::clone(&self);
        let serve = move |request| {
            let gateway = Arc::clone(&serving);
            async move { gateway.serve(request).await }
        };
        connection::serve(stream, refuse, &builder, settings.header_timeout, serve, draining).await;
    }

    /// The answer to a request that hyper could not parse, as bytes.
    fn refuse_unparsed(&self, status: StatusCode, date: &str) -> Bytes {
        let _under_way = metrics::request_began();
        let problem = match status {
            StatusCode::BAD_REQUEST => Problem::MalformedRequest,
            _ => Problem::HeadersTooLarge,
        };
        let request_id = RequestId::new(None, &self.request_ids);
        let response = answer::finish(problem.response(&request_id), &request_id);
        metrics::request_answered("none", response.status(), Duration::ZERO);
        answer::bytes(response, date)
    }

    /// One request, from its headers to its answer.
    async fn serve(&self, request: Request<Incoming>) -> (Response<Body>, Rest) {
        let began = Instant::now();
        let _under_way = metrics::request_began();
        let (parts, incoming) = request.into_parts();
        let request_id = RequestId::new(parts.headers.get(request_id::HEADER), &self.request_ids);
        let route = policy::route(parts.method.as_str(), parts.uri.path());
        let traced = self.traces.as_ref().and_then(|traces| {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            trace::begin(traces, &parts, &route, &request_id, scheme)
        });
        let log = trace::log(traced.as_ref());
        let (outcome, rest) = match &route {
            Ok(matched) => {
                let answering = self.answer(matched, &parts, incoming, &request_id, traced.as_ref());
                answering.instrument(log.clone()).await
            }
            Err(NoRoute::Path) => (Err(Problem::NotFound), Rest::of(&incoming)),
            Err(NoRoute::Method { allow }) => {
                (Err(Problem::MethodNotAllowed { allow: allow.header() }), Rest::of(&incoming))
            }
        };
        let response = outcome.unwrap_or_else(|problem| {
            log.in_scope(|| {
                debug!(%request_id, status = problem.status().as_u16(), code = problem.code(), "refused");
            });
            problem.response(&request_id).map(Body::Left)
        });
        let endpoint = route.as_ref().map_or("none", |matched| matched.endpoint.name);
        metrics::request_answered(endpoint, response.status(), began.elapsed());
        if let Some(traced) = &traced {
            trace::answered(traced, response.status());
        }
        (answer::finish(response, &request_id), rest)
    }

    /// A request whose path and method are those of an endpoint.
    async fn answer(
        &self,
        matched: &Matched<'_>,
        request: &Parts,
        mut incoming: Incoming,
        request_id: &RequestId,
        trace: Option<&Span>,
    ) -> (Result<Response<Body>, Problem>, Rest) {
        let admitted = admit(self, request, matched, request_id).and_then(|identity| {
            if self.is_draining() { Err(Problem::Unavailable(Unavailable::Draining)) } else { Ok(identity) }
        });
        let identity = match admitted {
            Ok(identity) => identity,
            Err(problem) => return (Err(problem), Rest::of(&incoming)),
        };
        let client = identity.client();
        if let Some(trace) = trace {
            trace::admitted(trace, &client.id);
        }
        let call = Call { gateway: self, request, matched, client, request_id, trace };
        match matched.endpoint.service {
            Service::Native(native) => {
                let outcome = serve_here(&call, native, &mut incoming).await;
                let rest = if outcome.is_ok() { Rest::Read } else { Rest::of(&incoming) };
                (outcome.map(|response| response.map(Body::Left)), rest)
            }
            Service::Forwarded(group) => {
                let outcome = Box::pin(self.upstreams.forward(&call, group, incoming)).await;
                let rest = if outcome.is_ok() { Rest::Read } else { Rest::Unread };
                (outcome.map(|response| response.map(Body::Right)), rest)
            }
        }
    }
}

/// What is not telemetry is in a box: a request would take the space of the largest, and it is moved a few times.
async fn serve_here(call: &Call<'_>, native: Native, incoming: &mut Incoming) -> Answer {
    match native {
        Native::TelemetryBattery => telemetry(call, Kind::Battery, incoming).await,
        Native::TelemetryBatteryCounter => telemetry(call, Kind::BatteryCounter, incoming).await,
        Native::CreateSiteToken => Box::pin(sites::create_site_token(call)).await,
        Native::Commission => Box::pin(sites::commission(call, incoming)).await,
        Native::ListSites => Box::pin(sites::list_sites(call)).await,
        Native::GetSite => Box::pin(sites::get_site(call)).await,
        Native::PatchSite => Box::pin(sites::patch_site(call, incoming)).await,
        Native::ListDevices => Box::pin(sites::list_devices(call)).await,
        Native::GetDevice => Box::pin(sites::get_device(call)).await,
        Native::PatchDevice => Box::pin(sites::patch_device(call, incoming)).await,
        Native::DeleteDevice => Box::pin(sites::delete_device(call)).await,
    }
}

/// The next connection, once there is a place for it. None where the operating system could not give one.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(cause) => {
            // Out of file descriptors, most likely: wait for some to be free instead of spinning.
            warn!(%cause, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
