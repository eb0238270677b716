//! The command line of the fleet: reads arguments, files and the clock, prints, and decides the
//! exit code. Everything else is the library's.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use wattline_fleet::fleet::import_line;
use wattline_fleet::report::Report;
use wattline_fleet::run::{BatchSize, Outcome, Progress, Settings, run};
use wattline_fleet::target::Target;

/// A fleet of simulated home batteries.
#[derive(Parser)]
#[command(name = "wattline-fleet")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the lines that `wattline devices import` takes for the fleet's devices.
    Devices(DevicesArgs),
    /// Post telemetry, keep the ledger, and report.
    Run(Box<RunArgs>),
}

#[derive(Args)]
struct DevicesArgs {
    #[arg(long, default_value_t = 2_000)]
    count: u32,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The client whose devices they become.
    #[arg(long)]
    client: String,
}

#[derive(Args)]
struct RunArgs {
    /// The gateway, on this machine: http://127.0.0.1:PORT
    #[arg(long)]
    url: String,
    /// A file that holds a client token.
    #[arg(long)]
    token_file: PathBuf,
    /// The devices 1 to N of the seed; import them first.
    #[arg(long, default_value_t = 2_000)]
    devices: u32,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Keep-alive connections, each with one request under way.
    #[arg(long, default_value_t = 16)]
    gateways: u32,
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Points a second over the whole fleet; without it, as fast as the answers come.
    #[arg(long)]
    rate: Option<f64>,
    /// Stop after so many requests, resends not counted.
    #[arg(long)]
    requests: Option<u64>,
    /// Points a request: a number, or "mixed" (1 to 1,000, mostly 50 to 200).
    #[arg(long, default_value = "mixed", value_parser = parse_batch)]
    batch: BatchSize,
    /// Points in a thousand that are spoilt on purpose and must be answered FAILED.
    #[arg(long, default_value_t = 2)]
    bad_permille: u32,
    /// How often an unanswered or undecided request is sent again, unchanged; 0 for never.
    #[arg(long, default_value_t = 20)]
    resend_max: u32,
    /// How long resends may go on after the run's end.
    #[arg(long, default_value_t = 30)]
    drain_seconds: u32,
    #[arg(long, default_value_t = 30_000)]
    request_timeout_ms: u32,
    /// Read each answer's body only after so long: a slow client.
    #[arg(long, default_value_t = 0)]
    slow_answers_ms: u32,
    /// How far before now the devices' simulated time begins; they stop when it reaches now.
    #[arg(long, default_value_t = 24)]
    hours_back: u32,
    /// Worker threads of the simulator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Write one JSON line a point: endpoint, device, time and final answer.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Write the report here instead of to standard output.
    #[arg(long)]
    report: Option<PathBuf>,
}

fn parse_batch(text: &str) -> Result<BatchSize, String> {
    match text {
        "mixed" => Ok(BatchSize::Mixed),
        _ => text.parse().map(BatchSize::Fixed).map_err(|_| "a number of points, or \"mixed\"".to_owned()),
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Devices(args) => print_devices(&args),
        Command::Run(args) => run_fleet(&args),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "fleet: {error:#}");
        ExitCode::FAILURE
    })
}

fn print_devices(args: &DevicesArgs) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    for index in 0..args.count {
        writeln!(out, "{}", import_line(args.seed, index, &args.client)?)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn run_fleet(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let settings = settings(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(args.threads.max(1))
        .enable_all()
        .build()?;
    let Outcome { report, ledger } = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        run(settings, stopped, print_progress).await
    })?;
    if let Some(path) = &args.ledger {
        let mut out = BufWriter::new(create(path)?);
        ledger.write(&mut out).with_context(|| format!("writing {}", path.display()))?;
    }
    let text = serde_json::to_string_pretty(&report)?;
    match &args.report {
        Some(path) => {
            writeln!(create(path)?, "{text}").with_context(|| format!("writing {}", path.display()))?
        }
        None => writeln!(io::stdout(), "{text}")?,
    }
    print_end(&report)?;
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn settings(args: &RunArgs) -> anyhow::Result<Settings> {
    let token = std::fs::read_to_string(&args.token_file)
        .with_context(|| format!("reading the token file {}", args.token_file.display()))?;
    Ok(Settings {
        target: Target::parse(&args.url).context("--url")?,
        token: token.trim().to_owned(),
        seed: args.seed,
        devices: args.devices,
        gateways: args.gateways,
        seconds: args.seconds,
        points_per_s: args.rate,
        requests_max: args.requests,
        batch: args.batch,
        bad_permille: args.bad_permille,
        resend_max: args.resend_max,
        drain_s: args.drain_seconds,
        request_timeout_ms: args.request_timeout_ms,
        slow_answers_ms: args.slow_answers_ms,
        now_s: u32::try_from(jiff::Timestamp::now().as_second()).context("the clock is off")?,
        hours_back: args.hours_back,
        keep_entries: args.ledger.is_some(),
    })
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("creating {}", path.display()))
}

/// A closed standard error must not end the run.
fn print_progress(progress: &Progress) {
    let mut line = format!(
        "fleet {:>4.0} s   sent {:>10}   OK {:>10}   FAILED {:>7}   {:>9.0} points/s   p99 {:>8.2} ms",
        progress.elapsed.as_secs_f64(),
        progress.sent,
        progress.ok,
        progress.failed,
        progress.settled_per_s,
        progress.p99_ms,
    );
    if progress.requests_not_answered > 0 {
        line += &format!("   no answer {}", progress.requests_not_answered);
    }
    let _ = writeln!(io::stderr(), "{line}");
}

fn print_end(report: &Report) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(
        out,
        "fleet done: {} points in {:.1} s, {} OK, {} FAILED, {} unknown; {} requests, {} of them resends",
        report.points_sent,
        report.seconds,
        report.points_ok,
        report.points_failed,
        report.points_unknown,
        report.requests,
        report.resends,
    )?;
    for (refusal, requests) in &report.refusals {
        writeln!(out, "fleet: {requests} requests were refused: {refusal}")?;
    }
    for (reason, requests) in &report.requests_not_answered {
        writeln!(out, "fleet: {requests} requests without an answer: {reason}")?;
    }
    if report.answers_not_understood > 0 {
        writeln!(out, "fleet: {} answers were not understood", report.answers_not_understood)?;
    }
    Ok(())
}
