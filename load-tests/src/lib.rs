//! A fleet of simulated home batteries that posts telemetry and keeps a ledger of every answer.
//!
//! This crate owns the simulated day, the bodies made from it, the load that is put on a gateway
//! and the account of what was answered. It knows the HTTP contract only: it must not know the
//! product's own crates, Kafka or the sinks, so that its ledger can be the oracle for all of them.
//!
//! Units: energy is in mWh (0.001 Wh) and time in seconds since the Unix epoch unless a name says
//! otherwise.

mod account;
mod batch_size;
mod client;
pub mod fleet;
mod gateway;
mod histogram;
pub mod ledger;
mod mix;
mod pace;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod target;
pub mod yardstick;
