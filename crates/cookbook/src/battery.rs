//! A house with solar panels and a battery that lives on its own sun, in steps of five minutes. Energies are
//! whole 0.001 Wh, so that every machine gets the same numbers.

use wattline_model::Mode;

use crate::fleet::Device;

/// 2026-06-01, a Monday, in milliseconds.
pub(crate) const BEGIN_MS: i64 = 1_780_272_000_000;
pub(crate) const SLOT_MS: i64 = 300_000;
pub(crate) const SLOTS_A_DAY: i64 = 288;
pub(crate) const DAYS: i64 = 4;

/// Of what goes in or out, so much per cent is left.
const EFFICIENCY: i64 = 96;
/// With less room than this a battery is full.
const FULL_WITHIN: i64 = 1_000;
const RESERVE_PERCENT: i64 = 20;
/// How much of the sun comes through, in per cent.
const SKY: [i64; DAYS as usize] = [90, 70, 100, 95];
/// The event: from five to seven on the fourth evening every battery of `sunrise` gives this.
const EVENT: std::ops::Range<i64> = 3 * SLOTS_A_DAY + 17 * 12..3 * SLOTS_A_DAY + 19 * 12;
const EVENT_W: i64 = 4_000;
/// The grid at `ash` is away in the third night.
const OUTAGE: std::ops::Range<i64> = 2 * SLOTS_A_DAY + 2 * 12..2 * SLOTS_A_DAY + 3 * 12 + 6;

/// Five minutes: energies in 0.001 Wh, and the state at the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub charge: i64,
    pub discharge: i64,
    pub home: i64,
    pub solar: i64,
    pub stored: i64,
    pub capacity: i64,
    pub mode: Mode,
    pub grid_online: bool,
}

/// Numbers that look like chance and are none.
pub(crate) fn noise(device: usize, slot: i64) -> u64 {
    let mut bits = (device as u64) << 32 ^ slot as u64 ^ 0x9e37_79b9_7f4a_7c15;
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

fn solar_w(device: &Device, slot: i64) -> i64 {
    const RISE: i64 = 6 * 12;
    const SET: i64 = 20 * 12;
    let (day, at) = (slot.div_euclid(SLOTS_A_DAY), slot.rem_euclid(SLOTS_A_DAY));
    if !(RISE..SET).contains(&at) {
        return 0;
    }
    let half = (SET - RISE) / 2;
    device.solar_peak_w * (at - RISE) * (SET - at) / (half * half) * SKY[day as usize % SKY.len()] / 100
}

fn home_w(device: &Device, number: usize, slot: i64) -> i64 {
    let at = slot.rem_euclid(SLOTS_A_DAY);
    let habit = match at / 12 {
        6..=8 => 700,
        17..=21 => 1_400,
        _ => 0,
    };
    device.home_base_w + habit + (noise(number, slot) % 300) as i64
}

/// The days of a battery, which begin with it half full.
pub(crate) fn days(device: &Device, number: usize) -> Vec<Slot> {
    let capacity = device.capacity_wh * 1_000;
    let reserve = capacity * RESERVE_PERCENT / 100;
    let mut stored = capacity / 2;
    (0..DAYS * SLOTS_A_DAY)
        .map(|slot| {
            let (solar_w, home_w) = (solar_w(device, slot), home_w(device, number, slot));
            let in_event = device.client == "sunrise" && EVENT.contains(&slot);
            let power_w = i64::from(device.power_w);
            let wanted_w = if in_event { -EVENT_W } else { (solar_w - home_w).clamp(-power_w, power_w) };
            let room = Some(capacity - stored).filter(|room| *room >= FULL_WITHIN).unwrap_or(0);
            let charge = energy(wanted_w.max(0)).min(room * 100 / EFFICIENCY);
            let discharge = energy((-wanted_w).max(0)).min((stored - reserve).max(0) * EFFICIENCY / 100);
            stored += charge * EFFICIENCY / 100 - discharge * 100 / EFFICIENCY;
            let grid_online = device.id != "ash-1" || !OUTAGE.contains(&slot);
            let mode = match (grid_online, in_event, charge > 0, discharge > 0) {
                (false, ..) => Mode::Backup,
                (_, true, ..) => Mode::Discharge,
                (_, _, true, _) => Mode::Charge,
                (_, _, _, true) => Mode::SelfConsumption,
                _ => Mode::Standby,
            };
            let (home, solar) = (energy(home_w), energy(solar_w));
            Slot { charge, discharge, home, solar, stored, capacity, mode, grid_online }
        })
        .collect()
}

/// Five minutes of so many watts.
fn energy(power_w: i64) -> i64 {
    power_w * 1_000 / 12
}
