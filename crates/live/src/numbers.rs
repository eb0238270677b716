//! What the page is told, once a second.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::charge::Charge;
use crate::exposition::lines;
use crate::freshness::Freshness;

/// Seconds that the page draws.
const SECONDS: usize = 120;

/// A simulated fleet that posts beside the page and stops by itself.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    pub batteries: u32,
    pub posts_for: Duration,
}

/// Points of the gateway by their outcome: counts, or how many a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Points {
    pub(crate) ok: f64,
    pub(crate) failed: f64,
    pub(crate) unconfirmed: f64,
}

impl Points {
    pub(crate) fn read(metrics: &str) -> Points {
        let mut points = Points::default();
        for line in lines(metrics, "wattline_gateway_points_total") {
            match line.label("outcome") {
                Some("ok") => points.ok += line.value,
                Some("failed") => points.failed += line.value,
                _ => points.unconfirmed += line.value,
            }
        }
        points
    }

    /// A gateway that began anew counts from nothing.
    pub(crate) fn per_second(self, before: Points, passed: Duration) -> Points {
        let seconds = passed.as_secs_f64().max(0.001);
        let rate = |now: f64, before: f64| (if now < before { now } else { now - before }) / seconds;
        Points {
            ok: rate(self.ok, before.ok),
            failed: rate(self.failed, before.failed),
            unconfirmed: rate(self.unconfirmed, before.unconfirmed),
        }
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Second {
    pub(crate) points: Points,
    pub(crate) freshness: Option<Freshness>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Numbers {
    client: String,
    /// Rises with each look, so that a page sees whether anything moves.
    looks: u64,
    fleet_batteries: Option<u32>,
    fleet_left_s: Option<u64>,
    pub(crate) seconds: VecDeque<Second>,
    /// Points since the gateway began, by the reason for which they were refused.
    pub(crate) rejected: BTreeMap<String, f64>,
    /// Points and records that the worker put aside since it began.
    pub(crate) put_aside: f64,
    pub(crate) charge: Option<Charge>,
    /// What does not answer, in words.
    pub(crate) silent: Vec<String>,
    #[serde(skip)]
    fleet_ends: Option<Instant>,
}

impl Numbers {
    pub(crate) fn new(client: String, fleet: Option<Fleet>) -> Numbers {
        Numbers {
            client,
            looks: 0,
            fleet_batteries: fleet.map(|fleet| fleet.batteries),
            fleet_left_s: None,
            seconds: VecDeque::new(),
            rejected: BTreeMap::new(),
            put_aside: 0.0,
            charge: None,
            silent: Vec::new(),
            fleet_ends: fleet.map(|fleet| Instant::now() + fleet.posts_for),
        }
    }

    pub(crate) fn push(&mut self, second: Second) {
        self.looks += 1;
        self.seconds.push_back(second);
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
    }

    pub(crate) fn json(&mut self) -> serde_json::Result<String> {
        let left = |end: Instant| end.saturating_duration_since(Instant::now()).as_secs();
        self.fleet_left_s = self.fleet_ends.map(left);
        serde_json::to_string(self)
    }
}

/// Points by the reason for which the gateway refused them.
pub(crate) fn rejected(metrics: &str) -> BTreeMap<String, f64> {
    let mut by_reason = BTreeMap::new();
    for line in lines(metrics, "wattline_gateway_points_failed_total") {
        let reason = line.label("reason").unwrap_or("without a reason");
        *by_reason.entry(reason.to_owned()).or_default() += line.value;
    }
    by_reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_a_second_are_those_since_the_last_look() {
        let text = |ok: u32| {
            format!(
                "wattline_gateway_points_total{{kind=\"BATTERY\",outcome=\"ok\"}} {ok}\n\
                 wattline_gateway_points_total{{kind=\"BATTERY_COUNTER\",outcome=\"ok\"}} 10\n\
                 wattline_gateway_points_total{{kind=\"BATTERY\",outcome=\"failed\"}} 1\n"
            )
        };
        let (before, now) = (Points::read(&text(100)), Points::read(&text(300)));
        let rate = now.per_second(before, Duration::from_secs(2));
        assert_eq!(rate, Points { ok: 100.0, failed: 0.0, unconfirmed: 0.0 });
        assert_eq!(before.per_second(now, Duration::from_secs(1)).ok, 110.0, "since the gateway began anew");
    }
}
