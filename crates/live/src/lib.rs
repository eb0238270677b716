//! A page for a person who wants to see an installation at work: points a second, freshness, state of charge
//! over the fleet, and what was refused, by reason.
//!
//! It owns the page and the few numbers behind it, which it takes from the operations ports of a gateway and of
//! a worker and from ClickHouse. It must not know Wattline's own code, and needs no part of it to be told of the
//! page: a gateway has no way to ClickHouse. It is for one's own machine: it listens where it is told, answers only
//! requests that name that address, and signs in to nothing.

mod charge;
mod exposition;
mod freshness;
mod numbers;
mod sampler;
mod server;

use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

pub use numbers::Fleet;

/// Where the numbers come from.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The operations ports: http://127.0.0.1:9601
    pub gateway: String,
    pub worker: String,
    /// ClickHouse's HTTP interface, without a password.
    pub clickhouse: String,
    pub database: String,
    /// The client whose batteries' charge is shown.
    pub client: String,
}

/// Serves the page for as long as the process runs.
pub fn serve(listener: TcpListener, sources: Sources, fleet: Option<Fleet>) -> anyhow::Result<()> {
    let numbers = Arc::new(Mutex::new(numbers::Numbers::new(sources.client.clone(), fleet)));
    let shared = Arc::clone(&numbers);
    thread::Builder::new().name("sampler".into()).spawn(move || sampler::run(&sources, &shared))?;
    server::run(&listener, &numbers)
}
