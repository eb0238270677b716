use wattline_model::{COUNTER_COUNT, Counters, Interval, Limits, Quality};

/// A device may catch up this much after a silence: cap = limit × (time + slack).
pub const SLACK_MS: i64 = 900_000;
/// A step back of less than the limit over this time is jitter.
pub const TOLERANCE_MS: i64 = 300_000;
/// A pair further apart than this is marked as a gap.
pub const GAP_MS: i64 = 900_000;

/// What a pair of a chain is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub time_ms: i64,
    pub counters: Counters,
    /// The limits that were stamped on this reading.
    pub limits: Limits,
}

/// The interval between two consecutive readings of a chain.
///
/// The limits are those of the later reading, whose row this is.
pub fn pair(previous: &Reading, next: &Reading) -> Interval {
    let dt_ms = next.time_ms - previous.time_ms;
    debug_assert!(dt_ms > 0, "a chain has one reading a timestamp, in order");
    let limits = &next.limits;
    let limit_w = [limits.battery_charge_w, limits.battery_discharge_w, limits.home_w, limits.solar_w];
    // Only the battery's own counters have a declared modulus.
    let modulus_mwh = [limits.modulus_mwh, limits.modulus_mwh, 0, 0];

    let mut energy_mwh = [None; COUNTER_COUNT];
    let mut quality = [Quality::Valid; COUNTER_COUNT];
    for at in 0..COUNTER_COUNT {
        let (energy, verdict) =
            judge(previous.counters[at], next.counters[at], dt_ms, limit_w[at], modulus_mwh[at]);
        energy_mwh[at] = energy;
        quality[at] = verdict;
    }
    Interval { start_ms: previous.time_ms, end_ms: next.time_ms, energy_mwh, quality, gap: dt_ms > GAP_MS }
}

/// The energy and the quality of one counter over one pair: the first rule that holds.
fn judge(
    previous_mwh: i64,
    next_mwh: i64,
    dt_ms: i64,
    limit_w: u32,
    modulus_mwh: u64,
) -> (Option<i64>, Quality) {
    // A watt for a millisecond is a millijoule, and 3,600 of them are 0.001 Wh. The comparison is made in
    // millijoules, exactly.
    let within = |energy_mwh: i128, span_ms: i64| {
        0 <= energy_mwh && energy_mwh * 3_600 <= i128::from(limit_w) * i128::from(span_ms)
    };
    let cap_ms = dt_ms + SLACK_MS;
    let difference = next_mwh - previous_mwh;
    if difference >= 0 {
        return if within(i128::from(difference), cap_ms) {
            (Some(difference), Quality::Valid)
        } else {
            (None, Quality::Jump)
        };
    }
    if within(-i128::from(difference), TOLERANCE_MS) {
        return (Some(difference), Quality::Jitter);
    }
    let rolled = i128::from(difference) + i128::from(modulus_mwh);
    if modulus_mwh > 0 && within(rolled, cap_ms) {
        return (Some(rolled as i64), Quality::Rollover);
    }
    if within(i128::from(next_mwh), cap_ms) {
        return (Some(next_mwh), Quality::Reset);
    }
    (None, Quality::Rebase)
}
