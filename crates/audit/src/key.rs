use jiff::Timestamp;
use wattline_model::Position;

use crate::devices::{Device, Devices};

/// What tells a point apart: two points of one key are one row to a reader.
///
/// In their order, the readings of a device's chain stand together, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub device: Device,
    /// Whether it is a reading with counters; false for an interval.
    pub in_chain: bool,
    /// The time of a reading, the end of an interval.
    pub time_ms: i64,
}

impl Key {
    pub(crate) fn describe(self, devices: &Devices) -> String {
        format!("{} at {}", devices.name(self.device), time(self.time_ms))
    }
}

/// A point as a sink has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub key: Key,
    pub position: Position,
}

/// An interval as a sink has it, derived from two readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntervalRow<'a> {
    /// That of the reading at its end.
    pub key: Key,
    pub start_ms: i64,
    pub energy_mwh: [Option<i64>; 4],
    pub quality: [&'a str; 4],
    pub gap: bool,
    pub position: Position,
}

pub(crate) fn time(time_ms: i64) -> String {
    Timestamp::from_millisecond(time_ms).map_or_else(|_| format!("{time_ms} ms"), |time| time.to_string())
}

pub(crate) fn place(position: Position) -> String {
    format!("{}:{}", position.offset, position.index)
}
