use std::sync::Arc;

use tracing::info;
use wattline_clickhouse_sink::ClickHouse;
use wattline_kafka::Producer;
use wattline_runtime::{Readiness, Shutdown, install_metrics, serve_ops};
use wattline_worker::Worker;

use crate::config::Config;
use crate::rebuild;

struct Ready(Arc<Worker>);

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }
}

/// A task that panicked would leave its partition standing still in a process that looks alive. A worker may
/// die at any moment, so it does, and the next one redoes what was announced.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Runs the worker until it is asked to stop.
pub async fn run(config: Config) -> anyhow::Result<()> {
    die_of_panics();
    let connection = config.kafka.connection()?;
    let settings = config.worker.settings(&config.kafka, &config.parquet)?;
    let consumer = config.worker.consumer(&config.kafka, &config.traces)?;
    let tables = ClickHouse::new(config.clickhouse.settings()?)?;
    rebuild::refuse_during_exchange(&tables).await?;
    let files = config.store()?;
    rebuild::refuse_moved(&files).await?;
    let producer = Producer::new(&connection, &config.worker.producer()?)?;

    let metrics = install_metrics()?;
    wattline_kafka::describe_metrics();
    wattline_worker::describe_metrics();
    wattline_clickhouse_sink::describe_metrics();
    wattline_parquet_sink::describe_metrics();
    let mut shutdown = Shutdown::on_signals()?;

    let (traces, exporting) = config.traces.start("wattline-worker")?;
    let worker = Worker::new(settings, tables, files, producer, traces)?;
    let ops = serve_ops(config.worker.ops_listen()?, metrics, Arc::new(Ready(Arc::clone(&worker)))).await?;
    info!(%ops, group = consumer.group, "worker");
    let outcome = worker.run(&connection, &consumer, async move { shutdown.asked().await }).await;
    if let Some(exporting) = exporting {
        exporting.finish().await;
    }
    outcome?;
    info!("stopped");
    Ok(())
}
