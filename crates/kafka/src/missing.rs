//! Topics that Kafka says it does not have.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;

/// A broker that has just started may not know a topic yet. One that no broker knows for so long is gone.
const GONE_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// A suspicion: without one nothing is asked.
#[derive(Debug, Default)]
pub(crate) struct Missing {
    since: Option<Instant>,
    asked: Option<Instant>,
}

impl Missing {
    /// Kafka did not know a topic or a partition.
    pub(crate) fn suspect(&mut self) {
        self.since.get_or_insert_with(Instant::now);
    }

    /// The topic that is gone, where one has been for long enough. To be called again and again: it asks Kafka
    /// once a second.
    pub(crate) fn gone(
        &mut self,
        consumer: &BaseConsumer<impl ConsumerContext>,
        topics: &[String],
    ) -> Option<String> {
        let since = self.since?;
        if self.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return None;
        }
        let mut missing = None;
        for topic in topics {
            match is_there(consumer, topic) {
                Some(true) => {}
                Some(false) => missing = Some(topic),
                // Kafka is away, and so nobody knows.
                None => self.since = Some(Instant::now()),
            }
        }
        self.asked = Some(Instant::now());
        if missing.is_none() && self.since == Some(since) {
            self.since = None;
        }
        missing.filter(|_| self.since.is_some_and(|since| since.elapsed() >= GONE_AFTER)).cloned()
    }
}

/// None where Kafka does not say.
fn is_there(consumer: &BaseConsumer<impl ConsumerContext>, topic: &str) -> Option<bool> {
    let metadata = consumer.fetch_metadata(Some(topic), ASK_TIMEOUT).ok()?;
    match metadata.topics().first()?.error() {
        None => Some(true),
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Some(false),
        Some(_) => None,
    }
}
