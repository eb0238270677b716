use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tracing::{info, warn};
use wattline_directory::{Directory, Follower};
use wattline_gateway::{Gateway, Tls};
use wattline_kafka::{Producer, partition_counts};
use wattline_runtime::{Readiness, Shutdown, install_metrics, serve_ops};

use crate::config::Config;

struct Ready(Arc<Gateway>);

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }
}

/// Runs the gateway until it is asked to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let connection = config.kafka.connection()?;
    let settings = config.gateway.settings(&config.kafka, &config.auth, &config.upstreams)?;
    let producer_settings = config.gateway.producer()?;
    let pepper = config.auth.pepper()?;
    let tls_files = config.gateway.tls()?;
    let (listen, ops_listen) = (config.gateway.listen()?, config.gateway.ops_listen()?);

    let metrics = install_metrics()?;
    wattline_kafka::describe_metrics();
    wattline_gateway::describe_metrics();
    let mut shutdown = Shutdown::on_signals()?;
    let tls = match tls_files {
        Some(files) => Some(Arc::new(Tls::open(files).await?)),
        None => None,
    };

    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    directory.ensure_signing_key(&pepper).await?;
    let follower = Follower::start(directory.clone(), pepper, config.directory.follow()?).await?;

    let topics = tokio::task::spawn_blocking({
        let connection = connection.clone();
        move || partition_counts(&connection)
    })
    .await??;
    let added = directory.partitions().await?;
    let partitions = |topic: &str| {
        let there = topics
            .get(topic)
            .map(|&partitions| partitions as u32)
            .with_context(|| format!("Kafka has no topic {topic}; `wattline migrate` creates it"))?;
        anyhow::Ok(added.map_or(there, |added| added.base))
    };
    let gateway = Gateway::new(
        settings,
        directory.clone(),
        follower.snapshot(),
        Producer::new(&connection, &producer_settings)?,
        partitions(&config.kafka.topic_intervals)?,
        partitions(&config.kafka.topic_counters)?,
    )?;
    let (traces, exporting) = config.traces.start("wattline-gateway")?;
    let gateway = Arc::new(gateway.with_tls(tls.clone()).with_traces(traces));

    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (gateway.listen)"))?;
    let ops = serve_ops(ops_listen, metrics, Arc::new(Ready(Arc::clone(&gateway)))).await?;
    info!(listen = %listener.local_addr()?, tls = tls.is_some(), %ops, "gateway");
    let following = tls.map(|tls| tokio::spawn(async move { tls.follow().await }));
    let writing = tokio::spawn(write_down(Arc::clone(&gateway), directory.clone()));
    let outcome = Arc::clone(&gateway).run(listener, async move { shutdown.asked().await }).await;
    writing.abort();
    if let Some(following) = following {
        following.abort();
    }
    write_uses(&gateway, &directory).await;
    if let Err(cause) = gateway.audit_log().flush(&directory).await {
        warn!(cause = format!("{cause:#}"), "the last events are not in the audit trail");
    }
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    outcome
}

/// Writes down, now and then, when tokens were last used, and what goes to the audit trail.
async fn write_down(gateway: Arc<Gateway>, directory: Directory) {
    const USES_EVERY: Duration = Duration::from_secs(60);
    const EVENTS_EVERY: Duration = Duration::from_secs(1);
    const EVENTS_EVERY_MAX: Duration = Duration::from_secs(60);
    let mut uses = tokio::time::interval(USES_EVERY);
    let mut events_wait = EVENTS_EVERY;
    loop {
        tokio::select! {
            _ = uses.tick() => write_uses(&gateway, &directory).await,
            () = tokio::time::sleep(events_wait) => match gateway.audit_log().flush(&directory).await {
                Ok(()) => events_wait = EVENTS_EVERY,
                Err(cause) => {
                    // The events are kept in memory up to a bound, and counted above it.
                    warn!(cause = format!("{cause:#}"), "the audit trail is written later");
                    events_wait = (events_wait * 2).min(EVENTS_EVERY_MAX);
                }
            },
        }
    }
}

async fn write_uses(gateway: &Gateway, directory: &Directory) {
    if let Err(cause) = gateway.uses().flush(directory).await {
        warn!(cause = format!("{cause:#}"), "when tokens were last used is written down later");
    }
}
