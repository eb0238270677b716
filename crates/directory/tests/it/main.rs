//! The directory on a real SQLite file and on a real Postgres, and a gateway's view that follows it.

mod bench;
mod follow;
mod keys;
mod partitions;
mod portal;
mod postgres;
mod scale;
mod secured;
mod sites;
