//! The development commands: `demo`, `test`, `fault`, `chaos`, `bench`, `instructions`, `peers`, `load`, `cookbook`, `ci`,
//! `up`, `down`.
//!
//! It owns the services of this machine (a Kafka broker, a ClickHouse engine), their cache and data
//! under `target/local/`, and the life of every process it starts. It must not know the code of
//! Wattline: it uses the built binaries as a user does, so that it builds in seconds on a machine that
//! has only Rust and a C compiler.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these commands talk to a person at a terminal"
)]

mod bench;
mod cargo;
mod chaos;
mod cookbook;
mod demo;
mod fault;
mod go;
mod http;
mod instructions;
mod load;
mod paths;
mod peers;
mod prerequisites;
mod process;
mod python;
mod services;
mod stack;
mod test;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Development commands of Wattline.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show everything at work: services, gateway, worker, a fleet that posts, and the count of every point.
    Demo(demo::Options),
    /// Start the services and run the tests of the workspace.
    Test(test::Options),
    /// Cause a fault on the real services, under load, and count every point.
    Fault(fault::Options),
    /// Cause random faults on the real services, under load, and count every point.
    Chaos(chaos::Options),
    /// Measure CPU, memory and freshness on the real services, against limits.
    Bench(bench::Options),
    /// Count the instructions of the hot path's stages and compare them with those of the repository.
    Instructions(instructions::Options),
    /// Measure others' CPU for the same work beside Wattline's.
    Peers(peers::Options),
    /// Put a scenario of the fleet on the real services, and draw what it did to them.
    Load(load::Options),
    /// Fill ClickHouse and a Parquet folder with the data of docs/cookbook.md, and leave them to be asked.
    Cookbook,
    /// What CI runs: format, lints, licences where cargo-deny is installed, the tests, each bench
    /// once, the counts of instructions, and a minute of chaos.
    Ci,
    /// Start Kafka and ClickHouse alone, for work by hand.
    Up,
    /// Stop what `up`, `cookbook` or `demo --keep` left running, and what a killed command left behind.
    Down,
    /// Waits for the end of its parent and then stops what the parent had started.
    #[command(hide = true)]
    Guard { roster: PathBuf },
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Test(options) => test::test(&options),
        Command::Fault(options) => fault::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Instructions(options) => instructions::run(&options),
        Command::Peers(options) => peers::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Cookbook => cookbook::run(),
        Command::Ci => test::ci(),
        Command::Up => up::up(),
        Command::Down => up::down(),
        Command::Guard { roster } => stack::guard(&roster),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
