//! A whole installation whose every process can be killed, stopped and brought back.
//!
//! Gateways reach Kafka, and workers ClickHouse, through a proxy. What ends by itself is started again, as a
//! supervisor would do in production, and counted.

mod ask;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use super::proxy::Proxy;
use super::settings::{self, MORE_CONFIGURATION};
use super::shell::after_shell;
use crate::demo::CLIENT;
use crate::demo::site::Site;
use crate::process::{self, free_ports, wait_for};
use crate::services::{Data, Services, clickhouse, kafka};
use crate::stack::Stack;
use crate::{http, prerequisites};

pub use crate::services::{clickhouse::SERVICE as CLICKHOUSE, kafka::SERVICE as KAFKA};
pub const SECOND_KAFKA: &str = "kafka-2";
pub const GATEWAY: &str = "gateway";
pub const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
/// Batteries of the fleet.
pub const DEVICES: &str = "2000";
pub const FLEET_SEED: &str = "7";

const READY_DEADLINE: Duration = Duration::from_secs(120);
const KILL_DEADLINE: Duration = Duration::from_secs(10);
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// A process that cannot start yet, because a service is away, is tried again after so long.
const RESTART_WAIT: Duration = Duration::from_secs(1);

/// How many brokers the cluster has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Brokers {
    One,
    Two,
}

/// What a process of Wattline's is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Gateway,
    Worker,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Role::Gateway => "gateway",
            Role::Worker => "worker",
        }
    }
}

pub struct Lab {
    pub stack: Stack,
    pub binaries: PathBuf,
    pub site: Site,
    node: kafka::Node,
    /// Where there are two brokers, each partition is on both.
    second: Option<kafka::Node>,
    engine: clickhouse::Engine,
    /// Between gateways and Kafka.
    pub kafka_proxy: Proxy,
    /// Between workers and ClickHouse.
    pub clickhouse_proxy: Proxy,
    worker_operations: [u16; WORKERS.len()],
    /// Variables that the processes of a role are started with besides.
    equipment: Vec<(Role, &'static str, String)>,
    /// What is to run, besides the services.
    wanted: Vec<Wanted>,
    /// Processes that ended by themselves and were started again.
    pub restarts: u32,
    /// What is to be cleared away when all processes are gone.
    at_end: Option<Box<dyn FnOnce()>>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Err(error) = self.stack.stop() {
            eprintln!("error: {error:#}");
        }
        if let Some(clear) = self.at_end.take() {
            clear();
        }
    }
}

struct Wanted {
    name: &'static str,
    started: Instant,
}

impl Lab {
    /// Starts everything with empty data: services, proxies, a gateway and a worker.
    pub fn start(folder: PathBuf, binaries: PathBuf, brokers: Brokers) -> anyhow::Result<Lab> {
        prerequisites::for_kafka()?;
        prerequisites::for_clickhouse()?;
        let jars = kafka::Jars::install()?;
        let python = clickhouse::install()?;
        let mut stack = Stack::open(folder)?;
        stack.stop()?;
        // Logs go on over the starts of a process, but not from one run to the next.
        let _ = stack.fresh_folder("logs")?;

        let [detour] = free_ports()?;
        let kafka_proxy = Proxy::start(&mut stack, &binaries, "kafka-proxy", detour)?;
        let detour = kafka::Detour { port: detour, advertised: kafka_proxy.port };
        let node = kafka::Node::prepare(&stack, &jars, Data::Fresh, Some(detour))?;
        let engine = clickhouse::Engine::prepare(&stack, python, Data::Fresh)?;
        let clickhouse_proxy = Proxy::start(&mut stack, &binaries, "clickhouse-proxy", engine.port)?;
        stack.start_again(KAFKA, &mut node.command())?;
        stack.start_again(CLICKHOUSE, &mut engine.command())?;
        let services = Services { kafka: node.bootstrap.clone(), clickhouse: engine.url() };
        clickhouse::wait_ready(&mut stack, &services.clickhouse)?;
        kafka::wait_ready(&mut stack, &services.kafka)?;
        let second = match brokers {
            Brokers::One => None,
            Brokers::Two => {
                let second = node.prepare_second(&stack)?;
                stack.start_again(SECOND_KAFKA, &mut second.command())?;
                wait_for("two brokers", READY_DEADLINE, || {
                    stack.check()?;
                    Ok(kafka::brokers(&services.kafka).is_ok_and(|brokers| brokers == 2).then_some(()))
                })?;
                Some(second)
            }
        };

        let site = Site::new(&stack, &services, &binaries, MORE_CONFIGURATION)?;
        let mut lab = Lab {
            stack,
            binaries,
            site,
            node,
            second,
            engine,
            kafka_proxy,
            clickhouse_proxy,
            worker_operations: free_ports()?,
            equipment: Vec::new(),
            wanted: Vec::new(),
            restarts: 0,
            at_end: None,
        };
        lab.set_up()?;
        lab.start_gateway()?;
        lab.start_worker(WORKERS[0], None)?;
        lab.wait_ready()?;
        Ok(lab)
    }

    fn set_up(&mut self) -> anyhow::Result<()> {
        let mut migrate = self.site.command(&["migrate"]);
        if self.second.is_some() {
            migrate.env("WATTLINE_KAFKA_REPLICATION", "2").env("WATTLINE_KAFKA_MIN_INSYNC_REPLICAS", "2");
        }
        process::run(&mut migrate)?;
        self.site.create_token(CLIENT)?;
        let devices = self.stack.folder().join("devices.jsonl");
        let mut list = self.fleet();
        list.args(["devices", "--count", DEVICES, "--seed", FLEET_SEED, "--client", CLIENT])
            .stdout(fs::File::create(&devices).with_context(|| format!("creating {}", devices.display()))?);
        process::run(&mut list)?;
        self.site.import_devices(&devices)
    }

    pub fn fleet(&self) -> Command {
        Command::new(self.binaries.join("wattline-fleet"))
    }

    /// Starts the processes of a role with one more variable from now on.
    pub fn equip(&mut self, role: Role, name: &'static str, value: String) {
        self.equipment.push((role, name, value));
    }

    fn equipment(&self, role: Role) -> impl Iterator<Item = (&'static str, &str)> {
        self.equipment
            .iter()
            .filter(move |(of, ..)| *of == role)
            .map(|(_, name, value)| (*name, value.as_str()))
    }

    /// The command of a gateway, with the settings of this place.
    pub fn gateway_command(&self) -> Command {
        let mut command = self.site.command(&["gateway"]);
        command
            .envs(self.equipment(Role::Gateway))
            .env("WATTLINE_KAFKA_BROKERS", format!("127.0.0.1:{}", self.kafka_proxy.port))
            .env("WATTLINE_GATEWAY_HEADER_TIMEOUT_MS", "3000")
            .env("WATTLINE_GATEWAY_BODY_TIMEOUT_MS", "5000")
            .env("WATTLINE_DIRECTORY_STALE_MAX_S", "5");
        command
    }

    pub fn start_gateway(&mut self) -> anyhow::Result<()> {
        let mut command = self.gateway_command();
        self.start_wanted(GATEWAY, &mut command)
    }

    /// `fail_at` is a step of the worker's at which it dies or stands still.
    pub fn start_worker(&mut self, name: &'static str, fail_at: Option<&str>) -> anyhow::Result<()> {
        let number = WORKERS.iter().position(|worker| *worker == name).context("no such worker")?;
        let mut command = self.site.command(&["worker"]);
        command
            .envs(settings::worker())
            .envs(self.equipment(Role::Worker))
            .env("WATTLINE_CLICKHOUSE_URL", format!("http://127.0.0.1:{}", self.clickhouse_proxy.port))
            .env("WATTLINE_WORKER_OPS_LISTEN", format!("127.0.0.1:{}", self.worker_operations[number]));
        if let Some(step) = fail_at {
            command.env("WATTLINE_TEST_FAIL_AT", step);
        }
        // A file that may not grow is an error to the worker then, and not its death.
        self.start_wanted(name, &mut after_shell("trap '' XFSZ", &command))
    }

    pub fn start_wanted(&mut self, name: &'static str, command: &mut Command) -> anyhow::Result<()> {
        self.stack.start_again(name, command)?;
        self.wanted.retain(|wanted| wanted.name != name);
        self.wanted.push(Wanted { name, started: Instant::now() });
        Ok(())
    }

    /// Starts Kafka or ClickHouse again where they were.
    pub fn start_service(&mut self, name: &str) -> anyhow::Result<()> {
        let mut command = match (name, &self.second) {
            (KAFKA, _) => self.node.command(),
            (SECOND_KAFKA, Some(second)) => second.command(),
            _ => self.engine.command(),
        };
        self.stack.start_again(name, &mut command).map(drop)
    }

    pub fn is_running(&mut self, name: &str) -> bool {
        self.stack.service(name).is_some_and(|service| service.is_alive())
    }

    pub fn signal(&mut self, name: &str, signal: Signal) -> anyhow::Result<()> {
        self.stack.service(name).with_context(|| format!("{name} was never started"))?.signal(signal);
        Ok(())
    }

    /// kill -9.
    pub fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        self.signal(name, Signal::KILL)?;
        self.ended(name, KILL_DEADLINE).map(drop)
    }

    /// Waits for a process to end, and no longer wants it to run.
    pub fn ended(&mut self, name: &str, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let service = self.stack.service(name).with_context(|| format!("{name} was never started"))?;
        let status = service.wait(deadline)?;
        self.stack.forget(name)?;
        self.wanted.retain(|wanted| wanted.name != name);
        Ok(status)
    }

    /// SIGTERM, and the process has to end in good order.
    pub fn terminate(&mut self, name: &str) -> anyhow::Result<()> {
        self.leave(name)?;
        self.left(name)
    }

    /// SIGTERM, without waiting for the end; `left` does.
    pub fn leave(&mut self, name: &str) -> anyhow::Result<()> {
        self.wanted.retain(|wanted| wanted.name != name);
        self.signal(name, Signal::TERM)
    }

    /// Waits for a process that was told to leave; it has to end in good order.
    pub fn left(&mut self, name: &str) -> anyhow::Result<()> {
        const DEADLINE: Duration = Duration::from_secs(45);
        let status = self.ended(name, DEADLINE)?;
        if !status.success() {
            bail!("{name} was asked to stop and ended with {status}\n{}", self.log_tail(name));
        }
        Ok(())
    }

    pub fn at_end(&mut self, clear: impl FnOnce() + 'static) {
        self.at_end = Some(Box::new(clear));
    }

    /// Starts again what has ended by itself.
    pub fn supervise(&mut self) -> anyhow::Result<()> {
        let names: Vec<&'static str> = self.wanted.iter().map(|wanted| wanted.name).collect();
        for name in names {
            if self.is_running(name) {
                continue;
            }
            let since = self.wanted.iter().find(|wanted| wanted.name == name).map(|wanted| wanted.started);
            if since.is_some_and(|started| started.elapsed() < RESTART_WAIT) {
                continue;
            }
            let last = self.log_tail(name);
            println!("    {name} ended by itself: {}", last.lines().last().unwrap_or_default());
            self.stack.forget(name)?;
            self.restarts += 1;
            if name == GATEWAY { self.start_gateway()? } else { self.start_worker(name, None)? }
        }
        Ok(())
    }

    /// Sleeps, and looks after what has ended meanwhile.
    pub fn pass(&mut self, time: Duration) -> anyhow::Result<()> {
        const LOOK_EVERY: Duration = Duration::from_millis(250);
        let end = Instant::now() + time;
        loop {
            self.supervise()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK_EVERY));
        }
    }

    /// Ends all faults: what stands still goes on, what is gone comes back, proxies pass everything.
    pub fn heal(&mut self) -> anyhow::Result<()> {
        self.kafka_proxy.order("pass")?;
        self.clickhouse_proxy.order("pass")?;
        for service in self.stack.services() {
            service.signal(Signal::CONT);
        }
        for name in [KAFKA, CLICKHOUSE] {
            if !self.is_running(name) {
                self.stack.forget(name)?;
                self.start_service(name)?;
            }
        }
        for name in [GATEWAY, WORKERS[0]] {
            if !self.wanted.iter().any(|wanted| wanted.name == name) {
                self.stack.forget(name)?;
                if name == GATEWAY { self.start_gateway()? } else { self.start_worker(name, None)? }
            }
        }
        self.wait_ready()
    }

    pub fn wait_service(&mut self, name: &str) -> anyhow::Result<()> {
        wait_for(&format!("an answer of {name}"), READY_DEADLINE, || {
            let answers = if name == KAFKA {
                kafka::answers(&self.node.bootstrap)
            } else {
                clickhouse::answers(&self.engine.url())
            };
            Ok(answers.then_some(()))
        })
    }

    /// Waits until the services answer and the gateway and all wanted workers call themselves ready.
    pub fn wait_ready(&mut self) -> anyhow::Result<()> {
        self.wait_service(KAFKA)?;
        self.wait_service(CLICKHOUSE)?;
        let names: Vec<&'static str> = self.wanted.iter().map(|wanted| wanted.name).collect();
        for name in names {
            self.wait_process(name)?;
        }
        Ok(())
    }

    pub fn wait_process(&mut self, name: &'static str) -> anyhow::Result<()> {
        let url = format!("{}/readyz", self.operations(name));
        wait_for(&format!("the readiness of {name}"), READY_DEADLINE, || {
            self.supervise()?;
            Ok(http::get(&url, ASK_TIMEOUT).ok().map(|_| ()))
        })
        .with_context(|| format!("the end of its log:\n{}", self.log_tail(name)))
    }
}
