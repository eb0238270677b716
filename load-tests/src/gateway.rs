//! One site gateway: takes its devices' points, posts them, and sees each to its final state.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::account::Account;
use crate::client::{Client, Reply};
use crate::fleet::{Batch, Device, Kind, Order, Ring};
use crate::ledger::Verdict;
use crate::mix::Dice;
use crate::report::StoppedBy;
use crate::run::{Settings, Shared};

const BACKOFF_FIRST_MS: u32 = 100;
const BACKOFF_MAX_MS: u32 = 2_000;
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// Of the requests to BATTERY, one in this many has the older shape.
const OLDER_SHAPE_ONE_IN: u32 = 12;

pub(crate) struct Gateway {
    shared: Arc<Shared>,
    rings: [Ring; 2],
    client: Client,
    dice: Dice,
    account: Account,
    storms: u64,
}

/// One point's entry in the answer.
#[derive(Deserialize)]
struct PointAnswer<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl PointAnswer<'_> {
    fn asks_for_resend(&self) -> bool {
        self.message.starts_with("not confirmed")
    }
}

/// What is left to do for a batch after a reply.
enum Rest {
    Nothing,
    /// The whole batch again.
    All {
        reason: Option<String>,
        not_before: Option<Duration>,
    },
    Some {
        indices: Vec<usize>,
        reason: String,
    },
}

impl Gateway {
    pub(crate) fn new(shared: Arc<Shared>, number: u32, rings: [Ring; 2]) -> Self {
        let settings = &shared.settings;
        Self {
            client: Client::new(Arc::clone(&shared.dialect)),
            dice: Dice::new(settings.seed, u64::from(number)),
            account: Account::new(settings.keep_entries),
            storms: 0,
            shared,
            rings,
        }
    }

    pub(crate) async fn run(mut self) -> Account {
        while let Some(batch) = self.next_batch().await {
            let points = batch.points().len() as u64;
            self.account.points_sent += points;
            self.shared.live.sent.fetch_add(points, Relaxed);
            self.deliver(batch).await;
        }
        self.account
    }

    /// Waits for the batch's turn in the fleet's rhythm. None when the run or the devices' time is
    /// over.
    async fn next_batch(&mut self) -> Option<Batch> {
        let points = self.shared.settings.batch.points(&mut self.dice);
        let due = self.shared.pace.reserve(points);
        if !self.shared.stop.sleep_until(due).await || !self.shared.take_request() {
            return None;
        }
        let older_shape = self.dice.below(OLDER_SHAPE_ONE_IN) == 0;
        let limit_s = self.shared.present_s();
        self.rings.reverse();
        let [first, second] = &mut self.rings;
        first.batch(points, older_shape, limit_s).or_else(|| second.batch(points, older_shape, limit_s))
    }

    /// Sends a batch, again where no answer or no decision came, until every point is settled.
    async fn deliver(&mut self, mut batch: Batch) {
        let mut in_doubt = false;
        let mut last_reason = None;
        let mut resends = 0;
        loop {
            let reply = self.post(&batch).await;
            let not_before = match self.judge(&batch, reply, in_doubt) {
                Rest::Nothing => return,
                Rest::All { reason, not_before } => {
                    last_reason = reason.or(last_reason);
                    not_before
                }
                Rest::Some { indices, reason } => {
                    last_reason = Some(reason);
                    if indices.len() < batch.points().len() {
                        batch = batch.only(&indices);
                    }
                    None
                }
            };
            in_doubt = true;
            if resends == self.shared.settings.resend_max || !self.back_off(resends, not_before).await {
                let verdict = last_reason.as_deref().map_or(Verdict::Unknown, Verdict::Failed);
                self.settle_all(&batch, verdict, true);
                return;
            }
            resends += 1;
            self.account.resends += 1;
        }
    }

    async fn post(&mut self, batch: &Batch) -> Reply {
        let body = batch.body();
        let storms = self.shared.storms();
        if storms > self.storms {
            self.storms = storms;
            self.client.hang_up();
        }
        self.account.requests += 1;
        self.account.bytes_sent += body.len() as u64;
        let started = Instant::now();
        let reply = self.client.post(batch.kind(), body).await;
        let status = match &reply {
            Reply::Answers(_) => 200,
            Reply::Problem { status, .. } => *status,
            Reply::Silence(silence) => {
                *self.account.not_answered.entry(*silence).or_default() += 1;
                self.shared.live.not_answered.fetch_add(1, Relaxed);
                return reply;
            }
        };
        *self.account.http_status.entry(status).or_default() += 1;
        self.shared.live.latency.record(started.elapsed());
        reply
    }

    fn judge(&mut self, batch: &Batch, reply: Reply, in_doubt: bool) -> Rest {
        match reply {
            Reply::Answers(body) => self.judge_points(batch, &body, in_doubt),
            Reply::Silence(_) => Rest::All { reason: None, not_before: None },
            Reply::Problem { status, detail, retry_after } => {
                let reason = format!("HTTP {status} {detail}").trim_end().to_owned();
                if matches!(status, 408 | 429 | 500 | 502..=504) {
                    return Rest::All { reason: Some(reason), not_before: retry_after };
                }
                self.settle_all(batch, Verdict::Failed(&reason), in_doubt);
                *self.account.refusals.entry(reason).or_default() += 1;
                if matches!(status, 401 | 403 | 404 | 405 | 415) {
                    self.shared.stop.now(StoppedBy::Refusal);
                }
                Rest::Nothing
            }
        }
    }

    fn judge_points(&mut self, batch: &Batch, body: &[u8], in_doubt: bool) -> Rest {
        let answers = match serde_json::from_slice::<Vec<PointAnswer<'_>>>(body) {
            Ok(answers) if is_understood(&answers, batch) => answers,
            _ => {
                self.account.not_understood += 1;
                self.settle_all(batch, Verdict::Failed("answer not understood"), true);
                return Rest::Nothing;
            }
        };
        let (mut ok, mut failed) = (0, 0);
        let mut indices = Vec::new();
        let mut reason = None;
        for (index, (answer, sent)) in answers.iter().zip(batch.points()).enumerate() {
            let verdict = if answer.status == "OK" {
                ok += 1;
                Verdict::Ok
            } else if answer.asks_for_resend() {
                indices.push(index);
                reason.get_or_insert_with(|| answer.message.to_string());
                continue;
            } else {
                failed += 1;
                Verdict::Failed(&answer.message)
            };
            self.account.ledger.settle(batch.kind(), *sent, verdict, in_doubt);
        }
        self.shared.live.ok.fetch_add(ok, Relaxed);
        self.shared.live.failed.fetch_add(failed, Relaxed);
        reason.map_or(Rest::Nothing, |reason| Rest::Some { indices, reason })
    }

    fn settle_all(&mut self, batch: &Batch, verdict: Verdict<'_>, in_doubt: bool) {
        if matches!(verdict, Verdict::Failed(_)) {
            self.shared.live.failed.fetch_add(batch.points().len() as u64, Relaxed);
        }
        for sent in batch.points() {
            self.account.ledger.settle(batch.kind(), *sent, verdict, in_doubt);
        }
    }

    /// Waits before the next try; false when the run leaves no time for one.
    async fn back_off(&mut self, resends: u32, not_before: Option<Duration>) -> bool {
        let full_ms = BACKOFF_FIRST_MS.saturating_mul(1 << resends.min(10)).min(BACKOFF_MAX_MS);
        let jittered_ms = full_ms / 2 + self.dice.below(full_ms / 2 + 1);
        let asked = not_before.unwrap_or_default().min(RETRY_AFTER_MAX);
        let wait = Duration::from_millis(u64::from(jittered_ms)).max(asked);
        let due = Instant::now() + wait;
        if self.shared.stop.drain_ends().is_some_and(|end| due >= end) {
            return false;
        }
        sleep_until(due).await;
        true
    }
}

fn is_understood(answers: &[PointAnswer<'_>], batch: &Batch) -> bool {
    answers.len() == batch.points().len()
        && answers.iter().all(|answer| matches!(&*answer.status, "OK" | "FAILED"))
}

/// The rings of a gateway that owns `devices`.
pub(crate) fn rings(settings: &Settings, devices: std::ops::Range<u32>) -> [Ring; 2] {
    let first_s = settings.first_s();
    Kind::ALL.map(|kind| {
        let devices: Vec<Device> = devices
            .clone()
            .filter(|index| Kind::of(*index) == kind)
            .map(|index| Device::new(settings.seed, index, first_s))
            .collect();
        match settings.order {
            Order::InTurn => Ring::new(kind, devices, settings.bad_permille),
            Order::Shuffled => {
                let mut dice = Dice::new(settings.seed, u64::from(devices.first().map_or(0, Device::index)));
                Ring::shuffled(kind, devices, settings.bad_permille, settings.now_s, &mut dice)
            }
        }
    })
}
