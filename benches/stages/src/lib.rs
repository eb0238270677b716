//! The stages of the hot path, each ready to be run as often as a bench likes: over bodies of the fleet, in the
//! shape that the gateway and the worker give it.
//!
//! Criterion times them, and callgrind counts their instructions. This crate must not know Kafka, Arrow or the
//! sinks, as CI builds it with optimisation for the counts alone; the stages that need those are in
//! `benches/benches/worker.rs`.
//!
//! Whatever a stage keeps between two runs is there from the beginning: it has been run once.

mod caller;
mod derive;
mod material;
mod wire;

pub use caller::{LookUp, Token};
pub use derive::Derive;
pub use material::{BOUNDS, CLIENT, bodies, header, records};
pub use wire::{Decode, DecodeRecord, Encode, Request};

/// The sizes at which a stage is measured.
pub const SIZES: [usize; 3] = [1, 100, 1_000];
