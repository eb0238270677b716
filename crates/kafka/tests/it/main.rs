//! Append and consume against librdkafka's mock cluster: the protocol's errors, which a real broker cannot be
//! asked for, and the contract between the consumer and the owner of its partitions.

mod consume;
mod join;
mod produce;
mod support;
