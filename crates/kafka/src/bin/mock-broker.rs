//! librdkafka's mock cluster as a process: one broker in memory that speaks enough of Kafka's protocol to
//! produce and to consume.
//!
//! It is for tests of protocol errors and for a demonstration on a machine without Java, and for nothing
//! else: it keeps nothing, replicates nothing, and proves nothing about Kafka.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use rdkafka::mocking::MockCluster;

const HELP: &str = "\
A mock Kafka broker in memory: librdkafka's own, for tests of protocol errors and for machines without Java.
It is no Kafka. It keeps nothing when it ends, and nothing that is shown on it holds for Kafka.

Usage: mock-broker [--topic NAME:PARTITIONS]...

It prints one line, bootstrap=HOST:PORT, and serves until it is terminated.
";

fn main() -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let mut topics = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => return Ok(stdout.write_all(HELP.as_bytes())?),
            "--topic" => topics.push(topic(&arguments.next().context("--topic needs NAME:PARTITIONS")?)?),
            other => bail!("unknown argument {other}; --help says what there is"),
        }
    }
    let cluster = MockCluster::new(1).context("cannot start the mock cluster")?;
    for (name, partitions) in &topics {
        cluster
            .create_topic(name, *partitions, 1)
            .with_context(|| format!("cannot create the topic {name}"))?;
    }
    writeln!(stdout, "bootstrap={}", cluster.bootstrap_servers())?;
    stdout.flush()?;
    // It serves until it is killed; whoever started it knows its process.
    loop {
        std::thread::park();
    }
}

fn topic(argument: &str) -> anyhow::Result<(String, i32)> {
    let parsed = argument.rsplit_once(':').and_then(|(name, partitions)| {
        let partitions: i32 = partitions.parse().ok().filter(|partitions| *partitions > 0)?;
        (!name.is_empty()).then(|| (name.to_owned(), partitions))
    });
    parsed.with_context(|| format!("{argument} is not NAME:PARTITIONS"))
}
