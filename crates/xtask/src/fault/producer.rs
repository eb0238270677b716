//! A gateway whose producer can never produce again.

use std::time::Duration;

use anyhow::ensure;

use super::Scene;
use super::clients::is_served;
use super::lab::{GATEWAY, Lab};
use super::topics::{COUNTERS, INTERVALS};
use crate::http;
use crate::process::wait_for;

const TIMES: u32 = 3;
/// More than a gateway's producer sends to one partition at once.
const STRAY_RECORDS: u32 = 100;
/// They are empty, so that each of them is rejected.
pub const REJECTED: u64 = (TIMES * STRAY_RECORDS) as u64;

/// Kafka gets records in the name of the gateway's producer, and refuses that one's own as out of order. The
/// gateway has to call itself unready, to drain and to end with an error, so that a new one takes over.
pub fn fatal(scene: &mut Scene) -> anyhow::Result<()> {
    let Scene { lab, dice, .. } = scene;
    for time in 1..=TIMES {
        lab.pass(dice.milliseconds(500, 3_000))?;
        let topic = dice.one_of(&[INTERVALS, COUNTERS]);
        println!("    time {time} of {TIMES}: the producer gets out of step in {topic}/0");
        lab.topic_fault(&["disturb", topic, "0", &STRAY_RECORDS.to_string()])?;
        gives_up(lab)?;
        lab.start_gateway()?;
        lab.wait_process(GATEWAY)?;
        is_served(lab)?;
    }
    Ok(())
}

fn gives_up(lab: &mut Lab) -> anyhow::Result<()> {
    /// A second until it notices, and 20 s at most for its requests and for the last acknowledgements.
    const END_DEADLINE: Duration = Duration::from_secs(60);
    const ASK_TIMEOUT: Duration = Duration::from_millis(500);
    let url = format!("{}/readyz", lab.operations(GATEWAY));
    let mut reason = None;
    wait_for("the end of the gateway", END_DEADLINE, || {
        if let Err(answer) = http::get(&url, ASK_TIMEOUT)
            && let Some((_, why)) = format!("{answer:#}").split_once("not ready: ")
        {
            reason.get_or_insert_with(|| why.to_owned());
        }
        Ok((!lab.is_running(GATEWAY)).then_some(()))
    })?;
    let status = lab.ended(GATEWAY, END_DEADLINE)?;
    let log = lab.log_tail(GATEWAY);
    let last = log.lines().last().unwrap_or_default();
    println!("    not ready: {}; it ended with {status}: {last}", reason.as_deref().unwrap_or("never"));
    ensure!(reason.is_some(), "it never called itself unready");
    ensure!(status.code().is_some_and(|code| code != 0), "it should have ended with an error");
    ensure!(last.contains("the Kafka producer cannot go on"), "it does not say why it ends:\n{log}");
    Ok(())
}
