//! Topics that lose their records, or go away: the worker stops and says what to type, and it is typed.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::Scene;
use super::lab::{GATEWAY, Lab, WORKERS};
use super::load::Plan;

/// The topics of interval data and of counters, as `wattline migrate` makes them.
pub const INTERVALS: &str = "wattline.intervals";
pub const COUNTERS: &str = "wattline.counters";
/// The endpoint whose points are in the first of them.
const BATTERY: &str = "BATTERY";
const PARTITIONS: u32 = 12;
/// A topic that was lost gets a successor of another name.
const SUCCESSOR: &str = "wattline.intervals-2";
/// A worker that cannot go on has ended by then: a topic that goes away is noticed after some 20 s, has 10 s to come
/// back, and then the tasks have 15 s to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(90);

/// The loads after the first one begin later, with other points.
fn later(plan: Plan) -> Plan {
    Plan { hours_back: plan.hours_back / 2, ..plan }
}

pub fn retention_overrun(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    // A group that has committed nothing yet would begin with what is left.
    scene.settle()?;
    scene.begin_load(later)?;
    scene.lab.kill(worker)?;
    scene.lab.pass(Duration::from_secs(5))?;
    scene.end_load(Some(BATTERY))?;
    println!("    {INTERVALS} loses all its records");
    scene.lab.topic_fault(&["empty", INTERVALS])?;
    scene.lab.start_worker(worker, None)?;
    let said = worker_stops(&mut scene.lab)?;

    reset_offsets(&scene.lab, &said)?;
    scene.lab.heal()?;
    scene.begin_load(|plan| later(later(plan)))
}

/// Types the command of a worker's message.
fn reset_offsets(lab: &Lab, said: &str) -> anyhow::Result<()> {
    const SCRIPT: &str = "kafka-consumer-groups.sh";
    const LAST: &str = "--execute";
    let (_, command) = said.split_once(SCRIPT).context("no command to type")?;
    let (command, _) = command.split_once(LAST).context("the command is cut off")?;
    let partitions: Vec<String> = (0..PARTITIONS).map(|partition| partition.to_string()).collect();
    let command = command
        .replace("HOST:PORT", lab.bootstrap())
        .replace("TOPIC:PARTITION", &format!("{INTERVALS}:{}", partitions.join(",")));
    println!("    typing {SCRIPT}{command}{LAST}");
    let arguments: Vec<&str> = command.split_whitespace().chain([LAST]).collect();
    let answer = lab.consumer_groups(&arguments)?;
    let reset = answer.lines().filter(|line| line.contains(INTERVALS)).count();
    ensure!(reset == PARTITIONS as usize, "{reset} of {PARTITIONS} partitions were reset:\n{answer}");
    Ok(())
}

pub fn topic_recreated(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    scene.settle()?;
    scene.begin_load(later)?;
    scene.end_load(Some(BATTERY))?;
    scene.lab.kill(worker)?;
    scene.lab.terminate(GATEWAY)?;
    println!("    {INTERVALS} is deleted and made anew");
    scene.lab.topic_fault(&["delete", INTERVALS])?;
    // The deletion is carried out a moment after it is answered.
    scene.lab.pass(Duration::from_secs(3))?;
    scene.lab.site.run(&["migrate"])?;
    scene.lab.start_worker(worker, None)?;
    let said = worker_stops(&mut scene.lab)?;

    rename(&mut scene.lab, &said)?;
    scene.lab.heal()?;
    scene.begin_load(|plan| later(later(plan)))
}

/// Gives the lost topic's successor its name, as a worker's message says.
fn rename(lab: &mut Lab, said: &str) -> anyhow::Result<()> {
    ensure!(said.contains("kafka.topic_intervals"), "it does not name the key:\n{said}");
    ensure!(said.contains("wattline migrate"), "it does not say what makes the topic:\n{said}");
    println!("    kafka.topic_intervals is {SUCCESSOR} from now on; typing wattline migrate");
    lab.site.set("WATTLINE_KAFKA_TOPIC_INTERVALS", SUCCESSOR);
    lab.site.run(&["migrate"])
}

pub fn topic_deleted(scene: &mut Scene) -> anyhow::Result<()> {
    /// A request is answered when its last record is acknowledged or given up, after 10 s; so until then OKs come
    /// for what was appended before the deletion.
    const ANSWERED: Duration = Duration::from_secs(14);
    /// The topic is gone, so that there is nothing to gain by sending again.
    const DRAIN: Duration = Duration::from_secs(5);
    let [worker, ..] = WORKERS;
    scene.settle()?;
    scene.begin_load(|plan| Plan { drain: DRAIN, ..later(plan) })?;
    let lab = &mut scene.lab;
    println!("    {INTERVALS} is deleted under load");
    lab.topic_fault(&["delete", INTERVALS])?;
    std::thread::sleep(ANSWERED);
    let [ok, unconfirmed] = answered(lab)?;
    worker_stops(lab)?;
    lab.start_worker(worker, None)?;
    let said = worker_stops(lab)?;
    let [ok, unconfirmed] = answered(lab).map(|[ok_now, now]| [ok_now - ok, now - unconfirmed])?;
    println!("    meanwhile {unconfirmed} intervals were not confirmed, and {ok} answered OK");
    ensure!(ok == 0, "no topic has them");
    ensure!(unconfirmed > 0, "the gateway was asked nothing");

    scene.end_load(Some(BATTERY))?;
    scene.lab.terminate(GATEWAY)?;
    rename(&mut scene.lab, &said)?;
    scene.lab.heal()?;
    scene.begin_load(|plan| later(later(plan)))
}

/// The points of the lost topic that the gateway has answered OK, and those that Kafka did not confirm.
fn answered(lab: &Lab) -> anyhow::Result<[u64; 2]> {
    let points =
        |outcome| lab.metric(GATEWAY, "wattline_gateway_points_total", &["kind=\"BATTERY\"", outcome]);
    Ok([points("outcome=\"ok\"")?, points("outcome=\"unconfirmed\"")?])
}

/// The worker has to end, and to say what to type.
fn worker_stops(lab: &mut Lab) -> anyhow::Result<String> {
    let [worker, ..] = WORKERS;
    let status = lab.ended(worker, STOP_DEADLINE)?;
    let log = lab.log_tail(worker);
    let last = log.lines().last().unwrap_or_default();
    println!("    the worker ended with {status}: {last}");
    ensure!(status.code().is_some_and(|code| code != 0), "the worker should have refused to go on");
    ensure!(last.contains("type:"), "it does not say what to type:\n{log}");
    Ok(last.to_owned())
}
