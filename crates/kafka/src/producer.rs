use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use metrics::counter;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::statistics::Statistics;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::{Connection, metrics as seen};

#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// A record that is not acknowledged by then is given up; shorter than a request's deadline.
    pub delivery_timeout_ms: u64,
    /// Bytes of records that wait for their acknowledgement, over all requests; more is refused at once.
    pub queue_bytes_max: usize,
    /// How long a record may wait for company before it is sent.
    pub linger_ms: u64,
    /// none, gzip, snappy, lz4 or zstd.
    pub compression: String,
}

/// How often the thread that takes librdkafka's events looks for them while nothing is in flight,
const EVENTS_EVERY_IDLE: Duration = Duration::from_secs(1);
/// and while something is. Acknowledgements come one by one, and to be woken for each of them, and then to wake its
/// requests, costs more than all else that is done with it.
const EVENTS_EVERY: Duration = Duration::from_millis(1);

/// A record to append: its bytes and the partition it goes to.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub partition: i32,
    pub value: &'a [u8],
}

/// What became of the records of one append.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Appended {
    /// The partitions of the records that were not confirmed. They may be in Kafka all the same.
    pub unconfirmed: Vec<i32>,
}

/// Appends records with all acknowledgements, idempotently.
///
/// Its queue is bounded in bytes; when it is full, a record is refused at once. An append wakes its caller
/// once, when the last of its records is settled.
pub struct Producer {
    inner: Arc<BaseProducer<Context>>,
    health: Arc<Health>,
    /// Takes librdkafka's events, and sleeps while nothing is in flight.
    events: Thread,
    /// Tells it to end; librdkafka goes with it.
    gone: Arc<AtomicBool>,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        self.events.unpark();
    }
}

impl Producer {
    pub fn new(connection: &Connection, settings: &ProducerSettings) -> anyhow::Result<Self> {
        let mut config = connection.config();
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("message.timeout.ms", settings.delivery_timeout_ms.to_string());
        config.set("request.timeout.ms", settings.delivery_timeout_ms.to_string());
        config.set("queue.buffering.max.kbytes", (settings.queue_bytes_max / 1024).max(1).to_string());
        // The bound is in bytes; this one only must not come first.
        config.set("queue.buffering.max.messages", "1000000");
        config.set("linger.ms", settings.linger_ms.to_string());
        config.set("compression.codec", &settings.compression);
        // An idle producer keeps its connections too: health would otherwise stay down after a broker's restart
        // until something is appended, which nobody does while health is down.
        config.set("enable.sparse.connections", "false");
        config.set("statistics.interval.ms", "1000");
        seen::queue_bytes_max(settings.queue_bytes_max);
        let health = Arc::new(Health::new());
        let context = Context { health: Arc::clone(&health), events: AtomicU64::new(0) };
        let inner: Arc<BaseProducer<Context>> = Arc::new(config.create_with_context(context)?);
        let gone = Arc::new(AtomicBool::new(false));
        let taking = thread::Builder::new()
            .name("producer events".into())
            .spawn({
                let (inner, health, gone) = (Arc::clone(&inner), Arc::clone(&health), Arc::clone(&gone));
                move || take_events(&inner, &health, &gone)
            })
            .context("cannot start the producer's thread")?;
        Ok(Producer { inner, health, events: taking.thread().clone(), gone })
    }

    /// Appends the records, at most one of each partition for `Appended` to tell them apart, and waits until
    /// each is acknowledged or given up, which is bounded by the delivery time-out.
    ///
    /// The bytes are copied before the first wait.
    pub fn append(&self, topic: &str, records: &[Record<'_>]) -> impl Future<Output = Appended> + use<> {
        let (pending, settled) = Pending::new(records.len());
        for record in records {
            self.send(topic, *record, None, vec![Arc::clone(&pending)]);
        }
        pending.record_settled(None);
        settled
    }

    /// Hands a record over, with the `traceparent` in a header where there is one. All these appends have something in
    /// it.
    pub(crate) fn send(
        &self,
        topic: &str,
        record: Record<'_>,
        traceparent: Option<&str>,
        appends: Vec<Arc<Pending>>,
    ) {
        if self.health.handed_over() {
            self.events.unpark();
        }
        let mut message: BaseRecord<'_, (), [u8], Box<Appends>> =
            BaseRecord::with_opaque_to(topic, Box::new(Appends(appends)))
                .partition(record.partition)
                .payload(record.value);
        if let Some(value) = traceparent {
            let header = Header { key: crate::TRACEPARENT, value: Some(value) };
            message = message.headers(OwnedHeaders::new_with_capacity(1).insert(header));
        }
        if let Err((cause, message)) = self.inner.send(message) {
            self.health.settled(false);
            let reason = match cause {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => "queue_full",
                _ => "refused",
            };
            counter!("wattline_kafka_produce_errors_total", "reason" => reason).increment(1);
            message.delivery_opaque.settle(Some(record.partition));
        }
    }

    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Waits until what was appended is settled, for so long at most.
    pub fn flush(&self, timeout: Duration) -> anyhow::Result<()> {
        Ok(self.inner.flush(timeout)?)
    }
}

/// Takes events until the producer is gone.
fn take_events(producer: &BaseProducer<Context>, health: &Health, gone: &AtomicBool) {
    let taken = &producer.client().context().events;
    while !gone.load(Ordering::Relaxed) {
        let before = taken.load(Ordering::Relaxed);
        producer.poll(Duration::ZERO);
        // It takes one event at a time.
        if taken.load(Ordering::Relaxed) != before {
            continue;
        }
        // librdkafka is asked whether it has failed for good: to its error callback such a failure looks like any
        // other, under the name of its cause.
        if !health.is_fatal()
            && let Some((cause, reason)) = producer.client().fatal_error()
        {
            health.fatal.store(true, Ordering::Relaxed);
            error!(%cause, reason, "the Kafka producer cannot go on");
        }
        if health.in_flight.load(Ordering::Relaxed) > 0 {
            thread::sleep(EVENTS_EVERY);
        } else {
            thread::park_timeout(EVENTS_EVERY_IDLE);
        }
    }
}

/// The appends that have something in one record.
pub(crate) struct Appends(Vec<Arc<Pending>>);

impl Appends {
    fn settle(&self, unconfirmed: Option<i32>) {
        for append in &self.0 {
            append.record_settled(unconfirmed);
        }
    }
}

/// The records of one append that are not settled yet.
pub(crate) struct Pending {
    remaining: AtomicUsize,
    unconfirmed: Mutex<Vec<i32>>,
    settled: Mutex<Option<oneshot::Sender<Appended>>>,
}

impl Pending {
    /// For so many records, with what waits until they are settled. It is not settled before all of them are handed
    /// over, which `record_settled` has to be told once more.
    pub(crate) fn new(records: usize) -> (Arc<Self>, impl Future<Output = Appended> + use<>) {
        let (settled, wait) = oneshot::channel();
        let pending = Arc::new(Pending {
            remaining: AtomicUsize::new(records + 1),
            unconfirmed: Mutex::new(Vec::new()),
            settled: Mutex::new(Some(settled)),
        });
        let waiting = Arc::clone(&pending);
        let wait = async move {
            // The sender is only dropped without a word when librdkafka purges its queue at the end.
            match wait.await {
                Ok(appended) => appended,
                Err(_) => Appended { unconfirmed: waiting.take_unconfirmed() },
            }
        };
        (pending, wait)
    }

    pub(crate) fn record_settled(&self, unconfirmed: Option<i32>) {
        if let Some(partition) = unconfirmed {
            self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner).push(partition);
        }
        if self.remaining.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let sender = self.settled.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(sender) = sender {
            // The caller may have gone away: its client closed the connection.
            let _ = sender.send(Appended { unconfirmed: self.take_unconfirmed() });
        }
    }

    fn take_unconfirmed(&self) -> Vec<i32> {
        std::mem::take(&mut self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Context {
    health: Arc<Health>,
    /// So many were taken.
    events: AtomicU64,
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        self.events.fetch_add(1, Ordering::Relaxed);
        let up = seen::brokers_seen("producer", &statistics);
        self.health.broker_up.store(up, Ordering::Relaxed);
        seen::producer_seen(&statistics, self.health.stalled_for());
    }

    fn error(&self, cause: KafkaError, reason: &str) {
        self.events.fetch_add(1, Ordering::Relaxed);
        match cause.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                self.health.broker_up.store(false, Ordering::Relaxed);
                warn!(reason, "no Kafka broker can be reached");
            }
            _ => warn!(%cause, reason, "Kafka producer"),
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Appends>;

    fn delivery(&self, result: &DeliveryResult<'_>, appends: Box<Appends>) {
        self.events.fetch_add(1, Ordering::Relaxed);
        self.health.settled(result.is_ok());
        let unconfirmed = match result {
            Ok(_) => None,
            Err((cause, message)) => {
                let reason = match cause.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::MessageTimedOut) => "timed_out",
                    Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::PurgeQueue) => "purged",
                    Some(RDKafkaErrorCode::MessageSizeTooLarge) => "too_large",
                    _ => "other",
                };
                counter!("wattline_kafka_produce_errors_total", "reason" => reason).increment(1);
                Some(message.partition())
            }
        };
        appends.settle(unconfirmed);
    }
}

/// Whether the producer makes progress. A librdkafka that is stuck looks healthy from outside, so this
/// looks at acknowledgements and not at the process.
#[derive(Debug)]
pub struct Health {
    started: Instant,
    fatal: AtomicBool,
    broker_up: AtomicBool,
    in_flight: AtomicU64,
    /// Milliseconds after `started` of the last acknowledgement, or of the moment something was handed over
    /// while nothing was in flight: progress is owed from then on.
    progress_ms: AtomicU64,
}

impl Health {
    fn new() -> Self {
        Health {
            started: Instant::now(),
            fatal: AtomicBool::new(false),
            broker_up: AtomicBool::new(false),
            in_flight: AtomicU64::new(0),
            progress_ms: AtomicU64::new(0),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Whether it is the only one in flight.
    fn handed_over(&self) -> bool {
        let is_first = self.in_flight.fetch_add(1, Ordering::Relaxed) == 0;
        if is_first {
            self.progress_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        }
        is_first
    }

    fn settled(&self, acknowledged: bool) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        if acknowledged {
            self.progress_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        }
    }

    /// The producer can never produce again; only a new process can.
    pub fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed)
    }

    /// How long records have been in flight without one acknowledgement.
    pub fn stalled_for(&self) -> Duration {
        if self.in_flight.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        let since_ms = self.elapsed_ms().saturating_sub(self.progress_ms.load(Ordering::Relaxed));
        Duration::from_millis(since_ms)
    }

    /// A record would be acknowledged, as far as one can know.
    pub fn is_ready(&self) -> bool {
        const STALLED: Duration = Duration::from_secs(3);
        !self.is_fatal() && self.broker_up.load(Ordering::Relaxed) && self.stalled_for() < STALLED
    }
}
