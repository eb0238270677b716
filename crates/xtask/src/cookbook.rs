//! `cookbook`: the data of `docs/cookbook.md` in ClickHouse and in a Parquet folder, to be asked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::cargo::{self, Profile};
use crate::demo::site::Site;
use crate::services::{self, Data, Services};
use crate::stack::Stack;
use crate::{paths, prerequisites, process, python};

const STORED_DEADLINE: Duration = Duration::from_secs(120);
const STORED_POLL_INTERVAL: Duration = Duration::from_secs(1);

pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(paths::local()?.join("cookbook"))
}

/// Leaves ClickHouse running with the data; Kafka and the worker have done their part by then.
pub fn run() -> anyhow::Result<ExitCode> {
    prerequisites::for_build()?;
    println!("Building wattline and the cookbook's data (the first time takes some minutes) …");
    let binaries = cargo::build(&["-p", "wattline", "-p", "wattline-cookbook"], Profile::Dev)?;
    let mut stack = Stack::open(folder()?)?;
    stack.stop()?;
    let broker = services::prepare_kafka()?;
    let services = services::start(&mut stack, &broker, Data::Fresh)?;
    let site = Site::new(&stack, &services, &binaries, "")?;
    site.run(&["migrate"])?;
    fill(&mut stack, &site, &services, &binaries)?;
    for done in ["worker", services::kafka::SERVICE] {
        stack.end(done)?;
    }
    print_usage(&site, &services, &python::COOKBOOK.install()?);
    stack.keep()?;
    Ok(ExitCode::SUCCESS)
}

fn fill(stack: &mut Stack, site: &Site, services: &Services, binaries: &Path) -> anyhow::Result<()> {
    let cookbook = || Command::new(binaries.join("wattline-cookbook"));
    let devices = stack.folder().join("devices.jsonl");
    fs::write(&devices, process::output(cookbook().arg("devices"))?).context("keeping the batteries")?;
    site.import_devices(&devices)?;
    site.run(&["devices", "publish"])?;
    process::run(cookbook().args(["append", "--brokers", &services.kafka]))?;
    stack.start("worker", &mut site.command(&["worker"]))?;
    println!("Waiting until all is stored …");
    let started = Instant::now();
    loop {
        stack.check()?;
        let audit = site.audit(true)?;
        if audit.exact {
            println!("{} points in ClickHouse, {} in Parquet", audit.clickhouse_points, audit.parquet_points);
            return Ok(());
        }
        ensure!(started.elapsed() < STORED_DEADLINE, "not within {} s", STORED_DEADLINE.as_secs());
        std::thread::sleep(STORED_POLL_INTERVAL);
    }
}

fn print_usage(site: &Site, services: &Services, programs: &Path) {
    println!(
        "
The ten batteries of docs/cookbook.md, 1 to 4 June 2026:
  ClickHouse   {clickhouse}   database wattline
  Parquet      {folder}/parquet

Ask ClickHouse a question of the cookbook:
  curl '{clickhouse}/?database=wattline' -d \"SELECT * FROM energy_by_client(since = '2026-06-01 00:00:00', \
until = '2026-06-05 00:00:00', minutes = 1440) ORDER BY period_start, client_id FORMAT Vertical\"
Ask Parquet, by a Python that has DuckDB and Polars:
  cd {folder} && {python} -c \"import duckdb; print(duckdb.sql(\\\"SELECT client_id, count(*) \
FROM read_parquet('parquet/kind=intervals/*/*.parquet') GROUP BY ALL\\\"))\"
Stop ClickHouse:
  cargo xtask down
",
        clickhouse = services.clickhouse,
        folder = site.folder().display(),
        python = programs.join("python").display(),
    );
}
