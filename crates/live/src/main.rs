//! `wattline-live`: the page for an installation on this machine.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use wattline_live::{Fleet, Sources};

/// Serve a page that shows a running installation of this machine.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Where the page is; an address of this machine only.
    #[arg(long, default_value = "127.0.0.1:9604")]
    listen: SocketAddr,
    /// A gateway's operations port.
    #[arg(long, default_value = "http://127.0.0.1:9601")]
    gateway: String,
    /// A worker's operations port.
    #[arg(long, default_value = "http://127.0.0.1:9602")]
    worker: String,
    /// ClickHouse, as a user without a password.
    #[arg(long, default_value = "http://127.0.0.1:8123")]
    clickhouse: String,
    #[arg(long, default_value = "wattline")]
    database: String,
    /// The client whose batteries' charge is shown.
    #[arg(long, default_value = "demo")]
    client: String,
    /// Batteries of a simulated fleet that posts beside the page, for the page to tell of.
    #[arg(long, requires = "fleet_seconds")]
    fleet_batteries: Option<u32>,
    /// After so many seconds that fleet stops by itself.
    #[arg(long, requires = "fleet_batteries")]
    fleet_seconds: Option<u32>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.listen.ip().is_loopback(), "the page is for this machine: listen on 127.0.0.1");
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    writeln!(std::io::stdout(), "http://{}/", listener.local_addr()?)?;
    let fleet = arguments
        .fleet_batteries
        .zip(arguments.fleet_seconds)
        .map(|(batteries, seconds)| Fleet { batteries, posts_for: Duration::from_secs(seconds.into()) });
    let sources = Sources {
        gateway: arguments.gateway,
        worker: arguments.worker,
        clickhouse: arguments.clickhouse,
        database: arguments.database,
        client: arguments.client,
    };
    wattline_live::serve(listener, sources, fleet)
}
