//! The command line of the fleet: reads arguments, files and the clock, prints, and decides the
//! exit code. Everything else is the library's.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use wattline_fleet::fleet::import_line;
use wattline_fleet::replay::{Plan, Replay};
use wattline_fleet::report::Report;
use wattline_fleet::run::{BatchSize, Outcome, Progress, Settings, run};
use wattline_fleet::scenario::Scenario;
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
    /// Read a scenario and print all that it says, defaults included, as JSON.
    Scenario { file: PathBuf },
    /// Send bodies that were made before, and measure what they cost the processes that answer.
    Replay(ReplayArgs),
}

#[derive(Args)]
struct DevicesArgs {
    /// A scenario that says how many there are, and their seed.
    #[arg(long, conflicts_with_all = ["count", "seed"])]
    scenario: Option<PathBuf>,
    #[arg(long, default_value_t = 2_000)]
    count: u32,
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// The client whose devices they become.
    #[arg(long)]
    client: String,
}

#[derive(Args)]
struct ReplayArgs {
    /// The plan, a JSON file.
    plan: PathBuf,
}

/// What is not given is taken from the scenario, and otherwise as it is said.
#[derive(Args)]
struct RunArgs {
    /// The gateway, on this machine: http://127.0.0.1:PORT
    #[arg(long)]
    url: String,
    /// A file that holds a client token.
    #[arg(long)]
    token_file: PathBuf,
    /// A file that says how the fleet posts; see load-tests/scenarios.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// The devices 1 to N of the seed; import them first. [2000]
    #[arg(long)]
    devices: Option<u32>,
    /// [7]
    #[arg(long)]
    seed: Option<u64>,
    /// Keep-alive connections, each with one request under way. [16]
    #[arg(long)]
    gateways: Option<u32>,
    /// [20]
    #[arg(long)]
    seconds: Option<u32>,
    /// Points a second over the whole fleet; without it, as fast as the answers come.
    #[arg(long)]
    rate: Option<f64>,
    /// Stop after so many requests, resends not counted.
    #[arg(long)]
    requests: Option<u64>,
    /// Points a request: a number, or "mixed" (1 to 1,000, mostly 50 to 200). [mixed]
    #[arg(long)]
    batch: Option<BatchSize>,
    /// Points in a thousand that are spoilt on purpose and must be answered FAILED. [2]
    #[arg(long)]
    bad_permille: Option<u32>,
    /// How often an unanswered or undecided request is sent again, unchanged; 0 for never. [20]
    #[arg(long)]
    resend_max: Option<u32>,
    /// How long resends may go on after the run's end. [30]
    #[arg(long)]
    drain_seconds: Option<u32>,
    /// [30000]
    #[arg(long)]
    request_timeout_ms: Option<u32>,
    /// Read each answer's body only after so long: a slow client. [0]
    #[arg(long)]
    slow_answers_ms: Option<u32>,
    /// How far before now the devices' simulated time begins; they stop when it reaches now. [24]
    #[arg(long)]
    hours_back: Option<u32>,
    /// Worker threads of the simulator. [1]
    #[arg(long)]
    threads: Option<usize>,
    /// Write one JSON line a point: endpoint, device, time and final answer.
    #[arg(long)]
    ledger: Option<PathBuf>,
    /// Write the report here instead of to standard output.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Write one JSON line a second: what was sent and answered so far, and the second's latencies.
    #[arg(long)]
    timeline: Option<PathBuf>,
}

impl RunArgs {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        let mut scenario = match &self.scenario {
            Some(path) => read_scenario(path)?,
            None => Scenario::default(),
        };
        fn put<T: Copy>(given: Option<T>, place: &mut T) {
            *place = given.unwrap_or(*place);
        }
        put(self.devices, &mut scenario.devices);
        put(self.seed, &mut scenario.seed);
        put(self.gateways, &mut scenario.gateways);
        put(self.seconds, &mut scenario.seconds);
        put(self.batch, &mut scenario.batch);
        put(self.bad_permille, &mut scenario.bad_permille);
        put(self.resend_max, &mut scenario.resend_max);
        put(self.drain_seconds, &mut scenario.drain_seconds);
        put(self.request_timeout_ms, &mut scenario.request_timeout_ms);
        put(self.slow_answers_ms, &mut scenario.slow_answers_ms);
        put(self.hours_back, &mut scenario.hours_back);
        put(self.threads, &mut scenario.threads);
        scenario.rate = self.rate.or(scenario.rate);
        scenario.requests_max = self.requests.or(scenario.requests_max);
        Ok(scenario)
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Devices(args) => print_devices(&args),
        Command::Run(args) => run_fleet(&args),
        Command::Scenario { file } => print_scenario(&file),
        Command::Replay(args) => replay_plan(&args),
    };
    done.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "fleet: {error:#}");
        ExitCode::FAILURE
    })
}

fn print_scenario(file: &Path) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&read_scenario(file)?)?)?;
    Ok(ExitCode::SUCCESS)
}

fn print_devices(args: &DevicesArgs) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let (count, seed) = match &args.scenario {
        Some(path) => {
            let scenario = read_scenario(path)?;
            (scenario.devices, scenario.seed)
        }
        None => (args.count, args.seed),
    };
    for index in 0..count {
        writeln!(out, "{}", import_line(seed, index, &args.client)?)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn run_fleet(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let scenario = args.scenario()?;
    let settings = settings(args, &scenario)?;
    let runtime = runtime(scenario.threads)?;
    let mut timeline = args.timeline.as_deref().map(create).transpose()?;
    let Outcome { report, ledger } = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let stopped = async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        run(settings, stopped, |progress| {
            print_progress(progress);
            if let Some(file) = &mut timeline {
                // The run is worth more than its second-by-second account.
                let _ = serde_json::to_string(progress).map(|line| writeln!(file, "{line}"));
            }
        })
        .await
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

/// A line on standard input names a target and asks for a round; a line of JSON answers it.
fn replay_plan(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let text = fs::read_to_string(&args.plan).with_context(|| format!("reading {}", args.plan.display()))?;
    let plan: Plan = serde_json::from_str(&text).with_context(|| format!("in {}", args.plan.display()))?;
    let runtime = runtime(plan.threads)?;
    let mut replay = Replay::new(plan, now_s()?)?;
    for line in io::stdin().lines() {
        let round = runtime.block_on(replay.round(line?.trim()))?;
        writeln!(io::stdout(), "{}", serde_json::to_string(&round)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read_scenario(path: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    Scenario::parse(&text).with_context(|| format!("in {}", path.display()))
}

fn runtime(threads: usize) -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()
}

fn settings(args: &RunArgs, scenario: &Scenario) -> anyhow::Result<Settings> {
    let token = fs::read_to_string(&args.token_file)
        .with_context(|| format!("reading the token file {}", args.token_file.display()))?;
    Ok(Settings {
        target: Target::parse(&args.url).context("--url")?,
        token: token.trim().to_owned(),
        seed: scenario.seed,
        devices: scenario.devices,
        gateways: scenario.gateways,
        seconds: scenario.seconds,
        points_per_s: scenario.rate,
        requests_max: scenario.requests_max,
        batch: scenario.batch,
        bad_permille: scenario.bad_permille,
        resend_max: scenario.resend_max,
        drain_s: scenario.drain_seconds,
        request_timeout_ms: scenario.request_timeout_ms,
        slow_answers_ms: scenario.slow_answers_ms,
        now_s: now_s()?,
        hours_back: scenario.hours_back,
        order: scenario.order,
        reconnect_every_s: scenario.reconnect_every_seconds,
        keep_entries: args.ledger.is_some(),
    })
}

fn now_s() -> anyhow::Result<u32> {
    u32::try_from(jiff::Timestamp::now().as_second()).context("the clock is off")
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("creating {}", path.display()))
}

/// A closed standard error must not end the run.
fn print_progress(progress: &Progress) {
    let mut line = format!(
        "fleet {:>4.0} s   sent {:>10}   OK {:>10}   FAILED {:>7}   {:>9.0} points/s   p99 {:>8.2} ms",
        progress.elapsed_s,
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
