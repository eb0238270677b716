//! One battery's day.
//!
//! A device starts each local day at its reserve, stores the sun's surplus, gives it back when the
//! home needs more than the sun, and sells the rest in the evening, so that it ends the day at its
//! reserve again. Days therefore do not depend on each other, and a device can be set down at any
//! time with the very counters it would have reached by walking there: a day's energy depends on
//! the weather only, of which there are three.

use super::catalog::{PRODUCTS, Product};
use crate::mix::mix;

/// A device reports once every five simulated minutes.
pub const INTERVAL_S: u32 = 300;
const DAY_SLOTS: u32 = 86_400 / INTERVAL_S;
const HOUR_SLOTS: u32 = 3_600 / INTERVAL_S;
/// 1 W over one interval is 1000/12 mWh.
const MWH_PER_12_W: u32 = 1_000;

/// Local 20:30: until midnight the battery sells what it has above its reserve.
const EVENING_SLOT: u32 = 20 * HOUR_SLOTS + 6;
const NIGHT_RATE_SLOTS: std::ops::Range<u32> = HOUR_SLOTS..4 * HOUR_SLOTS;
/// Lifetime counters begin at zero on a day between here (2024-01-01) and 512 days later.
const FIRST_INSTALL_DAY: u32 = 19_723;

/// Sunny, mixed, dull; the pattern repeats weekly, shifted by region.
const WEATHERS: usize = 3;
const WEATHER_OF_WEEK: [usize; 7] = [0, 0, 1, 0, 2, 1, 0];
/// Share of the clear sky's power in 1/1024: the least, and the spread above it.
const SKY: [(u64, u64); WEATHERS] = [(960, 64), (400, 600), (100, 160)];
/// The home's load by local hour, in thousandths of the device's base load.
const HOME_BY_HOUR: [u64; 24] = [
    520, 460, 430, 420, 430, 520, 850, 1_250, 1_150, 900, 800, 820, 950, 900, 820, 850, 1_000, 1_450, 1_900,
    2_000, 1_750, 1_350, 950, 680,
];
const APPLIANCE_W: u64 = 2_400;

/// The clear sky's power by slot in thousandths of the panels' peak, from 06:30 to 17:30.
const SUN: [u16; DAY_SLOTS as usize] = {
    let mut sun = [0; DAY_SLOTS as usize];
    let (rise, light) = (78, 132);
    let mut slot = 0;
    while slot <= light {
        let parabola = 4_000 * slot * (light - slot) / (light * light);
        sun[(rise + slot) as usize] = (parabola * (2_000 + parabola) / 3_000) as u16;
        slot += 1;
    }
    sun
};

/// What a device does in one interval, and its state at the end of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    pub device: u32,
    pub start_s: u32,
    pub is_online: bool,
    pub is_grid_online: bool,
    pub mode: Option<&'static str>,
    /// Battery charge, battery discharge, home, solar.
    pub energy_mwh: [u32; 4],
    /// The lifetime sums of `energy_mwh`, this interval included.
    pub counters_mwh: [u64; 4],
    /// The last power of each, in the order of `energy_mwh`; never above the interval's average.
    pub power_mw: [u32; 4],
    pub stored_mwh: u32,
    pub capacity_mwh: u32,
    pub health_centi_percent: u16,
    pub reserve_percent: u8,
    /// Noise for what hangs on this interval but is no part of the day: raw data, flaws, styles.
    pub(super) noise: u64,
}

impl Interval {
    pub fn end_s(&self) -> u32 {
        self.start_s + INTERVAL_S
    }
}

/// A battery at a moment of simulated time.
#[derive(Debug, Clone)]
pub struct Device {
    key: u64,
    counters_mwh: [u64; 4],
    index: u32,
    /// The next interval to report, counted in intervals since the Unix epoch.
    slot: u32,
    stored_mwh: u32,
    capacity_mwh: u32,
    reserve_mwh: u32,
    solar_peak_w: u16,
    home_base_w: u16,
    health_centi_percent: u16,
    behind_utc_slots: u8,
    product: u8,
    reserve_percent: u8,
    evening_power_percent: u8,
    weather_phase: u8,
}

pub(super) fn product_of(seed: u64, index: u32) -> usize {
    (key_of(seed, index) % PRODUCTS.len() as u64) as usize
}

fn key_of(seed: u64, index: u32) -> u64 {
    mix(mix(seed) ^ u64::from(index))
}

impl Device {
    /// The device `index` of the fleet `seed`, whose next interval is the one that holds `from_s`.
    pub fn new(seed: u64, index: u32, from_s: u32) -> Self {
        let mut device = Self::at_its_reserve(seed, index, from_s);
        device.catch_up(FIRST_INSTALL_DAY + ((mix(device.key) >> 50) % 512) as u32);
        device
    }

    /// The same battery with a past that is drawn and not lived, for millions of them: it begins at its reserve,
    /// with counters as large as those of a few years.
    pub fn drawn(seed: u64, index: u32, from_s: u32) -> Self {
        const LIFETIME_MWH_MAX: u64 = 30_000_000_000;
        let mut device = Self::at_its_reserve(seed, index, from_s);
        device.counters_mwh =
            std::array::from_fn(|counter| mix(device.key ^ (counter as u64 + 1)) % LIFETIME_MWH_MAX);
        device
    }

    fn at_its_reserve(seed: u64, index: u32, from_s: u32) -> Self {
        let key = key_of(seed, index);
        let traits = mix(key);
        let product = product_of(seed, index);
        let health_centi_percent = 9_000 + (traits % 1_000) as u16;
        let reserve_percent = [10, 15, 20, 30][(traits >> 10) as usize % 4];
        let capacity_mwh = PRODUCTS[product].capacity_wh * u32::from(health_centi_percent) / 10;
        let reserve_mwh = capacity_mwh / 100 * u32::from(reserve_percent);
        Self {
            key,
            counters_mwh: [0; 4],
            index,
            slot: from_s / INTERVAL_S,
            stored_mwh: reserve_mwh,
            capacity_mwh,
            reserve_mwh,
            solar_peak_w: 3_000 + ((traits >> 12) % 7_000) as u16,
            home_base_w: 350 + ((traits >> 26) % 700) as u16,
            health_centi_percent,
            // The Atlantic to the Pacific coast: four to eight hours behind UTC.
            behind_utc_slots: ((4 + (traits >> 36) % 5) * u64::from(HOUR_SLOTS)) as u8,
            product: product as u8,
            reserve_percent,
            evening_power_percent: 75 + ((traits >> 40) % 26) as u8,
            weather_phase: ((traits >> 46) % 7) as u8,
        }
    }

    pub fn index(&self) -> u32 {
        self.index
    }

    /// When the next interval ends.
    pub fn next_end_s(&self) -> u32 {
        (self.slot + 1) * INTERVAL_S
    }

    pub fn rated_power_w(&self) -> (u32, u32) {
        let product = self.product();
        (product.power_input_w, product.power_output_w)
    }

    fn product(&self) -> &'static Product {
        &PRODUCTS[usize::from(self.product)]
    }

    /// Reports the next interval and moves past it.
    pub fn advance(&mut self) -> Interval {
        let start_s = self.slot * INTERVAL_S;
        let energy_mwh = self.step();
        let noise = mix(self.key ^ u64::from(start_s));
        // A radio that fails does so for the first twenty minutes of one hour in a hundred.
        let hour = mix(!self.key ^ u64::from(self.slot / HOUR_SLOTS));
        let is_online = !hour.is_multiple_of(100) || self.slot % HOUR_SLOTS > 4;
        let is_grid_online = !noise.is_multiple_of(1_000);
        let mode = self.mode(energy_mwh, is_grid_online, noise);
        self.slot += 1;
        Interval {
            device: self.index,
            start_s,
            is_online,
            is_grid_online,
            mode,
            energy_mwh,
            counters_mwh: self.counters_mwh,
            power_mw: energy_mwh.map(|mwh| last_power_mw(mwh, noise)),
            stored_mwh: self.stored_mwh,
            capacity_mwh: self.capacity_mwh,
            health_centi_percent: self.health_centi_percent,
            reserve_percent: self.reserve_percent,
            noise,
        }
    }

    /// Lives the interval at `slot`, without moving past it.
    fn step(&mut self) -> [u32; 4] {
        let energy = self.energy_mwh(self.local_slot());
        self.stored_mwh = self.stored_mwh + energy[0] - energy[1];
        for (counter, mwh) in self.counters_mwh.iter_mut().zip(energy) {
            *counter += u64::from(mwh);
        }
        energy
    }

    fn energy_mwh(&self, local_slot: u32) -> [u32; 4] {
        let (day, slot) = (local_slot / DAY_SLOTS, local_slot % DAY_SLOTS);
        let weather = self.weather(day);
        // Not of the day: days of the same weather must repeat.
        let noise = mix(self.key ^ ((weather as u64 + 1) << 48) ^ u64::from(slot));
        let solar = self.solar_mwh(slot, weather, noise);
        let home = self.home_mwh(slot, noise >> 16);
        let product = self.product();
        let charge_max = (product.power_input_w * MWH_PER_12_W / 12).min(self.capacity_mwh - self.stored_mwh);
        let discharge_max =
            (product.power_output_w * MWH_PER_12_W / 12).min(self.stored_mwh - self.reserve_mwh);
        let (charge, discharge) = if slot >= EVENING_SLOT {
            let share = product.power_output_w * u32::from(self.evening_power_percent) * 10 / 12;
            (0, share.min(discharge_max))
        } else if self.buys_at_night() && NIGHT_RATE_SLOTS.contains(&slot) {
            let room = (self.capacity_mwh / 2).saturating_sub(self.stored_mwh);
            (room.min(charge_max / 3), 0)
        } else if solar > home {
            ((solar - home).min(charge_max), 0)
        } else {
            (0, (home - solar).min(discharge_max))
        };
        [charge, discharge, home, solar]
    }

    fn solar_mwh(&self, slot: u32, weather: usize, noise: u64) -> u32 {
        let (least, spread) = SKY[weather];
        let sky = least + noise % spread;
        let sun = u64::from(SUN[slot as usize]);
        (u64::from(self.solar_peak_w) * sun * sky / (12 * 1_024)) as u32
    }

    fn home_mwh(&self, slot: u32, noise: u64) -> u32 {
        let (hour, within) = ((slot / HOUR_SLOTS) as usize, u64::from(slot % HOUR_SLOTS));
        let hours = u64::from(HOUR_SLOTS);
        let curve = (HOME_BY_HOUR[hour] * (hours - within) + HOME_BY_HOUR[(hour + 1) % 24] * within) / hours;
        let share = 768 + noise % 512;
        let appliance = if (noise >> 9).is_multiple_of(24) { APPLIANCE_W } else { 0 };
        ((u64::from(self.home_base_w) * curve * share / 1_024 + appliance * 1_000) / 12) as u32
    }

    fn buys_at_night(&self) -> bool {
        self.key.is_multiple_of(4)
    }

    fn mode(&self, energy: [u32; 4], is_grid_online: bool, noise: u64) -> Option<&'static str> {
        let slot = self.local_slot() % DAY_SLOTS;
        if !is_grid_online {
            Some("BACKUP")
        } else if (noise >> 10) & 255 == 0 {
            None
        } else if slot >= EVENING_SLOT || energy[0] == 0 && energy[1] == 0 {
            Some(if energy[1] > 0 { "DISCHARGE" } else { "STANDBY" })
        } else if energy[0] > 0 && NIGHT_RATE_SLOTS.contains(&slot) {
            Some("CHARGE")
        } else {
            Some(if self.buys_at_night() { "SAVINGS" } else { "SELF_CONSUMPTION" })
        }
    }

    fn local_slot(&self) -> u32 {
        self.slot.saturating_sub(u32::from(self.behind_utc_slots))
    }

    fn weather(&self, day: u32) -> usize {
        WEATHER_OF_WEEK[(day as usize + usize::from(self.weather_phase)) % 7]
    }

    /// Brings the counters from zero on `install_day` to `slot`: whole days by their weather's
    /// total, today by walking it.
    fn catch_up(&mut self, install_day: u32) {
        let target = self.slot;
        let today = self.local_slot() / DAY_SLOTS;
        let mut days = [0_u64; WEATHERS];
        let weeks = u64::from(today.saturating_sub(install_day) / 7);
        for weekday in 0..7 {
            days[self.weather(weekday)] += weeks;
        }
        for day in install_day + weeks as u32 * 7..today {
            days[self.weather(day)] += 1;
        }
        let mut lifetime = [0_u64; 4];
        for (weather, days) in days.into_iter().enumerate() {
            // A day of this weather within the week that begins today.
            let Some(day) = (today..today + 7).find(|day| self.weather(*day) == weather) else {
                continue;
            };
            self.counters_mwh = [0; 4];
            self.walk(day * DAY_SLOTS, DAY_SLOTS);
            debug_assert_eq!(self.stored_mwh, self.reserve_mwh, "a day ends as it began");
            for (sum, mwh) in lifetime.iter_mut().zip(self.counters_mwh) {
                *sum += mwh * days;
            }
        }
        self.counters_mwh = lifetime;
        self.slot = target;
        let midnight = today * DAY_SLOTS;
        self.walk(midnight, self.local_slot() - midnight);
        self.slot = target;
    }

    fn walk(&mut self, from_local_slot: u32, slots: u32) {
        let first = from_local_slot + u32::from(self.behind_utc_slots);
        for slot in first..first + slots {
            self.slot = slot;
            self.step();
        }
    }
}

/// The last power of an interval, a little below its average, in steps of 0.1 W.
fn last_power_mw(energy_mwh: u32, noise: u64) -> u32 {
    let average_mw = u64::from(energy_mwh) * 12;
    let last = average_mw - average_mw * ((noise >> 18) & 15) / 512;
    (last / 100 * 100) as u32
}
