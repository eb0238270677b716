//! The `wattline` binary: it parses the command line and the configuration, builds the parts, and runs them.
//!
//! The environment is read here and nowhere else.

mod arguments;
mod audit;
mod config;
mod doctor;
mod gateway;
mod manage;
mod migrate;
mod partitions;
mod portal;
mod rebuild;
mod rejected;
mod worker;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use arguments::{Arguments, Command};
use clap::Parser as _;
use config::Config;
use manage::Manage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stderr, reason = "an error may come before the logs are set up")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wattline: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = config::read(arguments.config.as_deref())?;
    if let Some(step) = config::fail_at() {
        wattline_failpoint::arm(&step).map_err(|_| {
            anyhow::anyhow!("WATTLINE_TEST_FAIL_AT must be STEP, STEP:PASSES or STEP:PASSES:stop")
        })?;
    }
    wattline_runtime::init_logs(config.log.format, &config.log.level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(command(arguments.command, config, arguments.config.as_deref()));
    // A thread that is stuck in a call to Kafka must not hold up the end for ever.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    outcome
}

async fn command(command: Command, config: Config, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Gateway => gateway::run(config).await?,
        Command::Worker => worker::run(config).await?,
        Command::Migrate => migrate::run(config).await?,
        Command::Doctor { json } => return doctor::run(config, file, json).await,
        Command::Audit { json, complete, prometheus } => {
            return audit::run(config, json, complete, prometheus.as_deref()).await;
        }
        Command::Rejected { command } => rejected::run(config, command).await?,
        Command::Rebuild { from, into, yes } => return rebuild::run(config, from, into, yes).await,
        Command::Partitions { command } => partitions::run(config, command).await?,
        Command::Client { command } => manage::run(config, Manage::Client(command)).await?,
        Command::Portal { command: None } => portal::serve(config).await?,
        Command::Portal { command: Some(command) } => portal::manage(config, command).await?,
        Command::Token { command } => manage::run(config, Manage::Token(command)).await?,
        Command::Key { command } => manage::run(config, Manage::Key(command)).await?,
        Command::Site { command } => manage::run(config, Manage::Site(command)).await?,
        Command::Devices { command } => manage::run(config, Manage::Devices(command)).await?,
    }
    Ok(ExitCode::SUCCESS)
}
