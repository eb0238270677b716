//! What Wattline talks about: data points, their quantities, places in Kafka, intervals and reasons.
//!
//! This crate is pure. It must not know serde, async, I/O or clocks: a value comes in, a value goes out.

mod interval;
mod point;
mod quantity;
mod reason;

pub use interval::{COUNTER_COUNT, Counters, Interval, Quality, Source};
pub use point::{Kind, Limits, Mode, Point};
pub use quantity::{COUNTERS, Quantities, Quantity, REQUIRED_ONLINE};
pub use reason::RejectReason;

/// The place of a point in Kafka: the offset of its record and its index in it.
///
/// The topic and the partition are not part of it: all points of a device are in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    pub offset: i64,
    pub index: i32,
}

impl Position {
    /// More points than a record can have, which is 1,000, of one request or of several.
    pub const INDEX_END: i32 = 1024;

    /// The position as one number that grows with it. It is the version of the rows that the point gave.
    pub const fn version(self) -> u64 {
        self.offset as u64 * Self::INDEX_END as u64 + self.index as u64
    }
}
