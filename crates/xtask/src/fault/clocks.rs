//! Clocks that step.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Scene;
use super::clients::is_served;
use super::lab::{GATEWAY, Lab, Role, WORKERS};
use super::load::Plan;
use super::shim::Clock;
use crate::process::wait_for;

/// The batteries' time begins so little before now, and passes so slowly, that a step back by minutes puts their
/// points too far into the future for the gateway. It has to say so, and is not wrong: what counts is that what
/// it answers OK is stored.
const HOURS_BACK: u32 = 3;
const POINTS_PER_S_MAX: u32 = 400;
/// Kafka takes no record that is more than an hour ahead of its own clock.
const AHEAD_MINUTES: [u64; 2] = [2, 55];
const BACK_MINUTES: [u64; 2] = [2, 240];
/// Back by more than the batteries' time begins before now.
const BACK_FAR_MINUTES: i64 = 240;
/// A worker writes every 300 ms; a busy machine adds to it.
const STORED_DEADLINE: Duration = Duration::from_secs(30);

pub fn steps(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    scene.end_load(None)?;
    let gateways = Clock::load(&mut scene.lab, Role::Gateway)?;
    let workers = Clock::load(&mut scene.lab, Role::Worker)?;
    scene.lab.terminate(GATEWAY)?;
    scene.lab.terminate(worker)?;
    scene.lab.heal()?;
    scene.begin_load(|plan| Plan {
        points_per_s: plan.points_per_s.min(POINTS_PER_S_MAX),
        hours_back: HOURS_BACK,
        ..plan
    })?;

    let Scene { lab, dice, .. } = scene;
    let [ahead, back] = [AHEAD_MINUTES, BACK_MINUTES];
    let mut minutes = |[low, high]: [u64; 2]| dice.between(low, high) as i64;
    let [ahead_1, ahead_2, back_1, back_2] = [minutes(ahead), minutes(ahead), -minutes(back), -minutes(back)];
    let steps = [
        (ahead_1, 0),
        (ahead_1, back_1),
        (-BACK_FAR_MINUTES, ahead_2),
        (0, back_2),
        (ahead_2, ahead_1),
        (back_1, back_1),
        (0, 0),
        (0, -BACK_FAR_MINUTES),
    ];
    for (step, (gateway, worker)) in (1..).zip(steps) {
        println!(
            "    step {step} of {}: the gateway {gateway:+} min, the worker {worker:+} min",
            steps.len()
        );
        gateways.step_to(gateway * 60_000)?;
        workers.step_to(worker * 60_000)?;
        lab.pass(dice.milliseconds(3_000, 6_000))?;
        // Of a gateway that is behind it is the points' time that decides.
        if gateway >= 0 {
            is_served(lab)?;
            is_stored(lab)?;
        }
    }
    let too_new = lab.metric(
        GATEWAY,
        "wattline_gateway_points_failed_total",
        &["kind=\"BATTERY\"", "reason=\"too_new\""],
    )?;
    println!("    {too_new} intervals were too far in the future for the gateway's clock");
    ensure!(too_new > 0, "the gateway's clock did not step");
    ensure!(lab.restarts == 0, "a process ended by itself");
    // The last line of its log tells the worker's clock.
    lab.terminate(worker)?;
    let shown = shown_minutes(lab, worker)?;
    println!("    the worker ended {shown:+} min from now, by its clock");
    ensure!(shown == -BACK_FAR_MINUTES, "the worker's clock did not step");
    workers.step_to(0)
}

/// Whether rows still come.
fn is_stored(lab: &mut Lab) -> anyhow::Result<()> {
    let rows = |lab: &Lab| lab.sql("SELECT count() FROM wattline.readings");
    let before = rows(lab)?;
    wait_for("a row in ClickHouse", STORED_DEADLINE, || {
        lab.supervise()?;
        Ok((rows(lab)? != before).then_some(()))
    })
}

/// How far the time of a log's last line is from now; the engine has a calendar, these commands have none.
fn shown_minutes(lab: &Lab, name: &str) -> anyhow::Result<i64> {
    let log = lab.log_tail(name);
    let time = log.lines().last().and_then(|line| line.split_whitespace().next()).context("an empty log")?;
    let query = format!(
        "SELECT toInt64(round((toUnixTimestamp(parseDateTimeBestEffort('{time}')) - toUnixTimestamp(now())) / 60))"
    );
    let answer = lab.sql(&query)?;
    answer.trim().parse().with_context(|| format!("{time:?} is no time: {answer}"))
}
