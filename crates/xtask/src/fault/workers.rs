//! Faults of workers.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::Scene;
use super::lab::WORKERS;
use super::settings::SESSION;
use crate::process::wait_for;

const KILLS: u32 = 20;
const PASSES_MAX: u64 = 30;
/// From its start to the armed step: a worker waits for the session of the one that died before it.
const STEP_DEADLINE: Duration = Duration::from_secs(60);

pub fn kill_at(scene: &mut Scene, step: &str) -> anyhow::Result<()> {
    let Scene { lab, dice, .. } = scene;
    let [worker, ..] = WORKERS;
    lab.kill(worker)?;
    for kill in 1..=KILLS {
        let passes = dice.between(1, PASSES_MAX);
        lab.start_worker(worker, Some(&format!("{step}:{passes}")))?;
        let status = lab.ended(worker, STEP_DEADLINE)?;
        if status.signal() != Some(Signal::ABORT.as_raw()) {
            bail!("the worker ended with {status} and not at its step\n{}", lab.log_tail(worker));
        }
        println!("    death {kill} of {KILLS} at pass {passes}");
    }
    Ok(())
}

pub fn stop_at(scene: &mut Scene, step: &str) -> anyhow::Result<()> {
    const STOPS: u32 = 6;
    let Scene { lab, dice, .. } = scene;
    let [zombie, heir, _] = WORKERS;
    lab.start_worker(heir, None)?;
    lab.wait_process(heir)?;
    for stop in 1..=STOPS {
        let passes = dice.between(1, PASSES_MAX);
        lab.kill(zombie)?;
        lab.start_worker(zombie, Some(&format!("{step}:{passes}:stop")))?;
        wait_for("the worker at its step", STEP_DEADLINE, || {
            let worker = lab.stack.service(zombie).context("the worker was started")?;
            worker.check()?;
            Ok(worker.is_stopped().then_some(()))
        })?;
        let still = SESSION + dice.milliseconds(1_000, 4_000);
        println!("    stop {stop} of {STOPS} at pass {passes} for {:.1} s", still.as_secs_f64());
        std::thread::sleep(still);
        lab.signal(zombie, Signal::CONT)?;
        lab.pass(dice.milliseconds(500, 4_000))?;
    }
    Ok(())
}

pub fn zombie(scene: &mut Scene) -> anyhow::Result<()> {
    const STOPS: u32 = 8;
    let Scene { lab, dice, .. } = scene;
    let [first, second, _] = WORKERS;
    lab.start_worker(second, None)?;
    lab.wait_process(second)?;
    for stop in 1..=STOPS {
        let worker = dice.one_of(&[first, second]);
        let still = SESSION + dice.milliseconds(500, 3_000);
        println!("    stop {stop} of {STOPS}: {worker} for {:.1} s", still.as_secs_f64());
        lab.signal(worker, Signal::STOP)?;
        std::thread::sleep(still);
        lab.signal(worker, Signal::CONT)?;
        lab.pass(dice.milliseconds(500, 4_000))?;
    }
    Ok(())
}

pub fn join_leave(scene: &mut Scene) -> anyhow::Result<()> {
    const CHANGES: u32 = 24;
    const EVERY: Duration = Duration::from_secs(2);
    let Scene { lab, dice, .. } = scene;
    for worker in &WORKERS[1..] {
        lab.start_worker(worker, None)?;
    }
    let mut present = WORKERS.to_vec();
    let mut leaving = Vec::new();
    for change in 1..=CHANGES {
        lab.pass(EVERY)?;
        let worker = dice.one_of(&WORKERS);
        if !present.contains(&worker) {
            lab.left(worker)?;
            leaving.retain(|leaving| *leaving != worker);
            lab.start_worker(worker, None)?;
            present.push(worker);
            println!("    change {change} of {CHANGES}: {worker} joins");
        } else if present.len() > 1 {
            lab.leave(worker)?;
            present.retain(|present| *present != worker);
            leaving.push(worker);
            println!("    change {change} of {CHANGES}: {worker} leaves");
        }
    }
    leaving.iter().try_for_each(|worker| lab.left(worker))
}
