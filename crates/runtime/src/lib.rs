//! What every role of the binary needs around its work: configuration, logs, the operations port, signals.
//!
//! It must not know telemetry: no points, no Kafka, no sinks.

mod config;
mod logs;
mod ops;
mod process;
mod shutdown;

pub use config::load;
pub use logs::{LogFormat, init_logs};
pub use ops::{Metrics, Readiness, install_metrics, serve_ops};
pub use shutdown::Shutdown;
