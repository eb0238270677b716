//! The worked examples, and the properties of chains against a naive model.

mod naive;
mod properties;
mod vectors;
