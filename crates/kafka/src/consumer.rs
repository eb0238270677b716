use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::counter;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaRespErr;
use tracing::{info, warn};

use crate::missing::Missing;
use crate::run::{Growing, Run};
use crate::{Committed, Connection, TopicPartition};

/// Where a group begins that has committed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    /// A partition without a committed offset is an error.
    Committed,
}

#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    pub group: String,
    pub topics: Vec<String>,
    pub start: Start,
    pub session_timeout_ms: u64,
    /// Bytes that are fetched ahead, over all partitions.
    pub prefetch_bytes_max: usize,
    /// Whether the headers of records are looked at.
    pub traceparents: bool,
}

/// A partition that was assigned, and where it goes on.
#[derive(Clone, Debug)]
pub struct Assigned {
    pub partition: TopicPartition,
    /// The committed offset and its metadata; none for a partition that begins.
    pub committed: Option<Committed>,
    pub committer: Committer,
}

/// What the owner of the partitions does; called on the consumer's own thread.
pub trait Partitions: Send + Sync + 'static {
    /// A partition is ours from now on; its records follow.
    fn assigned(&self, assigned: Assigned);

    /// These partitions are ours no longer. When this returns, nothing commits for them any more. Until then
    /// offsets can be committed, unless the partitions are lost: the group has gone on without this member.
    /// At the end it may be told again of partitions that are gone already.
    fn revoked(&self, partitions: &[TopicPartition], lost: bool);

    /// Takes records, or gives them back when their partition's queue is full; then the partition is paused
    /// and the records are offered again.
    fn deliver(&self, run: Run) -> Result<(), Run>;

    /// How far the partition reaches in Kafka, told about every second.
    fn high_watermark(&self, partition: &TopicPartition, offset: i64);
}

type Inner = BaseConsumer<Context>;

/// Runs whose partition is paused because its queue is full, in their order: one each, as a rule.
type Held = HashMap<TopicPartition, VecDeque<Run>>;

/// Commits the offset of a partition with metadata, and waits for Kafka's word.
#[derive(Clone)]
pub struct Committer {
    /// The consumer goes away when it is closed, whatever tasks are left.
    inner: std::sync::Weak<Inner>,
}

impl std::fmt::Debug for Committer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Committer")
    }
}

impl Committer {
    /// Blocks until the group's coordinator has it or refuses it.
    pub fn commit(&self, partition: &TopicPartition, offset: i64, metadata: &str) -> Result<(), CommitError> {
        let inner = self.inner.upgrade().ok_or(CommitError::NotOurs)?;
        let mut list = TopicPartitionList::with_capacity(1);
        let mut element = list.add_partition(&partition.topic, partition.partition);
        element.set_metadata(metadata);
        element.set_offset(Offset::Offset(offset))?;
        Ok(inner.commit(&list, CommitMode::Sync)?)
    }
}

/// Why an offset was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The group has gone on without this member: the partition is, or soon will be, somebody else's.
    #[error("the partition is no longer this member's")]
    NotOurs,
    /// Kafka did not answer or could not now. The offset may be committed all the same.
    #[error("Kafka did not commit the offset")]
    Doubtful(#[source] KafkaError),
}

impl From<KafkaError> for CommitError {
    fn from(cause: KafkaError) -> Self {
        match cause.rdkafka_error_code() {
            Some(
                RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::FencedInstanceId
                | RDKafkaErrorCode::AssignmentLost,
            ) => CommitError::NotOurs,
            _ => CommitError::Doubtful(cause),
        }
    }
}

/// A member of a consumer group.
pub struct Consumer {
    inner: Arc<Inner>,
    partitions: Arc<dyn Partitions>,
    topics: Vec<String>,
    traceparents: bool,
    fault: Arc<Mutex<Option<ConsumeError>>>,
}

impl Consumer {
    pub fn new(
        connection: &Connection,
        settings: &ConsumerSettings,
        partitions: Arc<dyn Partitions>,
    ) -> anyhow::Result<Self> {
        let mut config = connection.config();
        config.set("group.id", &settings.group);
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("auto.offset.reset", "error");
        config.set("session.timeout.ms", settings.session_timeout_ms.to_string());
        // The poll loop never waits for a sink, so a member that does not poll for that long is stuck.
        config.set("max.poll.interval.ms", "300000");
        config.set("queued.max.messages.kbytes", (settings.prefetch_bytes_max / 1024).max(1).to_string());
        // A broker gathers for a moment: many small answers cost both sides more than the points in them.
        config.set("fetch.wait.max.ms", "100");
        config.set("fetch.min.bytes", "65536");
        // What comes in one answer is decompressed at once, and what a pause finds of its partition is thrown away
        // and fetched again. A batch of records that is larger still comes, by itself.
        config.set("fetch.max.bytes", "1048576");
        config.set("fetch.message.max.bytes", "262144");
        config.set("statistics.interval.ms", "1000");
        let fault = Arc::new(Mutex::new(None));
        let context = Context {
            partitions: Arc::clone(&partitions),
            start: settings.start,
            group: settings.group.clone(),
            fault: Arc::clone(&fault),
            me: Mutex::new(std::sync::Weak::new()),
            revocations: AtomicU64::new(0),
        };
        let inner: Arc<Inner> = Arc::new(config.create_with_context(context)?);
        *lock(&inner.context().me) = Arc::downgrade(&inner);
        let ConsumerSettings { topics, traceparents, .. } = settings;
        Ok(Consumer { inner, partitions, topics: topics.clone(), traceparents: *traceparents, fault })
    }

    /// Polls until it is told to stop or cannot go on; then gives up its partitions and leaves the group.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ConsumeError> {
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        self.inner.subscribe(&topics)?;
        let outcome = self.poll_until(stop);
        let owned = partitions_of(&self.inner.assignment().unwrap_or_default());
        self.partitions.revoked(&owned, self.inner.assignment_lost());
        self.inner.unsubscribe();
        outcome
    }

    fn poll_until(&self, stop: &AtomicBool) -> Result<(), ConsumeError> {
        const POLL: Duration = Duration::from_millis(100);
        const POLL_WHILE_HOLDING: Duration = Duration::from_millis(10);
        let mut held = Held::new();
        let mut run = Growing::default();
        let mut revocations = 0;
        let mut missing = Missing::default();
        while !stop.load(Ordering::Relaxed) {
            let wait = if !run.is_empty() {
                Duration::ZERO
            } else if held.is_empty() {
                POLL
            } else {
                POLL_WHILE_HOLDING
            };
            let polled = self.inner.poll(wait);
            let now = self.inner.context().revocations.load(Ordering::Relaxed);
            if now != revocations {
                // What is held was of the assignment before: whoever owns the partition now reads it anew.
                revocations = now;
                held.clear();
                run.clear();
            }
            if !matches!(&polled, Some(Ok(message)) if run.takes(message)) {
                self.offer_again(&mut held)?;
                self.offer(run.end(), &mut held)?;
            }
            match polled {
                None => {}
                Some(Ok(message)) => run.push(&message, self.traceparents),
                Some(Err(cause)) => self.poll_error(cause, &mut missing)?,
            }
            if let Some(topic) = missing.gone(&self.inner, &self.topics) {
                return Err(ConsumeError::TopicGone { topic });
            }
            if let Some(fault) = lock(&self.fault).take() {
                return Err(fault);
            }
        }
        Ok(())
    }

    fn offer(&self, run: Option<Run>, held: &mut Held) -> Result<(), ConsumeError> {
        let Some(run) = run else { return Ok(()) };
        if let Some(waiting) = held.get_mut(&run.partition) {
            waiting.push_back(run);
        } else if let Err(run) = self.partitions.deliver(run) {
            self.inner.pause(&list_of(&run.partition))?;
            held.insert(run.partition.clone(), VecDeque::from([run]));
        }
        Ok(())
    }

    fn offer_again(&self, held: &mut Held) -> Result<(), ConsumeError> {
        let mut taken = Vec::new();
        for (partition, waiting) in held.iter_mut() {
            while let Some(run) = waiting.pop_front() {
                if let Err(run) = self.partitions.deliver(run) {
                    waiting.push_front(run);
                    break;
                }
            }
            if waiting.is_empty() {
                taken.push(partition.clone());
            }
        }
        for partition in taken {
            held.remove(&partition);
            self.inner.resume(&list_of(&partition))?;
        }
        Ok(())
    }

    fn poll_error(&self, cause: KafkaError, missing: &mut Missing) -> Result<(), ConsumeError> {
        match cause.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(ConsumeError::MissingOffset { group: self.inner.context().group.clone(), cause })
            }
            _ if matches!(cause, KafkaError::MessageConsumptionFatal(_)) => Err(cause.into()),
            code => {
                use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
                if let Some(UnknownTopicOrPartition | UnknownTopic | UnknownPartition) = code {
                    missing.suspect();
                }
                counter!("wattline_kafka_consume_errors_total").increment(1);
                warn!(%cause, "Kafka consumer");
                Ok(())
            }
        }
    }
}

/// Why a consumer stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    #[error(
        "Kafka no longer has the offset where this group goes on: {cause}. Points were deleted before they were \
         stored: retention.ms or retention.bytes of the topic is too short. To go on with what is left, stop all \
         workers and type: kafka-consumer-groups.sh --bootstrap-server HOST:PORT --group {group} \
         --topic TOPIC:PARTITION --reset-offsets --to-earliest --execute. If the topic was made anew, give it \
         another name instead (kafka.topic_intervals, kafka.topic_counters): what is stored is known by its topic \
         and its offsets"
    )]
    MissingOffset { group: String, cause: KafkaError },
    #[error(
        "Kafka has no topic {topic}. Where it was deleted, its points that were not stored are lost, and its \
         successor needs a new name (kafka.topic_intervals, kafka.topic_counters): what is stored is known by its \
         topic and its offsets. Then, or where it never was, stop all gateways and workers, type: wattline migrate, \
         and start them again"
    )]
    TopicGone { topic: String },
    #[error(
        "the group {group} has no committed offset for {partition}; set worker.start = \"beginning\" where it is a \
         new group"
    )]
    NothingCommitted { group: String, partition: TopicPartition },
    /// A new consumer may do better.
    #[error("the Kafka consumer cannot go on")]
    Broken(#[from] KafkaError),
}

impl ConsumeError {
    /// Whether only a person can help.
    pub fn is_permanent(&self) -> bool {
        !matches!(self, ConsumeError::Broken(_))
    }
}

struct Context {
    partitions: Arc<dyn Partitions>,
    start: Start,
    group: String,
    fault: Arc<Mutex<Option<ConsumeError>>>,
    me: Mutex<std::sync::Weak<Inner>>,
    revocations: AtomicU64,
}

impl Context {
    /// Finds where each partition goes on, tells its owner, and begins there.
    fn assign(&self, consumer: &Inner, list: &TopicPartitionList) -> Result<(), ConsumeError> {
        const TIMEOUT: Duration = Duration::from_secs(10);
        const TRIES: u32 = 3;
        let mut tries = 0;
        let committed = loop {
            match consumer.committed_offsets(list.clone(), TIMEOUT) {
                Ok(committed) => break committed,
                Err(cause) if tries < TRIES => {
                    tries += 1;
                    warn!(%cause, "cannot read the committed offsets; trying again");
                }
                Err(cause) => return Err(cause.into()),
            }
        };
        let mut from = TopicPartitionList::with_capacity(committed.count());
        for element in committed.elements() {
            // A partition whose offset could not be read must not begin anew.
            element.error()?;
            let partition = TopicPartition { topic: element.topic().into(), partition: element.partition() };
            let (start, committed) = match (element.offset(), self.start) {
                (Offset::Offset(offset), _) => {
                    (Offset::Offset(offset), Some((offset, element.metadata().to_owned())))
                }
                (_, Start::Beginning) => (Offset::Beginning, None),
                (_, Start::Committed) => {
                    return Err(ConsumeError::NothingCommitted { group: self.group.clone(), partition });
                }
            };
            from.add_partition_offset(&partition.topic, partition.partition, start)?;
            let committer = Committer { inner: lock(&self.me).clone() };
            self.partitions.assigned(Assigned { partition, committed, committer });
        }
        Ok(consumer.assign(&from)?)
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        crate::metrics::brokers_seen("consumer", &statistics);
        for topic in statistics.topics.values() {
            for partition in
                topic.partitions.values().filter(|partition| partition.desired && partition.hi_offset >= 0)
            {
                let of =
                    TopicPartition { topic: topic.topic.as_str().into(), partition: partition.partition };
                self.partitions.high_watermark(&of, partition.hi_offset);
            }
        }
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        warn!(%cause, reason, "Kafka consumer");
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &Inner, code: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let outcome = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                info!(partitions = list.count(), "partitions assigned");
                self.assign(consumer, list)
            }
            _ => {
                let lost = consumer.assignment_lost();
                info!(partitions = list.count(), lost, "partitions revoked");
                self.revocations.fetch_add(1, Ordering::Relaxed);
                self.partitions.revoked(&partitions_of(list), lost);
                // A pause outlives the assignment in librdkafka: the partition would stand still should it come
                // back to this member.
                let resumed = consumer.resume(list);
                consumer.unassign().and(resumed).map_err(ConsumeError::from)
            }
        };
        if let Err(cause) = outcome {
            *lock(&self.fault) = Some(cause);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements()
        .iter()
        .map(|element| TopicPartition { topic: element.topic().into(), partition: element.partition() })
        .collect()
}

fn list_of(partition: &TopicPartition) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition(&partition.topic, partition.partition);
    list
}
