//! The account of a run, as JSON.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::fleet::Kind;

/// Why the fleet stopped posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoppedBy {
    Seconds,
    Requests,
    /// Every device's simulated time came up to the present.
    Present,
    Signal,
    /// The gateway refused the fleet as a whole; `refusals` says how.
    Refusal,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LatencyMs {
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
}

/// `points_sent = points_ok + points_failed + points_unknown`: distinct points, each in its final
/// state, however often it was sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub seed: u64,
    pub points_sent: u64,
    pub points_ok: u64,
    pub points_failed: u64,
    /// Never answered.
    pub points_unknown: u64,
    /// Points without an OK that may be stored all the same: never answered, or last answered by a
    /// 503 or "not confirmed". What is stored lies between `points_ok` and the sum of both.
    pub points_maybe_stored: u64,
    pub ok_by_kind: BTreeMap<Kind, u64>,
    pub failed_by_reason: BTreeMap<String, u64>,
    /// Spoilt on purpose; `bad_points_ok` and `good_points_failed` are the surprises.
    pub bad_points_sent: u64,
    pub bad_points_ok: u64,
    pub good_points_failed: u64,
    /// Requests sent, resends included.
    pub requests: u64,
    pub resends: u64,
    pub requests_not_answered: BTreeMap<&'static str, u64>,
    pub http_status: BTreeMap<u16, u64>,
    /// Answers that mean a fault of the fleet's or of its set-up, with a number of requests each.
    pub refusals: BTreeMap<String, u64>,
    /// 200s whose body was not one answer a point.
    pub answers_not_understood: u64,
    pub latency_ms: LatencyMs,
    pub seconds: f64,
    /// Points in their final state, by second.
    pub points_per_s: f64,
    pub bytes_sent: u64,
    pub gateways: u32,
    pub devices: BTreeMap<Kind, u64>,
    pub stopped_by: StoppedBy,
}

impl Report {
    /// Each answer was understood and no point is unknown.
    pub fn is_sound(&self) -> bool {
        self.answers_not_understood == 0 && self.points_unknown == 0 && self.refusals.is_empty()
    }
}
