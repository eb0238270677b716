//! The rules of the house that a compiler does not know.

mod alerts;
mod deploy;
mod house;
