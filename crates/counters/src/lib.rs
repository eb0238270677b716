//! The chain of counter readings of a device, and the intervals that its consecutive pairs are.
//!
//! Owns the rules of a pair, the order of a chain, and the bounded memory of the last reading of each
//! device. It is a pure state machine: it must not know async, I/O, clocks or any format.

mod chain;
mod last;
mod pair;

pub use chain::{Chain, Inserted, Link};
pub use last::{Last, LastReadings};
pub use pair::{GAP_MS, Reading, SLACK_MS, TOLERANCE_MS, pair};
