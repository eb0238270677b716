//! `up` and `down`: the services alone.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::services::{self, Data};
use crate::stack::{self, Stack};
use crate::{bench, chaos, cookbook, demo, fault, load, paths, peers, python, test};

pub fn up() -> anyhow::Result<ExitCode> {
    let mut stack = Stack::open(folder()?)?;
    let running = match (stack.is_up(), stack.address("kafka"), stack.address("clickhouse")) {
        (true, Some(kafka), Some(clickhouse)) => Some((kafka.to_owned(), clickhouse.to_owned())),
        _ => None,
    };
    let (kafka, clickhouse) = match running {
        Some(addresses) => addresses,
        None => {
            stack.stop()?;
            let broker = services::prepare_kafka()?;
            let services = services::start(&mut stack, &broker, Data::Kept)?;
            (services.kafka, services.clickhouse)
        }
    };
    let s3 = services::s3::start(&mut stack)?;
    let openapi_tools = python::OPENAPI.install()?.display().to_string();
    let manifest_tools = python::MANIFESTS.install()?.display().to_string();
    let cookbook_tools = python::COOKBOOK.install()?.display().to_string();
    let clickhouse_python = services::clickhouse::install()?.display().to_string();
    let kafka_jars = services::kafka::Jars::install()?.folder().display().to_string();
    let environment = stack.folder().join("services.env");
    fs::write(
        &environment,
        format!(
            "WATTLINE_KAFKA_BROKERS={kafka}\nWATTLINE_CLICKHOUSE_URL={clickhouse}\n\
             WATTLINE_TEST_KAFKA={kafka}\nWATTLINE_TEST_CLICKHOUSE={clickhouse}\n\
             WATTLINE_TEST_S3={s3}\n\
             WATTLINE_TEST_OPENAPI_TOOLS='{openapi_tools}'\n\
             WATTLINE_TEST_MANIFEST_TOOLS='{manifest_tools}'\n\
             WATTLINE_TEST_COOKBOOK_TOOLS='{cookbook_tools}'\n\
             WATTLINE_TEST_CLICKHOUSE_PYTHON='{clickhouse_python}'\n\
             WATTLINE_TEST_KAFKA_JARS='{kafka_jars}'\n"
        ),
    )
    .with_context(|| format!("writing {}", environment.display()))?;

    println!();
    for service in stack.services() {
        println!("{:<12} process {:<8} log {}", service.name, service.pid, service.log.display());
    }
    println!(
        "\nFor wattline and for tests that run by themselves:\n  set -a; . {}; set +a\n\
         SQL:\n  curl {clickhouse} -d 'SELECT version()'\n\
         Stop, keeping the data in {}:\n  cargo xtask down",
        environment.display(),
        stack.folder().display(),
    );
    stack.keep()?;
    Ok(ExitCode::SUCCESS)
}

pub fn down() -> anyhow::Result<ExitCode> {
    let folders = [
        demo::folder,
        cookbook::folder,
        test::folder,
        fault::folder,
        chaos::folder,
        bench::folder,
        load::folder,
        peers::folder,
        self::folder,
    ];
    for folder in folders {
        let folder = folder()?;
        if !stack::stop_left_behind(&folder)? {
            println!("A running command owns {}: end it with Ctrl-C", folder.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn folder() -> anyhow::Result<PathBuf> {
    paths::local()
}
