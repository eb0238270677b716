//! The requests in which the telemetry comes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use wattline_model::{COUNTERS, Kind, Limits, Point, Quantities, Quantity};

use crate::battery::{BEGIN_MS, SLOT_MS, Slot, days, noise};
use crate::fleet::{DEVICES, Device, Reports};
use crate::mishaps::{self, CONTRADICTED, CORRECTED, Fate, SENT_AGAIN};

/// What a gateway lets home and solar move.
const LIMIT_W: u32 = 50_000;
const WEEKS_BEFORE: i64 = 12;
const WEEK_MS: i64 = 7 * 24 * 3_600_000;

/// Points that came together.
#[derive(Clone, Debug)]
pub struct Request {
    pub client: &'static str,
    pub kind: Kind,
    pub received_at_ms: i64,
    pub points: Vec<Point<'static>>,
}

/// All requests in the order in which they were received.
pub fn requests() -> Vec<Request> {
    let mut requests = Requests::default();
    for (number, device) in DEVICES.iter().enumerate() {
        let slots = days(device, number);
        if device.reports != Reports::Counters {
            requests.weeks_before(device, &slots);
            requests.intervals(device, &slots);
        }
        if device.reports != Reports::Intervals {
            requests.readings(device, &slots);
        }
    }
    requests
        .0
        .into_iter()
        .map(|((received_at_ms, client, is_counter), points)| Request {
            client,
            kind: if is_counter { Kind::BatteryCounter } else { Kind::Battery },
            received_at_ms,
            points,
        })
        .collect()
}

/// Points by when they are received, by client and by kind.
#[derive(Default)]
struct Requests(BTreeMap<(i64, &'static str, bool), Vec<Point<'static>>>);

impl Requests {
    /// A point that comes at the end of a slot, in the request of its client at that time.
    fn add(&mut self, device: &Device, is_counter: bool, slot: i64, point: Point<'static>) {
        let client = DEVICES.iter().position(|of| of.client == device.client).unwrap_or(0);
        let delay_ms = mishaps::delay_ms(slot, noise(client, slot));
        let received_at_ms = BEGIN_MS + (slot + 1) * SLOT_MS + delay_ms;
        self.0.entry((received_at_ms, device.client, is_counter)).or_default().push(point);
    }

    /// One point of each week before, of Monday noon, with the capacity that is left by then.
    fn weeks_before(&mut self, device: &Device, slots: &[Slot]) {
        const NOON: usize = 144;
        for week in 1..=WEEKS_BEFORE {
            // In 0.01 % a week: Volta's age faster.
            let aging = if device.manufacturer == "Volta" { 12 } else { 5 };
            let mut slot = slots[NOON];
            slot.capacity += slot.capacity * week * aging / 10_000;
            let mut point = interval(device, NOON as i64, &slot);
            point.time_ms -= week * WEEK_MS;
            let received_at_ms = point.time_ms + SLOT_MS + 2_000;
            self.0.entry((received_at_ms, device.client, false)).or_default().push(point);
        }
    }

    fn intervals(&mut self, device: &Device, slots: &[Slot]) {
        for (at, slot) in (0..).zip(slots) {
            let point = interval(device, at, slot);
            match mishaps::interval(device.id, at) {
                Fate::Sent => self.add(device, false, at, point),
                Fate::Late(until) => self.add(device, false, until, point),
                Fate::Offline => self.add(device, false, at, offline(point)),
                Fate::Lost => {}
            }
            let (id, again, when) = SENT_AGAIN;
            if device.id == id && again.contains(&at) {
                self.add(device, false, when, interval(device, at, slot));
            }
            let (id, corrected, when, percent) = CORRECTED;
            if device.id == id && corrected.contains(&at) {
                let right = |energy: i64| energy * percent / 100;
                let slot = Slot { solar: right(slot.solar), home: right(slot.home), ..*slot };
                self.add(device, false, when, interval(device, at, &slot));
            }
        }
    }

    fn readings(&mut self, device: &Device, slots: &[Slot]) {
        let mut moved = [0; 4];
        let mut at_reset = moved;
        for (at, slot) in (0..).zip(slots) {
            if at == mishaps::RESET_AT {
                at_reset = moved;
            }
            for (total, energy) in moved.iter_mut().zip([slot.charge, slot.discharge, slot.home, slot.solar])
            {
                *total += energy;
            }
            let counters = mishaps::counters(device.id, at, moved, at_reset);
            let point = reading(device, at, slot, counters);
            match mishaps::reading(device.id, at) {
                Fate::Late(until) => self.add(device, true, until, point),
                Fate::Lost => {}
                Fate::Sent | Fate::Offline => self.add(device, true, at, point),
            }
            let (id, contradicted) = CONTRADICTED;
            if device.id == id && contradicted.contains(&at) {
                let smaller = counters.map(|counter| counter - 1_000);
                self.add(device, true, at + 1, reading(device, at, slot, smaller));
            }
        }
    }
}

fn interval(device: &Device, at: i64, slot: &Slot) -> Point<'static> {
    let mut point = point(device, BEGIN_MS + at * SLOT_MS, slot);
    point.duration_ms = SLOT_MS as u32;
    for (quantity, energy) in COUNTERS.into_iter().zip([slot.charge, slot.discharge, slot.home, slot.solar]) {
        point.quantities.set(quantity, energy);
    }
    point
}

fn reading(device: &Device, at: i64, slot: &Slot, counters: [i64; 4]) -> Point<'static> {
    let mut point = point(device, BEGIN_MS + (at + 1) * SLOT_MS, slot);
    for (quantity, counter) in COUNTERS.into_iter().zip(counters) {
        point.quantities.set(quantity, counter);
    }
    point.limits = Limits {
        battery_charge_w: device.power_w,
        battery_discharge_w: device.power_w,
        home_w: LIMIT_W,
        solar_w: LIMIT_W,
        modulus_mwh: device.modulus_wh.map_or(0, |modulus_wh| modulus_wh as u64 * 1_000),
    };
    point
}

/// The state at the end of a slot.
fn point(device: &Device, time_ms: i64, slot: &Slot) -> Point<'static> {
    let mut quantities = Quantities::default();
    for (quantity, thousandths) in [
        (Quantity::PowerCharge, slot.charge * 12),
        (Quantity::PowerDischarge, slot.discharge * 12),
        (Quantity::HomePower, slot.home * 12),
        (Quantity::SolarPower, slot.solar * 12),
        (Quantity::StoredEnergy, slot.stored),
        (Quantity::CapacityEnergy, slot.capacity),
        (Quantity::StateOfCharge, slot.stored * 100_000 / slot.capacity),
        (Quantity::BackupReserve, 20_000),
    ] {
        quantities.set(quantity, thousandths);
    }
    Point {
        device_id: Cow::Borrowed(device.id),
        time_ms,
        duration_ms: 0,
        last_is_online: true,
        last_is_grid_online: Some(slot.grid_online),
        last_mode: Some(slot.mode),
        quantities,
        oem_raw_data: None,
        limits: Limits::default(),
    }
}

fn offline(point: Point<'static>) -> Point<'static> {
    Point {
        last_is_online: false,
        last_is_grid_online: None,
        last_mode: None,
        quantities: Quantities::default(),
        ..point
    }
}
