use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use wattline_kafka::{
    Assigned, Connection, ConsumeError, Consumer, ConsumerSettings, Partitions, Producer, ProducerSettings,
    Record, Run, Start, TopicPartition,
};

/// The partitions that were not confirmed where all were.
pub const NONE: [i32; 0] = [];
pub const TOPIC: &str = "t";
pub const DELIVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A cluster of one broker with one topic of two partitions.
pub struct Cluster {
    pub mock: MockCluster<'static, DefaultProducerContext>,
}

impl Cluster {
    pub fn start() -> Self {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic(TOPIC, 2, 1).unwrap();
        Cluster { mock }
    }

    pub fn connection(&self) -> Connection {
        Connection { brokers: self.mock.bootstrap_servers(), properties: BTreeMap::new() }
    }

    pub fn producer(&self) -> Producer {
        let settings = ProducerSettings {
            delivery_timeout_ms: DELIVERY_TIMEOUT.as_millis() as u64,
            queue_bytes_max: 1 << 20,
            linger_ms: 1,
            compression: "none".into(),
        };
        Producer::new(&self.connection(), &settings).unwrap()
    }

    /// A member of the group that runs on a thread of its own until it is stopped.
    pub fn member(&self, group: &str, start: Start, owner: &Arc<Owner>) -> Member {
        let settings = ConsumerSettings {
            group: group.into(),
            topics: vec![TOPIC.into()],
            start,
            session_timeout_ms: 6_000,
            prefetch_bytes_max: 1 << 20,
            traceparents: true,
        };
        let partitions: Arc<dyn Partitions> = owner.clone();
        let consumer = Consumer::new(&self.connection(), &settings, partitions).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Member { stop, thread: std::thread::spawn(move || consumer.run(&stopped)) }
    }
}

pub struct Member {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), ConsumeError>>,
}

impl Member {
    pub fn stop(self) -> Result<(), ConsumeError> {
        self.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Waits for a member that ends by itself.
    pub fn end(self) -> Result<(), ConsumeError> {
        wait_for("the consumer to end", || self.thread.is_finished().then_some(()));
        self.thread.join().unwrap()
    }
}

pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn partition(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition }
}

/// Appends one record for each of these and demands that all are confirmed.
pub fn append(producer: &Producer, records: &[(i32, String)]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for (partition, value) in records {
        let record = Record { partition: *partition, value: value.as_bytes() };
        let appended = runtime.block_on(producer.append(TOPIC, &[record]));
        assert_eq!(appended.unconfirmed, NONE);
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Assigned(i32, Option<(i64, String)>),
    Revoked(Vec<i32>, bool),
}

/// An owner of partitions that writes down what it is told, and takes as many runs of records as it has room for.
pub struct Owner {
    room: AtomicUsize,
    pub refused: AtomicUsize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
pub struct Seen {
    pub events: Vec<Event>,
    pub owned: BTreeMap<TopicPartition, Assigned>,
    pub taken: BTreeMap<i32, Vec<(i64, String)>>,
    pub high: BTreeMap<i32, i64>,
}

impl Owner {
    pub fn with_room(room: usize) -> Arc<Self> {
        Arc::new(Owner {
            room: AtomicUsize::new(room),
            refused: AtomicUsize::new(0),
            seen: Mutex::new(Seen::default()),
        })
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub fn make_room(&self, runs: usize) {
        self.room.fetch_add(runs, Ordering::SeqCst);
    }

    pub fn wait_for_partitions(&self, count: usize) {
        wait_for("partitions", || (self.seen().owned.len() == count).then_some(()));
    }

    pub fn taken(&self) -> usize {
        self.seen().taken.values().map(Vec::len).sum()
    }

    pub fn wait_for_records(&self, count: usize) {
        wait_for("records", || (self.taken() >= count).then_some(()));
    }
}

impl Partitions for Owner {
    fn assigned(&self, assigned: Assigned) {
        let mut seen = self.seen();
        seen.events.push(Event::Assigned(assigned.partition.partition, assigned.committed.clone()));
        seen.owned.insert(assigned.partition.clone(), assigned);
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) {
        let mut seen = self.seen();
        seen.events.push(Event::Revoked(partitions.iter().map(|of| of.partition).collect(), lost));
        for partition in partitions {
            seen.owned.remove(partition);
        }
    }

    fn deliver(&self, run: Run) -> Result<(), Run> {
        let taken = self.room.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        if taken.is_err() {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(run);
        }
        let mut seen = self.seen();
        assert!(seen.owned.contains_key(&run.partition), "records of a partition that is not ours");
        let taken = seen.taken.entry(run.partition.partition).or_default();
        for delivery in run.records {
            taken.push((delivery.offset, String::from_utf8(delivery.value.to_vec()).unwrap()));
        }
        Ok(())
    }

    fn high_watermark(&self, partition: &TopicPartition, offset: i64) {
        self.seen().high.insert(partition.partition, offset);
    }
}
