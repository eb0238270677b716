//! The simulated batteries and the JSON they post.
//!
//! Everything here is a function of a seed, a device's index and the simulated time: two runs that
//! meet the same interval of the same device write the same numbers, whenever each began.

mod batch;
mod catalog;
mod device;
mod json;
mod ring;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use batch::{Batch, Sent};
pub use catalog::import_line;
pub use device::{Device, INTERVAL_S, Interval};
pub use ring::{Order, Ring};

/// Which of the two telemetry endpoints a device posts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Kind {
    Battery,
    BatteryCounter,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Battery, Self::BatteryCounter];

    /// Half of the devices report intervals, the other half lifetime counters.
    pub const fn of(index: u32) -> Self {
        if index.is_multiple_of(2) { Self::Battery } else { Self::BatteryCounter }
    }

    pub const fn path(self) -> &'static str {
        match self {
            Self::Battery => "/v1/telemetry/BATTERY",
            Self::BatteryCounter => "/v1/telemetry/BATTERY_COUNTER",
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Battery => "BATTERY",
            Self::BatteryCounter => "BATTERY_COUNTER",
        }
    }
}

/// What is wrong with a point that is meant to be answered FAILED.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    UnknownDevice,
    NegativeNumber,
    MissingField,
    StateOfChargeOver100,
}

impl Flaw {
    pub const ALL: [Self; 4] =
        [Self::UnknownDevice, Self::NegativeNumber, Self::MissingField, Self::StateOfChargeOver100];

    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownDevice => "unknown device",
            Self::NegativeNumber => "negative number",
            Self::MissingField => "missing field",
            Self::StateOfChargeOver100 => "state of charge over 100",
        }
    }
}

impl Sent {
    /// The id that the point was posted under.
    pub fn device_id(&self) -> String {
        posted_id(self.device, self.flaw)
    }

    /// RFC 3339 in UTC; the point itself may have written the same time another way.
    pub fn time(&self) -> String {
        let mut time = Vec::new();
        json::date_time(&mut time, self.time_s, 0);
        String::from_utf8_lossy(&time).into_owned()
    }
}

/// One body of `points` points without flaws, for benches and tests.
///
/// The points are taken from the devices in turn, each moving on by an interval, so a second call
/// continues where the first ended. The devices' own kinds are ignored: `kind` decides the shape.
///
/// # Panics
/// When `devices` is empty.
pub fn body(kind: Kind, devices: &mut [Device], points: usize) -> Vec<u8> {
    assert!(!devices.is_empty(), "a body needs at least one device");
    let mut batch = Batch::new(kind, points);
    for turn in 0..points {
        let device = turn % devices.len();
        batch.push(&devices[device].advance(), None);
    }
    batch.finish();
    batch.into_body()
}

/// The id that a device posts under and is imported with: `bat-000001` is index 0.
pub fn device_id(index: u32) -> String {
    posted_id(index, None)
}

fn posted_id(index: u32, flaw: Option<Flaw>) -> String {
    let mut id = Vec::new();
    json::device_id(&mut id, index, flaw);
    String::from_utf8_lossy(&id).into_owned()
}
