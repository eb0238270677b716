//! Why a broker cannot be reached: librdkafka tells it aside, and answers the question with a time-out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;

use crate::Connection;

/// Keeps what was said last.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Option<String>>);

impl ClientContext for Heard {
    fn error(&self, cause: KafkaError, reason: &str) {
        // That all brokers are down comes after the reason, and says less.
        if cause.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Heard {}

impl Heard {
    fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The cluster and one topic of it, or all of them. The error has the reason, such as a certificate or a password.
pub(crate) fn metadata(
    connection: &Connection,
    client: &BaseConsumer<Heard>,
    topic: Option<&str>,
    timeout: Duration,
) -> anyhow::Result<Metadata> {
    let cause = match client.fetch_metadata(topic, timeout) {
        Ok(metadata) => return Ok(metadata),
        Err(cause) => cause,
    };
    // What was said is handed over by a poll, one error a time.
    while let Some(Err(_)) = client.poll(Duration::from_millis(50)) {}
    let cause = match client.context().take() {
        Some(reason) => anyhow!(reason),
        None => cause.into(),
    };
    Err(cause).with_context(|| format!("no Kafka broker answers at {}", connection.brokers))
}
