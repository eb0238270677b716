use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
// Every run of records finds its task by a map; what is hashed is our own.
use foldhash::{HashMap, HashMapExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};
use wattline_clickhouse_sink::ClickHouse;
use wattline_kafka::{
    Assigned, Connection, ConsumeError, Consumer, ConsumerSettings, Delivery, Partitions, Producer, Run,
    TopicPartition,
};
use wattline_model::Kind;
use wattline_parquet_sink::Store;
use wattline_traces::Traces;

use crate::derive::Deriver;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sinks::{PartitionOffsets, RejectedProducer};
use crate::task::{Batch, Shared, Task, TaskError, queue_bytes};
use crate::trace::Tracing;
use crate::unstored::Unstored;
use crate::{clock, metrics};

/// The worker: a member of the consumer group, and the tasks of the partitions it owns.
pub struct Worker {
    settings: Arc<Settings>,
    tables: Arc<ClickHouse>,
    files: Arc<Store>,
    rejected: Arc<RejectedProducer>,
    traces: Option<Traces>,
    writing: Arc<Semaphore>,
    seed: u64,
    runtime: Handle,
    tasks: Mutex<HashMap<TopicPartition, Running>>,
    faults: mpsc::UnboundedSender<Fault>,
    fault: Mutex<Option<mpsc::UnboundedReceiver<Fault>>>,
    is_member: AtomicBool,
}

/// A task that could not go on.
struct Fault {
    partition: TopicPartition,
    cause: TaskError,
}

struct Running {
    records: mpsc::UnboundedSender<Vec<Delivery>>,
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
    shared: Arc<Shared>,
    /// Open while the task may commit.
    gate: Arc<Gate>,
}

/// Shuts a task off from committing, once and for all, even in the middle of a commit.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_shut: Mutex<bool>,
}

impl Gate {
    /// Runs the commit while the gate stays as it is; none where it is shut.
    pub(crate) fn pass<T>(&self, commit: impl FnOnce() -> T) -> Option<T> {
        let is_shut = self.is_shut.lock().unwrap_or_else(PoisonError::into_inner);
        (!*is_shut).then(commit)
    }

    fn shut(&self) {
        *self.is_shut.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

impl Worker {
    /// Must be called within a runtime, which the tasks will run on.
    pub fn new(
        settings: Settings,
        tables: ClickHouse,
        files: Store,
        producer: Producer,
        traces: Option<Traces>,
    ) -> anyhow::Result<Arc<Self>> {
        let (faults, fault) = mpsc::unbounded_channel();
        Ok(Arc::new(Worker {
            rejected: Arc::new(RejectedProducer { producer, topic: settings.topic_rejected.clone() }),
            writing: Arc::new(Semaphore::new(settings.writing_bytes_max.div_ceil(1024))),
            settings: Arc::new(settings),
            tables: Arc::new(tables),
            files: Arc::new(files),
            traces,
            seed: getrandom::u64().map_err(|error| anyhow!("no randomness: {error}"))?,
            runtime: Handle::current(),
            tasks: Mutex::new(HashMap::new()),
            faults,
            fault: Mutex::new(Some(fault)),
            is_member: AtomicBool::new(false),
        }))
    }

    /// Whether the worker takes records and its sinks take rows, and why not.
    pub fn ready(&self) -> Result<(), String> {
        if !self.is_member.load(Ordering::Relaxed) {
            return Err("not a member of the consumer group".into());
        }
        let tasks = self.tasks();
        let mut retrying: Vec<String> = tasks
            .iter()
            .filter(|(_, task)| task.shared.retrying.load(Ordering::Relaxed))
            .map(|(partition, _)| partition.to_string())
            .collect();
        if retrying.is_empty() {
            return Ok(());
        }
        retrying.sort();
        Err(format!("a sink is being retried for {}", retrying.join(", ")))
    }

    /// Consumes until it is asked to stop. After a fault that a fresh start can heal it leaves the group, waits,
    /// and joins anew; any other fault is returned.
    pub async fn run(
        self: &Arc<Self>,
        connection: &Connection,
        consumer: &ConsumerSettings,
        stop: impl Future<Output = ()> + Send,
    ) -> anyhow::Result<()> {
        let mut fault = lock(&self.fault).take().context("the worker runs already")?;
        let mut wait = self.settings.retry_first;
        tokio::pin!(stop);
        loop {
            let joined = std::time::Instant::now();
            let outcome = self.member(connection, consumer, &mut fault, &mut stop).await;
            self.is_member.store(false, Ordering::Relaxed);
            let Some(cause) = outcome? else { return Ok(()) };
            // A member that lasted for a while begins the waits anew.
            if joined.elapsed() > 4 * self.settings.retry_max {
                wait = self.settings.retry_first;
            }
            metrics::restarted();
            warn!(cause = format!("{cause:#}"), ?wait, "leaving the group and joining anew");
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
            wait = (wait * 2).min(self.settings.retry_max);
            while fault.try_recv().is_ok() {}
        }
    }

    /// One membership of the group: none when it was asked to stop, else the fault that a fresh start can heal.
    async fn member(
        self: &Arc<Self>,
        connection: &Connection,
        settings: &ConsumerSettings,
        fault: &mut mpsc::UnboundedReceiver<Fault>,
        stop: &mut (impl Future<Output = ()> + Send + Unpin),
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let partitions: Arc<dyn Partitions> = Arc::clone(self) as Arc<dyn Partitions>;
        let consumer = Consumer::new(connection, settings, partitions)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (ended, mut end) = oneshot::channel();
        let stopped = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("consumer".into())
            .spawn(move || {
                // Nobody listens any more when the worker was asked to stop at the same moment.
                let _ = ended.send(consumer.run(&stopped));
            })
            .context("cannot start the consumer's thread")?;

        let mut faulted = None;
        let early = loop {
            tokio::select! {
                () = &mut *stop => break None,
                outcome = &mut end => break Some(outcome),
                Some(next) = fault.recv() => {
                    // The group will give the partition to somebody by itself.
                    if matches!(next.cause, TaskError::NotOurs) {
                        continue;
                    }
                    faulted = Some(next);
                    break None;
                }
            }
        };
        stopping.store(true, Ordering::Relaxed);
        let outcome = match early {
            Some(outcome) => outcome,
            None => end.await,
        };
        // The thread has sent its outcome, so this takes no time but that of closing the consumer.
        tokio::task::spawn_blocking(move || thread.join())
            .await
            .context("consumer")?
            .map_err(|_| anyhow!("panic"))?;
        let consumed: Result<(), ConsumeError> =
            outcome.context("the consumer's thread ended without a word")?;
        match (faulted, consumed) {
            (Some(fault), _) if fault.cause.is_transient() => {
                Ok(Some(anyhow::Error::from(fault.cause).context(fault.partition.to_string())))
            }
            (Some(fault), _) => {
                Err(anyhow::Error::from(fault.cause).context(format!("{} stops", fault.partition)))
            }
            (None, Err(cause)) if cause.is_permanent() => Err(cause.into()),
            (None, Err(cause)) => Ok(Some(cause.into())),
            (None, Ok(())) => Ok(None),
        }
    }

    fn tasks(&self) -> MutexGuard<'_, HashMap<TopicPartition, Running>> {
        lock(&self.tasks)
    }

    fn start(&self, assigned: Assigned) -> Result<Running, TaskError> {
        let Assigned { partition, committed, committer } = assigned;
        let progress = match &committed {
            Some((offset, metadata)) => Some(Progress::parse(*offset, metadata)?),
            None => None,
        };
        match &progress {
            Some(progress) => info!(%partition, %progress, "goes on"),
            None => info!(%partition, "begins"),
        }
        let kind = if *partition.topic == *self.settings.topic_counters {
            Kind::BatteryCounter
        } else {
            Kind::Battery
        };
        let shared = Arc::new(Shared::default());
        shared.stored_to.store(progress.map_or(0, |progress| progress.clickhouse.done), Ordering::Relaxed);
        let gate = Arc::new(Gate::default());
        let cache = self.settings.cache_devices_max;
        let task = Task {
            deriver: Deriver::new(kind, Arc::clone(&partition.topic), partition.partition, cache, self.seed),
            offsets: PartitionOffsets { committer, partition: partition.clone(), gate: Arc::clone(&gate) },
            partition: partition.clone(),
            settings: Arc::clone(&self.settings),
            tables: Arc::clone(&self.tables),
            files: Arc::clone(&self.files),
            rejected: Arc::clone(&self.rejected),
            shared: Arc::clone(&shared),
            tracing: Tracing::new(self.traces.clone(), &self.settings.group),
            writing: Arc::clone(&self.writing),
            progress,
            untold_since: None,
            batch: Batch::default(),
            open: None,
        };
        let (records, received) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let faults = self.faults.clone();
        let handle = self.runtime.spawn(async move {
            if let Err(cause) = task.run(received, stopped).await {
                let _ = faults.send(Fault { partition, cause });
            }
        });
        Ok(Running { records, stop, handle, shared, gate })
    }
}

impl Partitions for Worker {
    fn assigned(&self, assigned: Assigned) {
        let partition = assigned.partition.clone();
        match self.start(assigned) {
            Ok(running) => {
                let mut tasks = self.tasks();
                tasks.insert(partition, running);
                self.is_member.store(true, Ordering::Relaxed);
                metrics::owned(tasks.len());
            }
            Err(cause) => {
                error!(%partition, %cause, "cannot take the partition");
                let _ = self.faults.send(Fault { partition, cause });
            }
        }
    }

    fn revoked(&self, partitions: &[TopicPartition], lost: bool) {
        let mut stopping: Vec<(TopicPartition, Running)> = {
            let mut tasks = self.tasks();
            let stopping = partitions.iter().filter_map(|partition| tasks.remove_entry(partition)).collect();
            metrics::owned(tasks.len());
            stopping
        };
        // What is lost cannot be committed: whatever is written now would only be written again.
        if !lost {
            for (_, task) in &stopping {
                task.stop.send_replace(true);
            }
            let deadline = tokio::time::Instant::now() + self.settings.stop_timeout;
            self.runtime.block_on(async {
                for (partition, task) in &mut stopping {
                    if tokio::time::timeout_at(deadline, &mut task.handle).await.is_err() {
                        warn!(%partition, "did not stop in time; its last batch is done again by the next owner");
                    }
                }
            });
        }
        for (partition, task) in stopping {
            task.handle.abort();
            task.gate.shut();
            metrics::lag(&partition, 0);
            metrics::oldest_unstored(&partition, Unstored::default().ages_s(0));
        }
    }

    fn deliver(&self, run: Run) -> Result<(), Run> {
        let tasks = self.tasks();
        // A record of a partition that is gone belongs to its next owner.
        let Some(task) = tasks.get(&run.partition) else { return Ok(()) };
        // A pause costs what was fetched ahead, so a queue that was full takes records again when it is half empty.
        let max = self.settings.queue_bytes_max >> u32::from(task.shared.was_full.load(Ordering::Relaxed));
        let is_full = task.shared.queued_bytes.load(Ordering::Relaxed) > max;
        task.shared.was_full.store(is_full, Ordering::Relaxed);
        if is_full {
            return Err(run);
        }
        let bytes = run.records.iter().map(queue_bytes).sum();
        task.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A task that ended has reported its fault, and the worker begins anew from the committed offset.
        let _ = task.records.send(run.records);
        Ok(())
    }

    fn high_watermark(&self, partition: &TopicPartition, offset: i64) {
        if let Some(task) = self.tasks().get(partition) {
            metrics::lag(partition, offset - task.shared.stored_to.load(Ordering::Relaxed));
            metrics::oldest_unstored(partition, task.shared.unstored.ages_s(clock::now_ms()));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
