use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::{Committed, Connection, TopicPartition};

const TIMEOUT: Duration = Duration::from_secs(10);

/// How to read partitions from offsets of one's own choice, each to its end.
pub(crate) fn outside_any_group(connection: &Connection) -> ClientConfig {
    let mut config = connection.config();
    // A group is demanded by the client; it is never joined, and nothing is ever committed to it.
    config.set("group.id", "wattline-reader");
    config.set("enable.auto.commit", "false");
    config.set("auto.offset.reset", "error");
    config.set("enable.partition.eof", "true");
    // A question that comes behind a fetch waits for it.
    config.set("fetch.wait.max.ms", "50");
    config
}

/// What the client asks for the sake of a group that is never joined: who may read needs no right to that.
pub(crate) fn is_of_group(cause: &KafkaError) -> bool {
    cause.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

/// Reads partitions from one offset to another, outside any group: it disturbs no consumer.
pub struct Reader {
    inner: BaseConsumer,
}

impl Reader {
    pub fn new(connection: &Connection) -> anyhow::Result<Self> {
        Ok(Reader { inner: outside_any_group(connection).create()? })
    }

    /// The oldest offset that Kafka still has and the one that the next record will get.
    pub fn watermarks(&self, topic: &str, partition: i32) -> anyhow::Result<(i64, i64)> {
        self.inner
            .fetch_watermarks(topic, partition, TIMEOUT)
            .with_context(|| format!("cannot ask Kafka for the offsets of {topic}/{partition}"))
    }

    /// Hands over every record from `from` up to but not including `to`: its offset, its time and its bytes.
    /// The caller may end it early.
    pub fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        to: i64,
        mut record: impl FnMut(i64, i64, &[u8]) -> ControlFlow<()>,
    ) -> anyhow::Result<()> {
        if from >= to {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(from))?;
        self.inner.assign(&list)?;
        let mut progress = Instant::now();
        loop {
            match self.inner.poll(Duration::from_millis(200)) {
                Some(Ok(message)) => {
                    progress = Instant::now();
                    let at = message.offset();
                    if at >= to {
                        break;
                    }
                    let time_ms = message.timestamp().to_millis().unwrap_or(0);
                    let flow = record(at, time_ms, message.payload().unwrap_or_default());
                    if flow.is_break() || at + 1 >= to {
                        break;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(cause)) if is_of_group(&cause) => {}
                Some(Err(cause)) => bail!("cannot read {topic}/{partition}: {cause}"),
                None if progress.elapsed() > 3 * TIMEOUT => {
                    bail!("Kafka gives no more records of {topic}/{partition}");
                }
                None => {}
            }
        }
        self.inner.unassign()?;
        Ok(())
    }

    /// What a group has committed for these partitions, in their order.
    pub fn committed(
        connection: &Connection,
        group: &str,
        partitions: &[TopicPartition],
    ) -> anyhow::Result<Vec<Option<Committed>>> {
        let mut config = connection.config();
        config.set("group.id", group);
        config.set("enable.auto.commit", "false");
        let client: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for TopicPartition { topic, partition } in partitions {
            list.add_partition(topic, *partition);
        }
        let committed = client
            .committed_offsets(list, TIMEOUT)
            .with_context(|| format!("cannot ask Kafka for the committed offsets of the group {group}"))?;
        let of = |TopicPartition { topic, partition }: &TopicPartition| {
            let element = committed.find_partition(topic, *partition).context("a partition is missing")?;
            element.error()?;
            Ok(match element.offset() {
                Offset::Offset(offset) => Some((offset, element.metadata().to_owned())),
                _ => None,
            })
        };
        partitions.iter().map(of).collect()
    }
}
