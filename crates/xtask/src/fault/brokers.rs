//! Faults of Kafka and of its topics.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;

use super::Scene;
use super::lab::{GATEWAY, KAFKA, SECOND_KAFKA, WORKERS};
use super::load::ok_so_far;

/// The topics of interval data and of counters, as `wattline migrate` makes them.
const INTERVALS: &str = "wattline.intervals";
const COUNTERS: &str = "wattline.counters";
/// A worker that cannot go on has ended by then.
const STOP_DEADLINE: Duration = Duration::from_secs(60);

/// Records in hexadecimal digits: noise, nothing at all, the version of a far future.
pub const UNDECODABLE: [&str; 4] = ["deadbeef", "", "ffffffffffffffffffff", "08ff0f"];

pub fn kill(scene: &mut Scene) -> anyhow::Result<()> {
    const KILLS: u32 = 5;
    let Scene { lab, dice, .. } = scene;
    for kill in 1..=KILLS {
        lab.kill(KAFKA)?;
        println!("    kill {kill} of {KILLS}");
        lab.pass(dice.milliseconds(100, 3_000))?;
        lab.start_service(KAFKA)?;
        lab.wait_service(KAFKA)?;
        lab.pass(dice.milliseconds(3_000, 8_000))?;
    }
    Ok(())
}

pub fn stall(scene: &mut Scene) -> anyhow::Result<()> {
    const STOPS: u32 = 6;
    let Scene { lab, dice, .. } = scene;
    for stop in 1..=STOPS {
        let still = dice.milliseconds(1_000, 12_000);
        println!("    stop {stop} of {STOPS} for {:.1} s", still.as_secs_f64());
        lab.signal(KAFKA, Signal::STOP)?;
        lab.pass(still)?;
        lab.signal(KAFKA, Signal::CONT)?;
        lab.pass(dice.milliseconds(2_000, 5_000))?;
    }
    Ok(())
}

pub fn too_few_replicas(scene: &mut Scene) -> anyhow::Result<()> {
    const REFUSED: Duration = Duration::from_secs(10);
    /// A request is answered when its last record is acknowledged or given up, after 10 s; so until then OKs
    /// come for what both brokers had before.
    const SETTLED: Duration = Duration::from_secs(14);
    let lab = &mut scene.lab;
    lab.kill(SECOND_KAFKA)?;
    lab.pass(SETTLED)?;
    let before = ok_so_far(lab)?;
    lab.pass(REFUSED)?;
    let answered = ok_so_far(lab)? - before;
    println!("    {answered} points were answered OK with one replica of two");
    ensure!(answered == 0, "none should have been");
    lab.start_service(SECOND_KAFKA)?;
    Ok(())
}

pub fn produce_reply_lost(scene: &mut Scene) -> anyhow::Result<()> {
    const TIMES: u32 = 15;
    let Scene { lab, dice, .. } = scene;
    for time in 1..=TIMES {
        lab.kafka_proxy.order("drop-replies")?;
        let lost_for = dice.milliseconds(100, 2_500);
        println!("    time {time} of {TIMES}: replies are lost for {:.1} s", lost_for.as_secs_f64());
        lab.pass(lost_for)?;
        lab.kafka_proxy.order("pass")?;
        lab.pass(dice.milliseconds(500, 3_000))?;
    }
    Ok(())
}

pub fn undecodable_record(scene: &mut Scene) -> anyhow::Result<()> {
    let lab = &mut scene.lab;
    for (topic, record) in [INTERVALS, COUNTERS].iter().cycle().zip(UNDECODABLE) {
        println!("    {topic}/0 gets {record:?}");
        lab.topic_fault(&["append", topic, "0", record])?;
        lab.pass(Duration::from_secs(1))?;
    }
    Ok(())
}

pub fn retention_overrun(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    let lab = &mut scene.lab;
    lab.kill(worker)?;
    lab.pass(Duration::from_secs(5))?;
    if let Some(load) = scene.load.take() {
        load.finish(lab)?;
    }
    println!("    {INTERVALS} loses all its records");
    lab.topic_fault(&["empty", INTERVALS])?;
    worker_refuses(scene)
}

pub fn topic_recreated(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    let lab = &mut scene.lab;
    lab.pass(Duration::from_secs(5))?;
    if let Some(load) = scene.load.take() {
        load.finish(lab)?;
    }
    lab.kill(worker)?;
    lab.terminate(GATEWAY)?;
    println!("    {INTERVALS} is deleted and made anew");
    lab.topic_fault(&["delete", INTERVALS])?;
    // The deletion is carried out a moment after it is answered.
    lab.pass(Duration::from_secs(3))?;
    lab.site.run(&["migrate"])?;
    worker_refuses(scene)
}

/// A worker that is started now has to end, and to say what to type.
fn worker_refuses(scene: &mut Scene) -> anyhow::Result<()> {
    let [worker, ..] = WORKERS;
    let lab = &mut scene.lab;
    lab.start_worker(worker, None)?;
    let status = lab.ended(worker, STOP_DEADLINE)?;
    let log = lab.log_tail(worker);
    let last = log.lines().last().unwrap_or_default();
    println!("    the worker ended with {status}: {last}");
    ensure!(status.code().is_some_and(|code| code != 0), "the worker should have refused to go on");
    ensure!(log.contains("type:"), "it does not say what to type:\n{log}");
    Ok(())
}
