//! How often a task tries again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;
use wattline_clickhouse_sink::ClickHouseError;
use wattline_kafka::TopicPartition;

use super::{Shared, TaskError};
use crate::metrics;
use crate::settings::Settings;

/// Waits before the next try, or gives up where waiting does not help.
pub(super) async fn after_failure(
    shared: &Shared,
    partition: &TopicPartition,
    cause: ClickHouseError,
    backoff: &mut Backoff,
) -> Result<(), TaskError> {
    if !cause.is_transient() {
        return Err(TaskError::Tables(cause));
    }
    shared.retrying.store(true, Ordering::Relaxed);
    metrics::retried("clickhouse");
    let wait = backoff.next();
    warn!(%partition, cause = %chain(&cause), ?wait, "ClickHouse: trying again");
    sleep(wait).await;
    Ok(())
}

/// Waits that double from the first to the last. The supervisor ends a task that waits for too long after it
/// was told to stop, so the number of tries has no bound of its own.
pub(super) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(settings: &Settings) -> Self {
        Backoff { next: settings.retry_first, max: settings.retry_max }
    }

    pub(super) fn next(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.max);
        wait
    }
}

/// An error with everything below it, for a log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}
