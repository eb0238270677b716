//! From Kafka to both sinks: one task a partition polls, derives, announces, writes and commits.
//!
//! Owns the order of these steps, and with it the promise that every point is stored exactly once. It must
//! not know HTTP or the directory: what a record means depends on the log alone.

mod bits;
mod clock;
mod columns;
mod derive;
mod gathered;
mod inputs;
mod metrics;
mod numbers;
mod progress;
mod rebuild;
mod settings;
#[cfg(test)]
mod simulation;
mod sinks;
mod supervisor;
mod task;
mod told;
mod trace;
mod unstored;
mod words;

pub use columns::Rows;
pub use derive::{Counts, Deriver, LookedUp};
pub use gathered::Gathered;
pub use inputs::Inputs;
pub use metrics::describe_metrics;
pub use progress::{Progress, SinkProgress};
pub use rebuild::Rebuild;
pub use settings::Settings;
pub use supervisor::Worker;
