//! Bodies that are made before they are sent, and what they cost the processes that answer them.
//!
//! The client of a measurement has to be cheap, and the same for everything that is compared: a round makes
//! its bodies, reads the CPU time of the process that will answer, sends, and reads it again.

mod cpu;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use self::walk::Walk;
use crate::client::{Client, Dialect, Reply};
use crate::fleet::Kind;
use crate::pace::Pace;
use crate::run::{BATCH_POINTS_MAX, HOURS_BACK_MAX};
use crate::target::Target;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// A round's bodies are in memory at once.
const BODIES_POINTS_MAX: usize = 4_000_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub targets: Vec<TargetPlan>,
    pub seed: u64,
    /// What bodies are made of, in turn.
    pub kinds: Vec<Kind>,
    /// Points a body, bodies a round, and how often each is sent in a round.
    pub points: u32,
    pub bodies: usize,
    pub passes: usize,
    /// New bodies for each round, with the points that come next; otherwise the first ones again.
    pub fresh: bool,
    pub connections: usize,
    /// Points a second; without it, as fast as the answers come.
    pub points_per_s: Option<f64>,
    pub hours_back: u32,
    /// Worker threads of the client.
    pub threads: usize,
}

/// A process that answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetPlan {
    pub name: String,
    pub url: String,
    pub pid: u32,
    pub token_file: PathBuf,
    /// How many devices the points come from.
    pub devices: u32,
}

/// What a round did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Round {
    pub requests: u64,
    pub points: u64,
    pub points_ok: u64,
    /// User and system time of the target's process, over the requests.
    pub cpu_s: f64,
    pub seconds: f64,
    /// The last answer that was no 200, if any.
    pub refusal: Option<String>,
}

type Body = (Kind, Bytes);

pub struct Replay {
    plan: Plan,
    targets: Vec<Arc<Dialect>>,
    /// Where each target's devices are; targets of as many devices share one, as they share the bodies.
    walks: Vec<Walk>,
    walk_of: Vec<usize>,
    bodies: Vec<Option<Arc<Vec<Body>>>>,
}

impl Replay {
    pub fn new(plan: Plan, now_s: u32) -> anyhow::Result<Self> {
        ensure!(!plan.kinds.is_empty(), "kinds: at least one");
        ensure!((1..=BATCH_POINTS_MAX).contains(&plan.points), "points: between 1 and {BATCH_POINTS_MAX}");
        ensure!(
            plan.bodies * plan.points as usize <= BODIES_POINTS_MAX,
            "bodies: {BODIES_POINTS_MAX} points at most are kept in memory"
        );
        ensure!(
            (1..=HOURS_BACK_MAX).contains(&plan.hours_back),
            "hours_back: between 1 and {HOURS_BACK_MAX}"
        );
        let (mut targets, mut walks, mut walk_of) = (Vec::new(), Vec::<Walk>::new(), Vec::new());
        for target in &plan.targets {
            let token = std::fs::read_to_string(&target.token_file)
                .with_context(|| format!("reading {}", target.token_file.display()))?;
            let address = Target::parse(&target.url).with_context(|| target.url.clone())?;
            targets.push(Arc::new(Dialect::new(address, token.trim(), REQUEST_TIMEOUT, Duration::ZERO)?));
            ensure!(target.devices >= 2, "{}: at least two devices", target.name);
            // Fresh points are somebody's own: no target may leave a gap in those of another.
            let shared = walks.iter().position(|walk| !plan.fresh && walk.devices() == target.devices);
            walk_of.push(shared.unwrap_or(walks.len()));
            if shared.is_none() {
                walks.push(Walk::new(plan.seed, target.devices, &plan.kinds, now_s, plan.hours_back));
            }
        }
        let bodies = vec![None; walks.len()];
        Ok(Self { plan, targets, walks, walk_of, bodies })
    }

    /// One round on the target of that name.
    pub async fn round(&mut self, name: &str) -> anyhow::Result<Round> {
        let index = self
            .plan
            .targets
            .iter()
            .position(|target| target.name == name)
            .with_context(|| format!("no target {name:?}"))?;
        let bodies = self.bodies_of(index)?;
        let pid = self.plan.targets[index].pid;
        let mut round =
            Round { requests: 0, points: 0, points_ok: 0, cpu_s: 0.0, seconds: 0.0, refusal: None };
        let before_s = cpu::seconds_of(pid)?;
        let began = Instant::now();
        self.send(index, &bodies, &mut round).await?;
        round.seconds = began.elapsed().as_secs_f64();
        round.cpu_s = cpu::seconds_of(pid)? - before_s;
        round.points = round.requests * u64::from(self.plan.points);
        Ok(round)
    }

    fn bodies_of(&mut self, target: usize) -> anyhow::Result<Arc<Vec<Body>>> {
        let walk = self.walk_of[target];
        if let Some(made) = &self.bodies[walk]
            && !self.plan.fresh
        {
            return Ok(Arc::clone(made));
        }
        // The old ones first: two rounds' bodies need not be in memory.
        self.bodies[walk] = None;
        let made = Arc::new(self.walks[walk].bodies(self.plan.bodies, self.plan.points as usize)?);
        self.bodies[walk] = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn send(&self, target: usize, bodies: &Arc<Vec<Body>>, round: &mut Round) -> anyhow::Result<()> {
        let requests = bodies.len() * self.plan.passes;
        let pace = Arc::new(Pace::new(Instant::now(), self.plan.points_per_s));
        let (next, points) = (Arc::new(AtomicUsize::new(0)), self.plan.points as usize);
        let mut connections = JoinSet::new();
        for _ in 0..self.plan.connections.max(1) {
            let mut client = Client::new(Arc::clone(&self.targets[target]));
            let (bodies, next, pace) = (Arc::clone(bodies), Arc::clone(&next), Arc::clone(&pace));
            connections.spawn(async move {
                let (mut sent, mut ok, mut refusal) = (0, 0, None);
                loop {
                    let request = next.fetch_add(1, Relaxed);
                    if request >= requests {
                        return (sent, ok, refusal);
                    }
                    sleep_until(pace.reserve(points)).await;
                    let (kind, body) = &bodies[request % bodies.len()];
                    sent += 1;
                    match client.post(*kind, body.clone()).await {
                        Reply::Answers(answers) => ok += points_ok(&answers),
                        Reply::Problem { status, detail, .. } => {
                            refusal = Some(format!("HTTP {status} {detail}"))
                        }
                        Reply::Silence(silence) => refusal = Some(silence.name().to_owned()),
                    }
                }
            });
        }
        while let Some(connection) = connections.join_next().await {
            let (sent, ok, refusal) = connection.context("a connection's task died")?;
            round.requests += sent;
            round.points_ok += ok;
            round.refusal = refusal.or(round.refusal.take());
        }
        if round.requests as usize != requests {
            bail!("{} of {requests} requests were sent", round.requests);
        }
        Ok(())
    }
}

/// How many points an answer calls OK: a gateway says so for each, the bare handler gives their number.
fn points_ok(answers: &[u8]) -> u64 {
    const OK: &[u8] = b"\"OK\"";
    if answers.first() != Some(&b'[') {
        return std::str::from_utf8(answers).ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    }
    // Entries begin with a brace, which no text of an entry has.
    answers
        .split(|byte| *byte == b'{')
        .filter(|entry| entry.windows(OK.len()).any(|window| window == OK))
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::points_ok;

    #[test]
    fn oks_are_counted() {
        assert_eq!(points_ok(br#"[{"status":"OK","message":""},{"status":"FAILED","message":"x"}]"#), 1);
        assert_eq!(points_ok(b"[]"), 0);
        assert_eq!(points_ok(b"1000"), 1000);
        assert_eq!(points_ok(b"no"), 0);
    }
}
