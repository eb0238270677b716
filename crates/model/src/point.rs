use std::borrow::Cow;

use crate::Quantities;

/// The two kinds of telemetry, each with an endpoint and a Kafka topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Interval data: energies over `[time, time + duration)`.
    Battery,
    /// Lifetime counters, read at `time`.
    BatteryCounter,
}

impl Kind {
    /// The name in the path of the API and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Battery => "BATTERY",
            Kind::BatteryCounter => "BATTERY_COUNTER",
        }
    }

    /// The name of the field that holds the point's time.
    pub const fn time_field(self) -> &'static str {
        match self {
            Kind::Battery => "start_time",
            Kind::BatteryCounter => "timestamp",
        }
    }
}

/// What the battery is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    Charge = 1,
    Discharge = 2,
    Standby = 3,
    Backup = 4,
    SelfConsumption = 5,
    Savings = 6,
}

impl Mode {
    pub const ALL: [Mode; 6] =
        [Mode::Charge, Mode::Discharge, Mode::Standby, Mode::Backup, Mode::SelfConsumption, Mode::Savings];

    pub const fn name(self) -> &'static str {
        match self {
            Mode::Charge => "CHARGE",
            Mode::Discharge => "DISCHARGE",
            Mode::Standby => "STANDBY",
            Mode::Backup => "BACKUP",
            Mode::SelfConsumption => "SELF_CONSUMPTION",
            Mode::Savings => "SAVINGS",
        }
    }

    pub fn from_name(name: &[u8]) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name().as_bytes() == name)
    }

    /// The number in the Kafka record; 0 is "not given".
    pub fn from_number(number: u64) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| *mode as u64 == number)
    }
}

/// How much a device can move, stamped on a counter reading when it is accepted, so that what a reading
/// means depends on the log alone and not on when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    pub battery_charge_w: u32,
    pub battery_discharge_w: u32,
    pub home_w: u32,
    pub solar_w: u32,
    /// Where the battery's counters roll over, in 0.001 Wh; 0 where the device declares none.
    pub modulus_mwh: u64,
}

/// One data point of one device: an interval or a counter reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Point<'a> {
    pub device_id: Cow<'a, str>,
    /// The start of the interval, or the time of the reading; milliseconds since 1970 in UTC.
    pub time_ms: i64,
    /// The length of the interval; 0 for a reading.
    pub duration_ms: u32,
    pub last_is_online: bool,
    pub last_is_grid_online: Option<bool>,
    pub last_mode: Option<Mode>,
    pub quantities: Quantities,
    /// Free-form JSON text of the manufacturer, an object.
    pub oem_raw_data: Option<Cow<'a, str>>,
    pub limits: Limits,
}

impl Point<'_> {
    /// The end of the interval, or the time of the reading.
    pub fn end_ms(&self) -> i64 {
        self.time_ms + i64::from(self.duration_ms)
    }

    pub fn into_owned(self) -> Point<'static> {
        Point {
            device_id: Cow::Owned(self.device_id.into_owned()),
            oem_raw_data: self.oem_raw_data.map(|text| Cow::Owned(text.into_owned())),
            ..self
        }
    }
}
