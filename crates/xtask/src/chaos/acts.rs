//! The faults that chaos draws from: each is over in seconds and leaves the rest to recovery.

use std::time::Duration;

use rustix::process::Signal;

use crate::fault::STEPS;
use crate::fault::dice::Dice;
use crate::fault::lab::{CLICKHOUSE, GATEWAY, KAFKA, Lab, WORKERS};
use crate::fault::settings::SESSION;

pub struct Act {
    pub name: &'static str,
    /// How often it is drawn, relative to the others.
    weight: u64,
    cause: fn(&mut Chaos, &mut Lab) -> anyhow::Result<()>,
}

const ACTS: &[Act] = &[
    Act { name: "worker-kill", weight: 4, cause: worker_kill },
    Act { name: "worker-kill-at-step", weight: 6, cause: worker_kill_at_step },
    Act { name: "worker-joins-or-leaves", weight: 6, cause: worker_joins_or_leaves },
    Act { name: "worker-sigstop-short", weight: 2, cause: worker_sigstop_short },
    Act { name: "worker-sigstop-zombie", weight: 3, cause: worker_sigstop_zombie },
    Act { name: "gateway-kill", weight: 4, cause: gateway_kill },
    Act { name: "clickhouse-kill", weight: 3, cause: clickhouse_kill },
    Act { name: "clickhouse-reply-lost", weight: 4, cause: clickhouse_reply_lost },
    Act { name: "clickhouse-stalled", weight: 2, cause: clickhouse_stalled },
    Act { name: "clickhouse-cut", weight: 2, cause: clickhouse_cut },
    Act { name: "broker-kill", weight: 2, cause: broker_kill },
    Act { name: "broker-stall", weight: 2, cause: broker_stall },
    Act { name: "produce-reply-lost", weight: 4, cause: produce_reply_lost },
    Act { name: "produce-cut", weight: 2, cause: produce_cut },
];

pub struct Chaos {
    pub dice: Dice,
}

impl Chaos {
    pub fn new(dice: Dice) -> Chaos {
        Chaos { dice }
    }

    pub fn draw(&mut self) -> &'static Act {
        let weights: u64 = ACTS.iter().map(|act| act.weight).sum();
        let mut drawn = self.dice.between(1, weights);
        for act in ACTS {
            if drawn <= act.weight {
                return act;
            }
            drawn -= act.weight;
        }
        &ACTS[0]
    }

    pub fn cause(&mut self, act: &Act, lab: &mut Lab) -> anyhow::Result<()> {
        (act.cause)(self, lab)
    }

    /// One of the workers that run.
    fn worker(&mut self, lab: &mut Lab) -> anyhow::Result<&'static str> {
        lab.supervise()?;
        let running: Vec<&'static str> =
            WORKERS.into_iter().filter(|worker| lab.is_running(worker)).collect();
        if running.is_empty() {
            lab.start_worker(WORKERS[0], None)?;
            return Ok(WORKERS[0]);
        }
        Ok(self.dice.one_of(&running))
    }
}

fn worker_kill(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    let worker = chaos.worker(lab)?;
    lab.kill(worker)?;
    lab.start_worker(worker, None)
}

/// The worker dies when it next comes by a step; that it is started again then is the supervisor's matter.
fn worker_kill_at_step(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    let worker = chaos.worker(lab)?;
    let (step, _) = chaos.dice.one_of(&STEPS);
    let passes = chaos.dice.between(1, 30);
    lab.kill(worker)?;
    lab.start_worker(worker, Some(&format!("{step}:{passes}")))
}

/// Of three workers one at least stays.
fn worker_joins_or_leaves(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    let worker = chaos.dice.one_of(&WORKERS[1..]);
    if lab.is_running(worker) {
        return lab.terminate(worker);
    }
    lab.start_worker(worker, None)
}

fn worker_sigstop_short(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    let still = chaos.dice.milliseconds(200, 2_000);
    stop(chaos, lab, still)
}

fn worker_sigstop_zombie(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    let still = SESSION + chaos.dice.milliseconds(300, 2_000);
    stop(chaos, lab, still)
}

fn stop(chaos: &mut Chaos, lab: &mut Lab, still: Duration) -> anyhow::Result<()> {
    let worker = chaos.worker(lab)?;
    lab.signal(worker, Signal::STOP)?;
    lab.pass(still)?;
    lab.signal(worker, Signal::CONT)
}

fn gateway_kill(_: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    if lab.is_running(GATEWAY) {
        lab.kill(GATEWAY)?;
    }
    lab.stack.forget(GATEWAY)?;
    lab.start_gateway()
}

fn clickhouse_kill(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    service_kill(chaos, lab, CLICKHOUSE)
}

fn broker_kill(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    service_kill(chaos, lab, KAFKA)
}

fn service_kill(chaos: &mut Chaos, lab: &mut Lab, name: &str) -> anyhow::Result<()> {
    lab.kill(name)?;
    lab.pass(chaos.dice.milliseconds(50, 1_500))?;
    lab.start_service(name)
}

fn broker_stall(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.signal(KAFKA, Signal::STOP)?;
    lab.pass(chaos.dice.milliseconds(500, 5_000))?;
    lab.signal(KAFKA, Signal::CONT)
}

fn clickhouse_reply_lost(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.clickhouse_proxy.order("drop-replies")?;
    lab.pass(chaos.dice.milliseconds(300, 2_000))?;
    lab.clickhouse_proxy.order("pass")
}

fn clickhouse_stalled(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.clickhouse_proxy.order("stall")?;
    lab.pass(chaos.dice.milliseconds(500, 5_000))?;
    lab.clickhouse_proxy.order("pass")
}

fn clickhouse_cut(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.clickhouse_proxy.order("cut")?;
    lab.pass(chaos.dice.milliseconds(50, 1_000))?;
    lab.clickhouse_proxy.order("pass")
}

fn produce_reply_lost(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.kafka_proxy.order("drop-replies")?;
    lab.pass(chaos.dice.milliseconds(100, 2_000))?;
    lab.kafka_proxy.order("pass")
}

fn produce_cut(chaos: &mut Chaos, lab: &mut Lab) -> anyhow::Result<()> {
    lab.kafka_proxy.order("cut")?;
    lab.pass(chaos.dice.milliseconds(50, 1_000))?;
    lab.kafka_proxy.order("pass")
}
