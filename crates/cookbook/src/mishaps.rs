//! What happens to the telemetry on its way, and to the counters.

use std::ops::Range;

use crate::battery::{SLOT_MS, SLOTS_A_DAY};

/// A time of day in June 2026 as the number of its slot.
const fn at(day: i64, hour: i64, minute: i64) -> i64 {
    (day - 1) * SLOTS_A_DAY + hour * 12 + minute / 5
}

/// What becomes of an interval or a reading of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Sent,
    Lost,
    /// It says that the device is offline, and nothing else.
    Offline,
    /// It comes at the end of that slot.
    Late(i64),
}

pub(crate) fn interval(device: &str, slot: i64) -> Fate {
    let within = |slots: Range<i64>| slots.contains(&slot);
    match device {
        "elm-1" if within(at(2, 10, 0)..at(2, 12, 0)) => Fate::Offline,
        "oak-2" if within(at(3, 0, 0)..at(3, 1, 0)) => Fate::Lost,
        "yew-1" if slot >= at(4, 6, 0) => Fate::Lost,
        "fir-1" if within(at(4, 3, 0)..at(4, 5, 0)) => Fate::Lost,
        "ash-1" if within(at(4, 8, 0)..at(4, 12, 0)) => Fate::Late(at(4, 20, 0)),
        _ => Fate::Sent,
    }
}

pub(crate) fn reading(device: &str, slot: i64) -> Fate {
    match device {
        "dock-1" if (at(3, 4, 0)..at(3, 7, 0)).contains(&slot) => Fate::Lost,
        "pier-1" if slot == at(4, 10, 0) => Fate::Late(at(4, 18, 0)),
        _ => Fate::Sent,
    }
}

/// Slots that are sent a second time, and at the end of which slot.
pub(crate) const SENT_AGAIN: (&str, Range<i64>, i64) = ("oak-1", at(2, 12, 0)..at(2, 13, 0), at(2, 13, 30));
/// Slots whose energies are sent again, corrected by so many per cent.
pub(crate) const CORRECTED: (&str, Range<i64>, i64, i64) =
    ("oak-1", at(2, 14, 0)..at(2, 14, 30), at(2, 18, 0), 110);
/// Readings that come with a second one of the same time, which is smaller.
pub(crate) const CONTRADICTED: (&str, [i64; 2]) = ("loose-1", [at(3, 12, 0), at(3, 12, 5)]);

/// The counters of a device in the order of the API, in 0.001 Wh, from what it has moved since the beginning.
pub(crate) fn counters(device: &str, slot: i64, moved: [i64; 4], at_reset: [i64; 4]) -> [i64; 4] {
    let mut counters = moved;
    match device {
        // New firmware begins to count at 0.
        "quay-1" if slot >= RESET_AT => {
            for (counter, before) in counters.iter_mut().zip(at_reset) {
                *counter -= before;
            }
        }
        // The battery's counters have but so many digits.
        "dock-1" => {
            for counter in &mut counters[..2] {
                *counter = (*counter + 95_000_000) % 100_000_000;
            }
        }
        // A bit flips in one counter, and a technician sets it right two days later.
        "loose-1" if (at(2, 18, 0)..at(4, 9, 0)).contains(&slot) => counters[0] += 1_000_000_000,
        "loose-1" => counters[0] += 500_000_000,
        _ => {}
    }
    if device == "quay-1" && slot == at(3, 15, 0) {
        counters[2] -= 150_000;
    }
    counters
}

pub(crate) const RESET_AT: i64 = at(2, 9, 0);

/// How long after its end a slot is received, in milliseconds.
pub(crate) fn delay_ms(slot: i64, chance: u64) -> i64 {
    let delay_ms = 1_200 + (chance % 7_000) as i64;
    // One evening the gateway's line is slow.
    if (at(2, 21, 0)..at(2, 21, 30)).contains(&slot) { delay_ms + 90_000 } else { delay_ms.min(SLOT_MS) }
}
