//! `test` and `ci`.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::Args;

use crate::cargo::cargo;
use crate::services::{self, Data};
use crate::stack::Stack;
use crate::{chaos, go, instructions, paths, prerequisites, process, python};

#[derive(Args, Default)]
pub struct Options {
    /// Arguments of `cargo test` in place of `--workspace`, after `--`: -p wattline-gateway
    #[arg(last = true)]
    cargo_arguments: Vec<String>,
}

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("test"))
}

/// Runs the tests beside real services; the exit code is theirs.
pub fn test(options: &Options) -> anyhow::Result<ExitCode> {
    prerequisites::for_build()?;
    prerequisites::for_monitoring()?;
    prerequisites::for_backups()?;
    // Built first: the services then wait for nothing, and a compile error comes before them.
    let selection = match &options.cargo_arguments[..] {
        [] => &["--workspace".to_owned(), "--no-fail-fast".to_owned()][..],
        arguments => arguments,
    };
    let build_selection = selection.iter().take_while(|argument| *argument != "--");
    process::run(cargo().args(["test", "--no-run", "--quiet"]).args(build_selection))?;

    let mut stack = Stack::open(folder()?)?;
    stack.stop()?;
    let broker = services::prepare_kafka()?;
    let services = services::start(&mut stack, &broker, Data::Fresh)?;
    let s3 = services::s3::start(&mut stack)?;
    let openapi_tools = python::OPENAPI.install()?;
    let manifest_tools = python::MANIFESTS.install()?;
    let cookbook_tools = python::COOKBOOK.install()?;
    let mut command = cargo();
    match prerequisites::for_postgres() {
        Ok(()) => {
            command.env("WATTLINE_TEST_POSTGRES", "required");
        }
        Err(error) => println!("The directory is tested on SQLite only: {error:#}"),
    }
    match prerequisites::for_chromium() {
        Ok(()) => {
            command.env("WATTLINE_TEST_CHROMIUM", "required");
        }
        Err(error) => println!("The portal is tested without a browser: {error:#}"),
    }
    match go::COLLECTOR.build() {
        Ok(collector) => {
            command.env("WATTLINE_TEST_COLLECTOR", collector);
        }
        Err(error) => println!("Traces are tested without a collector of others: {error:#}"),
    }
    let status = command
        .arg("test")
        .args(selection)
        .env("WATTLINE_TEST_KAFKA", &services.kafka)
        .env("WATTLINE_TEST_CLICKHOUSE", &services.clickhouse)
        .env("WATTLINE_TEST_S3", &s3)
        .env("WATTLINE_TEST_OPENAPI_TOOLS", &openapi_tools)
        .env("WATTLINE_TEST_MANIFEST_TOOLS", &manifest_tools)
        .env("WATTLINE_TEST_COOKBOOK_TOOLS", &cookbook_tools)
        .env("WATTLINE_TEST_CLICKHOUSE_PYTHON", services::clickhouse::install()?)
        .env("WATTLINE_TEST_KAFKA_JARS", services::kafka::Jars::install()?.folder())
        .status()?;
    stack.check()?;
    stack.stop()?;
    // Cargo's own codes fit; a test run that was killed has none.
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// What CI runs, in the order in which a mistake costs least to find.
pub fn ci() -> anyhow::Result<ExitCode> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    if process::succeeds("cargo-deny", &["--version"]) {
        step("licences and advisories", cargo().args(["deny", "check"]))?;
    } else {
        println!("== cargo-deny is not on this machine; its check is left out");
    }
    prerequisites::for_build()?;
    let lints = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("lints", cargo().args(lints))?;
    println!("== tests");
    let tested = test(&Options::default())?;
    if tested != ExitCode::SUCCESS {
        return Ok(tested);
    }
    // As the tests were built, and with them: the benches only have to run here.
    let benches = ["test", "--quiet", "--workspace", "--bench", "gateway", "--bench", "worker"];
    step("benches, each once", cargo().args(benches))?;
    println!("== instructions");
    let counted = instructions::run(&instructions::Options::default())?;
    if counted != ExitCode::SUCCESS {
        return Ok(counted);
    }
    println!("== chaos");
    chaos::run(&chaos::Options::ci())
}

fn step(name: &str, command: &mut Command) -> anyhow::Result<()> {
    println!("== {name}");
    process::run(command)
}
