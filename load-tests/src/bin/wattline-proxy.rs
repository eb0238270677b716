//! A TCP proxy on this machine that spoils connections when it is told to.
//!
//! It prints its port and then obeys lines on standard input, which also ends it when it is closed:
//!
//! - `pass`: forward both ways; so it begins.
//! - `stall`: accept connections and hold all bytes.
//! - `cut`: close all connections, and every new one at once.
//! - `drop-replies`: forward what clients send, swallow the first bytes that come back, close.
//! - `target HOST:PORT`: where connections lead from now on.
//!
//! It owns bytes and connections only: it must not know what protocol they speak.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const BUFFER_BYTES: usize = 16 * 1024;

/// A proxy whose connections can be stalled, cut, and robbed of their replies.
#[derive(Parser)]
#[command(name = "wattline-proxy")]
struct Arguments {
    /// On a loopback interface; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where connections lead, on a loopback interface too.
    #[arg(long)]
    target: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    Stall,
    Cut,
    DropReplies,
}

#[derive(Clone, Copy)]
struct Orders {
    mode: Mode,
    target: SocketAddr,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Requests,
    Replies,
}

/// Why a connection is closed before both ends had their say.
struct Closed;

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Closed
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    ensure!(arguments.listen.ip().is_loopback(), "--listen must be an address of this machine");
    let orders = watch::Sender::new(Orders { mode: Mode::Pass, target: local(arguments.target)? });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind(arguments.listen)).context("--listen")?;
    writeln!(io::stdout(), "{}", listener.local_addr()?.port())?;
    runtime.spawn(accept(listener, orders.subscribe()));
    for line in io::stdin().lock().lines() {
        let line = line?;
        if let Err(error) = obey(&line, &orders) {
            writeln!(io::stderr(), "proxy: {line:?}: {error:#}")?;
        }
    }
    Ok(())
}

fn obey(line: &str, orders: &watch::Sender<Orders>) -> anyhow::Result<()> {
    let mode = match line.trim().split_once(' ') {
        Some(("target", address)) => {
            let target = local(address.trim().parse()?)?;
            orders.send_modify(|orders| orders.target = target);
            return Ok(());
        }
        _ => match line.trim() {
            "pass" => Mode::Pass,
            "stall" => Mode::Stall,
            "cut" => Mode::Cut,
            "drop-replies" => Mode::DropReplies,
            _ => bail!("not an order"),
        },
    };
    orders.send_modify(|orders| orders.mode = mode);
    Ok(())
}

fn local(target: SocketAddr) -> anyhow::Result<SocketAddr> {
    ensure!(target.ip().is_loopback(), "a target must be on this machine");
    Ok(target)
}

async fn accept(listener: TcpListener, orders: watch::Receiver<Orders>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // How a connection ends is for its two ends to find out.
                tokio::spawn(connect(client, orders.clone()));
            }
            // Out of file descriptors, as a rule: it passes.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn connect(client: TcpStream, mut orders: watch::Receiver<Orders>) -> Result<(), Closed> {
    moving(&mut orders).await?;
    let target = orders.borrow().target;
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = orders.clone();
    tokio::select! {
        _ = cut.wait_for(|orders| orders.mode == Mode::Cut) => Err(Closed),
        forwarded = async {
            tokio::try_join!(
                forward(from_client, to_server, Direction::Requests, orders.clone()),
                forward(from_server, to_client, Direction::Replies, orders),
            )
        } => forwarded.map(|_| ()),
    }
}

/// Forwards one direction to its end. An error closes both.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut orders: watch::Receiver<Orders>,
) -> Result<(), Closed> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        moving(&mut orders).await?;
        let bytes = from.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(to.shutdown().await?);
        }
        // The order may have come while this waited for bytes.
        let mode = moving(&mut orders).await?;
        if mode == Mode::DropReplies && direction == Direction::Replies {
            return Err(Closed);
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}

/// Waits while connections are stalled; the mode is then any other.
async fn moving(orders: &mut watch::Receiver<Orders>) -> Result<Mode, Closed> {
    match orders.wait_for(|orders| orders.mode != Mode::Stall).await {
        Ok(orders) if orders.mode != Mode::Cut => Ok(orders.mode),
        _ => Err(Closed),
    }
}
