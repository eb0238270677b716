//! Faults of Kafka and of its topics.

use std::time::Duration;

use anyhow::ensure;
use rustix::process::Signal;

use super::Scene;
use super::lab::{KAFKA, SECOND_KAFKA};
use super::load::ok_so_far;
use super::topics::{COUNTERS, INTERVALS};

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
