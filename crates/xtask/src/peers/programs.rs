//! The peers' programs, and how each is told what to do.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use crate::bench::ground::Ground;
use crate::bench::replay::Target;
use crate::process::{free_ports, wait_for};
use crate::python::Packages;
use crate::{go, paths, prerequisites};

const READY_DEADLINE: Duration = Duration::from_secs(30);

const MQ_BRIDGE: Packages = Packages {
    name: "mq-bridge",
    what: "mq-bridge from PyPI (about 40 MB, once)",
    requirements: "deploy/local/peers/requirements.txt",
    python_minor_min: 9,
};

/// What Benthos does with a body.
#[derive(Clone, Copy)]
pub enum Records {
    /// It goes to Kafka as it is.
    Whole,
    /// Each of its points is a record.
    OneAPoint,
}

/// Listens, and writes into a topic.
pub fn start_mq_bridge(ground: &mut Ground, name: &str, topic: &str) -> anyhow::Result<Target> {
    prerequisites::for_clickhouse()?;
    let programs = MQ_BRIDGE.install()?;
    let [port] = free_ports()?;
    let mut command = Command::new(programs.join("python"));
    command.arg(paths::root().join("deploy/local/peers/mq_bridge_http.py")).args([
        &format!("127.0.0.1:{port}"),
        &ground.services.kafka,
        topic,
    ]);
    start(ground, name, &mut command, port)
}

/// The same; each answer comes once Kafka has the records.
pub fn start_benthos(
    ground: &mut Ground,
    name: &str,
    topic: &str,
    records: Records,
) -> anyhow::Result<Target> {
    let program = go::BENTHOS.build()?;
    let [port] = free_ports()?;
    let processors = match records {
        Records::Whole => "",
        Records::OneAPoint => {
            "pipeline:\n  processors:\n    - mapping: root = this.telemetry\n    - unarchive: {format: json_array}\n"
        }
    };
    let path = ground.stack.folder().join(format!("{name}.yaml"));
    let configuration = format!(
        "http: {{enabled: false}}
logger: {{level: WARN}}
input:
  http_server:
    address: 127.0.0.1:{port}
    path: /v1/telemetry/{{kind}}
    allowed_verbs: [POST]
{processors}output:
  kafka_franz:
    seed_brokers: [\"{kafka}\"]
    topic: {topic}
    max_in_flight: 64
",
        kafka = ground.services.kafka
    );
    fs::write(&path, configuration).with_context(|| format!("writing {}", path.display()))?;
    start(ground, name, Command::new(program).arg("-c").arg(&path), port)
}

fn start(ground: &mut Ground, name: &str, command: &mut Command, port: u16) -> anyhow::Result<Target> {
    let pid = ground.stack.start(name, command)?.pid;
    wait_for(&format!("the port of {name}"), READY_DEADLINE, || {
        ground.stack.check()?;
        Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok().map(|_| ()))
    })?;
    // It looks at no token; the file only has to be there.
    let token_file = ground.stack.log(name);
    Ok(Target { name: name.to_owned(), url: format!("http://127.0.0.1:{port}"), pid, token_file, devices: 0 })
}
