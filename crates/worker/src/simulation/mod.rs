//! The task of a partition in a world of its own: a log, tables, files and a clock in memory, and every
//! mishap drawn from a seed. A failure prints its seed; `WATTLINE_TEST_SEED=n` runs that one alone, and
//! `WATTLINE_TEST_SEEDS=n` says how many are run.

mod log;
mod oracle;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;
use wattline_kafka::{Delivery, TopicPartition};
use wattline_model::Kind;

use crate::derive::Deriver;
use crate::progress::{Progress, SinkProgress};
use crate::settings::Settings;
use crate::task::{Batch, Shared, Task, TaskError, queue_bytes};
use crate::trace::Tracing;
use world::{Rng, SimFiles, SimOffsets, SimRejected, SimTables, World};

const TOPIC: &str = "wattline.counters";
const PARTITION: i32 = 3;

fn settings() -> Settings {
    Settings {
        group: "wattline-worker".into(),
        topic_intervals: "wattline.intervals".into(),
        topic_counters: TOPIC.into(),
        topic_rejected: "wattline.rejected".into(),
        flush_after: Duration::from_millis(1_000),
        flush_bytes_max: 6_000,
        writing_bytes_max: 8_192,
        file_after: Duration::from_millis(9_000),
        file_bytes_max: 60,
        queue_bytes_max: usize::MAX,
        // So few that devices are forgotten and looked up again.
        cache_devices_max: 3,
        stop_timeout: Duration::from_secs(10),
        retry_first: Duration::from_millis(50),
        retry_max: Duration::from_secs(2),
    }
}

/// How an owner of the partition ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It dies between two steps of a write.
    Killed,
    /// It is taken for dead, wakes up later, and goes on as if nothing had happened.
    Zombie,
    /// It is told to stop and writes what it has.
    Stopped,
}

async fn simulate(seed: u64, kind: Kind) {
    let mut rng = Rng::new(seed);
    let log = Arc::new(log::generate(&mut rng, kind));
    let world = World::new(rng.fork());
    let mut zombies = Vec::new();
    let owners = rng.below(9);
    for _ in 0..owners {
        let end = [End::Killed, End::Killed, End::Zombie, End::Stopped][rng.below(4) as usize];
        let lives_for = rng.below(40) + 1;
        if let Some(zombie) = own(&world, &log, kind, Some((end, lives_for)), &mut rng).await {
            zombies.push(zombie);
        }
    }
    world.lock().heal();
    for zombie in zombies {
        // Whatever it still does, it does against a world that has gone on.
        let _ =
            tokio::time::timeout(Duration::from_secs(600), zombie).await.expect("a zombie ends by itself");
    }
    own(&world, &log, kind, None, &mut rng).await;
    oracle::check(&world.lock(), &log, kind);
}

/// One owner of the partition, from its assignment to its end. A zombie is handed back.
async fn own(
    world: &World,
    log: &Arc<Vec<log::Entry>>,
    kind: Kind,
    end: Option<(End, u64)>,
    rng: &mut Rng,
) -> Option<tokio::task::JoinHandle<Result<(), TaskError>>> {
    let generation = world.lock().next_generation();
    let committed = world.lock().committed();
    let progress = committed
        .as_ref()
        .map(|(offset, metadata)| Progress::parse(*offset, metadata).expect("our own metadata"));
    let partition = TopicPartition { topic: TOPIC.into(), partition: PARTITION };
    let shared = Arc::new(Shared::default());
    shared.stored_to.store(progress.map_or(0, |progress| progress.clickhouse.done), Ordering::Relaxed);
    let actor = world.actor(generation);
    let task = Task {
        deriver: Deriver::new(kind, Arc::clone(&partition.topic), PARTITION, settings().cache_devices_max, 7),
        offsets: SimOffsets(actor.clone()),
        partition: partition.clone(),
        settings: Arc::new(settings()),
        tables: Arc::new(SimTables(actor.clone())),
        files: Arc::new(SimFiles(actor.clone())),
        rejected: SimRejected(actor.clone()),
        shared: Arc::clone(&shared),
        tracing: Tracing::default(),
        writing: Arc::new(Semaphore::new(8)),
        progress,
        untold_since: None,
        batch: Batch::default(),
        open: None,
    };
    let (records, received) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let mut running = tokio::spawn(task.run(received, stopped));

    let from = committed.map_or(0, |(offset, _)| offset);
    let (feeder_log, feeder_shared) = (Arc::clone(log), Arc::clone(&shared));
    let pace_ms = rng.below(300);
    let is_fed = Arc::new(AtomicBool::new(false));
    let fed = Arc::clone(&is_fed);
    let feeder = tokio::spawn(async move {
        for entry in feeder_log.iter().filter(|entry| entry.offset >= from) {
            let delivery = Delivery {
                offset: entry.offset,
                time_ms: entry.time_ms,
                value: entry.value.clone().into(),
                traceparent: None,
            };
            feeder_shared.queued_bytes.fetch_add(queue_bytes(&delivery), Ordering::Relaxed);
            if records.send(vec![delivery]).is_err() {
                return;
            }
            sleep(Duration::from_millis(pace_ms)).await;
        }
        fed.store(true, Ordering::Relaxed);
        // The consumer stays as long as its partition does.
        std::future::pending::<()>().await;
    });

    let handed_back = match end {
        None => {
            // The last owner reads to the end, then stops in order.
            let deadline = tokio::time::Instant::now() + Duration::from_secs(3_600);
            let last = log.last().map_or(0, |entry| entry.offset);
            loop {
                sleep(Duration::from_secs(20)).await;
                assert!(tokio::time::Instant::now() < deadline, "the last owner does not get to the end");
                assert!(!running.is_finished(), "the last owner ended early: {:?}", running.await);
                let is_taken =
                    is_fed.load(Ordering::Relaxed) && shared.queued_bytes.load(Ordering::Relaxed) == 0;
                if is_taken && shared.stored_to.load(Ordering::Relaxed) > last {
                    break;
                }
            }
            // No batch comes any more whose announcement would tell Kafka of the last one.
            sleep(3 * settings().flush_after).await;
            assert_eq!(clickhouse_done(world), last + 1, "Kafka hears soon of what is done");
            stop.send_replace(true);
            running.await.expect("no panic").expect("a healed world");
            None
        }
        Some((end, steps)) => {
            let ended = tokio::select! {
                ended = &mut running => Some(ended),
                () = actor.after_steps(steps) => None,
                // An owner that has nothing left to do.
                () = sleep(Duration::from_secs(120)) => None,
            };
            match (ended, end) {
                (Some(ended), _) => {
                    let outcome = ended.expect("no panic");
                    let cause = outcome.expect_err("nobody told it to stop");
                    assert!(cause.is_transient(), "only what a fresh start can heal happens here: {cause}");
                    None
                }
                (None, End::Killed) => {
                    running.abort();
                    let _ = running.await;
                    None
                }
                (None, End::Zombie) => {
                    actor.freeze(Duration::from_secs(rng.below(60)));
                    Some(running)
                }
                (None, End::Stopped) => {
                    stop.send_replace(true);
                    // A sink may be failing: the supervisor's patience has an end.
                    if let Ok(ended) = tokio::time::timeout(settings().stop_timeout, &mut running).await {
                        if let Err(cause) = ended.expect("no panic") {
                            assert!(cause.is_transient(), "{cause}");
                        }
                    } else {
                        running.abort();
                        let _ = running.await;
                    }
                    None
                }
            }
        }
    };
    if handed_back.is_none() {
        feeder.abort();
    }
    world.lock().drop_temporary_files(generation);
    handed_back
}

/// As the group has it; an announced range is not done.
fn clickhouse_done(world: &World) -> i64 {
    let (offset, metadata) = world.lock().committed().expect("an owner that stored something");
    let SinkProgress { done, announced } =
        Progress::parse(offset, &metadata).expect("our own metadata").clickhouse;
    if announced.is_some() { 0 } else { done }
}

fn run(seed: u64) {
    let kind = if seed.is_multiple_of(4) { Kind::Battery } else { Kind::BatteryCounter };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(simulate(seed, kind));
}

#[expect(clippy::disallowed_methods, reason = "a test that is told its seed")]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn every_point_is_stored_exactly_once_whatever_happens() {
    if let Some(seed) = variable("WATTLINE_TEST_SEED") {
        run(seed);
        return;
    }
    let seeds = variable("WATTLINE_TEST_SEEDS").unwrap_or(2_000);
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (0..seeds).filter(|seed| seed % threads == thread) {
                    let outcome = std::panic::catch_unwind(|| run(seed));
                    assert!(outcome.is_ok(), "seed {seed} fails; WATTLINE_TEST_SEED={seed} runs it alone");
                }
            });
        }
    });
}
