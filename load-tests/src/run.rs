//! A run of the whole fleet: starts the gateways, watches the clock, sums up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::account::Account;
pub use crate::batch_size::BatchSize;
use crate::client::Dialect;
use crate::fleet::{INTERVAL_S, Order, Ring};
use crate::gateway::{Gateway, rings};
use crate::histogram::{Counts, Histogram};
use crate::ledger::Ledger;
use crate::pace::Pace;
use crate::report::{Report, StoppedBy};
use crate::target::Target;

/// The HTTP contract's bound on the points of a request.
pub const BATCH_POINTS_MAX: u32 = 1_000;
/// A day less than a gateway accepts.
pub const HOURS_BACK_MAX: u32 = 34 * 24;
/// Points out of order are made before they are sent, and take about 150 bytes each.
pub const SHUFFLED_POINTS_MAX: u64 = 5_000_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct Settings {
    pub target: Target,
    pub token: String,
    pub seed: u64,
    pub devices: u32,
    /// Connections, and at most as many requests at once.
    pub gateways: u32,
    pub seconds: u32,
    /// None: as fast as the answers come.
    pub points_per_s: Option<f64>,
    pub requests_max: Option<u64>,
    pub batch: BatchSize,
    pub bad_permille: u32,
    /// How often a request is sent again; zero for never.
    pub resend_max: u32,
    /// How long resends may go on after the run's end.
    pub drain_s: u32,
    pub request_timeout_ms: u32,
    pub slow_answers_ms: u32,
    /// The wall clock at the start, and how far before it the devices begin.
    pub now_s: u32,
    pub hours_back: u32,
    pub order: Order,
    /// Every so many seconds all gateways hang up at once and connect anew; zero for never.
    pub reconnect_every_s: u32,
    /// Keeps an entry for each point, for `Ledger::write`.
    pub keep_entries: bool,
}

impl Settings {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.devices > 0, "a fleet needs at least one device");
        ensure!(
            (1..=self.devices).contains(&self.gateways),
            "gateways must be between 1 and the number of devices"
        );
        ensure!(
            (1..=HOURS_BACK_MAX).contains(&self.hours_back),
            "hours back must be between 1 and {HOURS_BACK_MAX}"
        );
        ensure!(self.bad_permille <= 1_000, "bad points are at most 1000 in a thousand");
        if let BatchSize::Fixed(points) = self.batch {
            ensure!(
                (1..=BATCH_POINTS_MAX).contains(&points),
                "a request carries between 1 and {BATCH_POINTS_MAX} points"
            );
        }
        if let Some(rate) = self.points_per_s {
            ensure!(rate.is_finite() && rate > 0.0, "the rate must be above zero");
        }
        if self.order == Order::Shuffled {
            let points = u64::from(self.devices) * u64::from(self.hours_back) * u64::from(3_600 / INTERVAL_S);
            ensure!(
                points <= SHUFFLED_POINTS_MAX,
                "{points} points are too many to shuffle: {SHUFFLED_POINTS_MAX} at most"
            );
        }
        Ok(())
    }

    pub(crate) fn first_s(&self) -> u32 {
        self.now_s.saturating_sub(self.hours_back * 3_600) / INTERVAL_S * INTERVAL_S
    }

    /// Neighbouring devices share a gateway, so that each gateway has both kinds.
    fn devices_of(&self, gateway: u32) -> std::ops::Range<u32> {
        let bound =
            |gateway: u32| (u64::from(self.devices) * u64::from(gateway) / u64::from(self.gateways)) as u32;
        bound(gateway)..bound(gateway + 1)
    }
}

/// What the fleet has done so far, once a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Progress {
    pub elapsed_s: f64,
    pub sent: u64,
    pub ok: u64,
    pub failed: u64,
    pub requests_not_answered: u64,
    /// Over the last second, as are the latencies.
    pub settled_per_s: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub slowest_ms: f64,
}

#[derive(Debug)]
pub struct Outcome {
    pub report: Report,
    pub ledger: Ledger,
}

/// Counters that the progress line reads while the gateways write.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) sent: AtomicU64,
    pub(crate) ok: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) not_answered: AtomicU64,
    pub(crate) latency: Histogram,
}

/// What the last progress line was made from.
struct Watch {
    started: Instant,
    earlier: Instant,
    settled: u64,
    latency: Counts,
}

impl Watch {
    fn new(started: Instant, live: &Live) -> Self {
        Self { started, earlier: started, settled: 0, latency: live.latency.counts() }
    }

    fn progress(&mut self, now: Instant, live: &Live) -> Progress {
        let (ok, failed) = (live.ok.load(Relaxed), live.failed.load(Relaxed));
        let latency = live.latency.counts();
        let lately = latency.since(&self.latency);
        let seconds = (now - self.earlier).as_secs_f64().max(0.001);
        let progress = Progress {
            elapsed_s: (now - self.started).as_secs_f64(),
            sent: live.sent.load(Relaxed),
            ok,
            failed,
            requests_not_answered: live.not_answered.load(Relaxed),
            settled_per_s: (ok + failed - self.settled) as f64 / seconds,
            p50_ms: lately.quantile_ms(0.5),
            p90_ms: lately.quantile_ms(0.9),
            p99_ms: lately.quantile_ms(0.99),
            slowest_ms: lately.quantile_ms(1.0),
        };
        self.earlier = now;
        self.settled = ok + failed;
        self.latency = latency;
        progress
    }
}

/// The run's end: once it is set, no new points are taken, and resends have until its time.
#[derive(Debug)]
pub(crate) struct Stop {
    ended: watch::Sender<Option<(StoppedBy, Instant)>>,
    drain: Duration,
}

impl Stop {
    pub(crate) fn now(&self, by: StoppedBy) {
        let drain_ends = Instant::now() + self.drain;
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert((by, drain_ends));
            first
        });
    }

    pub(crate) fn drain_ends(&self) -> Option<Instant> {
        self.ended.borrow().map(|(_, drain_ends)| drain_ends)
    }

    fn reason(&self) -> Option<StoppedBy> {
        self.ended.borrow().map(|(by, _)| by)
    }

    /// False when the run ended before `due`.
    pub(crate) async fn sleep_until(&self, due: Instant) -> bool {
        if due > Instant::now() {
            let mut ended = self.ended.subscribe();
            tokio::select! {
                () = sleep_until(due) => {}
                _ = ended.wait_for(Option::is_some) => return false,
            }
        }
        self.drain_ends().is_none()
    }
}

/// What every gateway of a run needs.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) dialect: Arc<Dialect>,
    pub(crate) pace: Pace,
    pub(crate) live: Live,
    pub(crate) stop: Stop,
    started: Instant,
    requests_taken: AtomicU64,
}

impl Shared {
    /// How often all gateways have had to hang up by now.
    pub(crate) fn storms(&self) -> u64 {
        match self.settings.reconnect_every_s {
            0 => 0,
            every_s => self.started.elapsed().as_secs() / u64::from(every_s),
        }
    }

    /// The wall clock: devices do not report what lies ahead of it.
    pub(crate) fn present_s(&self) -> u32 {
        self.settings.now_s + self.started.elapsed().as_secs() as u32
    }

    /// False when the run's requests are used up.
    pub(crate) fn take_request(&self) -> bool {
        let Some(max) = self.settings.requests_max else { return true };
        let taken = self.requests_taken.fetch_add(1, Relaxed) < max;
        if !taken {
            self.stop.now(StoppedBy::Requests);
        }
        taken
    }
}

/// Runs the fleet until its seconds, its requests or its devices' time are over, or `signal` comes.
/// `progress` is called once a second.
pub async fn run(
    settings: Settings,
    signal: impl Future<Output = ()>,
    mut progress: impl FnMut(&Progress),
) -> anyhow::Result<Outcome> {
    settings.check()?;
    let dialect = Dialect::new(
        settings.target,
        &settings.token,
        Duration::from_millis(settings.request_timeout_ms.into()),
        Duration::from_millis(settings.slow_answers_ms.into()),
    )?;
    let fleet = build(&settings).await?;

    let started = Instant::now();
    let shared = Arc::new(Shared {
        dialect: Arc::new(dialect),
        pace: Pace::new(started, settings.points_per_s),
        live: Live {
            sent: AtomicU64::new(0),
            ok: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            not_answered: AtomicU64::new(0),
            latency: Histogram::new(),
        },
        stop: Stop { ended: watch::Sender::new(None), drain: Duration::from_secs(settings.drain_s.into()) },
        started,
        requests_taken: AtomicU64::new(0),
        settings,
    });
    let mut gateways = JoinSet::new();
    for (number, rings) in (0..).zip(fleet) {
        gateways.spawn(Gateway::new(Arc::clone(&shared), number, rings).run());
    }
    let account = watch_over(&shared, gateways, signal, &mut progress).await?;
    let stopped_by = shared.stop.reason().unwrap_or(StoppedBy::Present);
    let elapsed = shared.started.elapsed();
    let report = account.report(&shared.settings, elapsed, &shared.live.latency, stopped_by);
    Ok(Outcome { report, ledger: account.ledger })
}

/// Sets every gateway's devices down at the start of their time, on all cores.
async fn build(settings: &Settings) -> anyhow::Result<Vec<[Ring; 2]>> {
    let builds: Vec<_> = (0..settings.gateways)
        .map(|gateway| {
            let (settings, devices) = (settings.clone(), settings.devices_of(gateway));
            tokio::task::spawn_blocking(move || rings(&settings, devices))
        })
        .collect();
    let mut fleet = Vec::with_capacity(builds.len());
    for build in builds {
        fleet.push(build.await.context("a gateway's devices could not be made")?);
    }
    Ok(fleet)
}

async fn watch_over(
    shared: &Shared,
    mut gateways: JoinSet<Account>,
    signal: impl Future<Output = ()>,
    progress: &mut impl FnMut(&Progress),
) -> anyhow::Result<Account> {
    let ends = shared.started + Duration::from_secs(shared.settings.seconds.into());
    let mut tick = interval_at(shared.started + PROGRESS_EVERY, PROGRESS_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch::new(shared.started, &shared.live);
    let mut signal = std::pin::pin!(signal);
    let mut signalled = false;
    let mut sum = Account::new(shared.settings.keep_entries);
    loop {
        let running = shared.stop.drain_ends().is_none();
        tokio::select! {
            joined = gateways.join_next() => match joined {
                Some(account) => sum.merge(account.context("a gateway's task died")?),
                None => return Ok(sum),
            },
            () = sleep_until(ends), if running => shared.stop.now(StoppedBy::Seconds),
            () = &mut signal, if !signalled => {
                signalled = true;
                shared.stop.now(StoppedBy::Signal);
            }
            now = tick.tick() => progress(&watch.progress(now, &shared.live)),
        }
    }
}
