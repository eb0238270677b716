//! The two formats of the edge, held to their contracts: what a request may say, answer by answer, and the
//! bytes of the record that others read.

mod allocations;
mod documented;
mod documents;
mod malformed;
mod points;
mod proto;
mod quantities;
mod record;
mod rules;
mod support;
mod wrapper;
