//! What a cluster says of itself and lets us do, for somebody who looks whether all is as it should be. Nothing
//! of it leaves a trace in a topic or a group.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::Connection;
use crate::heard::{Heard, metadata};
use crate::reader::{is_of_group, outside_any_group};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub partitions: i32,
    /// The copies that a partition should have, where they differ the fewest.
    pub replicas: usize,
    /// The copies that a partition has at present, of the partition with the fewest.
    pub in_sync: usize,
    /// Partitions without a leader, which take and give nothing.
    pub leaderless: usize,
}

/// A consumer that commits nothing.
pub struct Examiner {
    connection: Connection,
    inner: BaseConsumer<Heard>,
}

impl Examiner {
    pub fn new(connection: &Connection) -> anyhow::Result<Self> {
        let inner = outside_any_group(connection)
            .create_with_context(Heard::default())
            .context("kafka cannot be used as configured")?;
        Ok(Examiner { connection: connection.clone(), inner })
    }

    /// How many brokers the cluster has.
    pub fn brokers(&self) -> anyhow::Result<usize> {
        Ok(metadata(&self.connection, &self.inner, None, TIMEOUT)?.brokers().len())
    }

    /// None where there is no such topic. An error where it may not be seen.
    pub fn topic(&self, name: &str) -> anyhow::Result<Option<TopicState>> {
        let metadata = metadata(&self.connection, &self.inner, Some(name), TIMEOUT)?;
        let topic = metadata.topics().first().context("Kafka said nothing about the topic")?;
        match topic.error() {
            None => {}
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
            Some(cause) => bail!(KafkaError::MetadataFetch(cause.into())),
        }
        let partitions = topic.partitions();
        Ok(Some(TopicState {
            partitions: partitions.len() as i32,
            replicas: partitions.iter().map(|of| of.replicas().len()).min().unwrap_or(0),
            in_sync: partitions.iter().map(|of| of.isr().len()).min().unwrap_or(0),
            leaderless: partitions.iter().filter(|of| of.leader() < 0).count(),
        }))
    }

    /// Reads the last record of each partition and returns the newest one's time; none where there is no record.
    pub fn newest_record_ms(&self, topic: &str, partitions: i32) -> anyhow::Result<Option<i64>> {
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::OffsetTail(1))?;
        }
        self.inner.assign(&list)?;
        let (began, mut open, mut newest) = (Instant::now(), partitions, None);
        while open > 0 {
            match self.inner.poll(Duration::from_millis(100)) {
                // The end of the partition follows.
                Some(Ok(record)) => newest = newest.max(record.timestamp().to_millis()),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(cause)) if is_of_group(&cause) => {}
                Some(Err(cause)) => bail!(cause),
                None => {}
            }
            if began.elapsed() > TIMEOUT {
                bail!("Kafka gave the last records of {open} partitions not within {TIMEOUT:?}");
            }
        }
        self.inner.unassign()?;
        Ok(newest)
    }
}

/// The settings of each of these topics, by Kafka's own names.
pub async fn topic_settings(
    connection: &Connection,
    topics: &[&str],
) -> anyhow::Result<Vec<BTreeMap<String, String>>> {
    let admin: AdminClient<DefaultClientContext> = connection.config().create()?;
    let asked: Vec<ResourceSpecifier<'_>> =
        topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let answers = admin.describe_configs(&asked, &options).await?;
    let settings = answers.into_iter().map(|answer| {
        let entries = answer?.entries.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    });
    settings.collect()
}

/// Whether we may append to a topic. It offers one record that is larger than the topic takes, `record_bytes_max` being
/// the most that it does: who may not append is refused for that, and everybody else for the size.
pub fn may_append(
    connection: &Connection,
    topic: &str,
    record_bytes_max: usize,
) -> Result<(), anyhow::Error> {
    let value = vec![0; record_bytes_max + 1];
    let mut config = connection.config();
    config.set("enable.idempotence", "true");
    config.set("message.max.bytes", (value.len() + 10_000).to_string());
    config.set("compression.codec", "none");
    config.set("message.timeout.ms", TIMEOUT.as_millis().to_string());
    config.set("socket.timeout.ms", TIMEOUT.as_millis().to_string());
    let producer: BaseProducer<Offer> = config.create_with_context(Offer::default())?;
    let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).partition(0).payload(&value);
    producer.send(record).map_err(|(cause, _)| cause)?;
    let began = Instant::now();
    loop {
        producer.poll(Duration::from_millis(100));
        match producer.context().outcome() {
            Some(Err(RDKafkaErrorCode::MessageSizeTooLarge)) => return Ok(()),
            Some(Err(cause)) => match producer.client().fatal_error() {
                Some((_, reason)) => bail!(reason),
                None => bail!(cause),
            },
            Some(Ok(())) => bail!("a record over max.message.bytes was taken"),
            None if began.elapsed() > 2 * TIMEOUT => bail!("no answer within {:?}", 2 * TIMEOUT),
            None => {}
        }
    }
}

/// What became of the record that was offered.
#[derive(Default)]
struct Offer(Mutex<Option<Result<(), RDKafkaErrorCode>>>);

impl Offer {
    fn outcome(&self) -> Option<Result<(), RDKafkaErrorCode>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Offer {
    // The refusal is what was asked for.
    fn error(&self, _cause: KafkaError, _reason: &str) {}
}

impl ProducerContext for Offer {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = match result {
            Ok(_) => Ok(()),
            Err((cause, _)) => Err(cause.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}
