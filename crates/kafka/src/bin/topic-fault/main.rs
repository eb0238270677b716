//! What happens to topics in production, done on purpose: for tests against a development broker.
//!
//! It owns no promise of Wattline's; whatever it does is a fault that Wattline has to survive or to name.

mod stray;

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(20);
const HELP: &str = "\
Does to a topic of a development broker what production may do to it.

Usage: topic-fault BROKERS ACTION TOPIC [ARGUMENT]...

  append TOPIC PARTITION HEX      append a record of these bytes
  disturb TOPIC PARTITION RECORDS append empty records in the name of the producer at work, which then fails
  empty TOPIC                     delete all records, as retention does
  delete TOPIC                    delete the topic
";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [brokers, action, topic, rest @ ..] = &arguments[..] else {
        std::io::stderr().write_all(HELP.as_bytes())?;
        bail!("brokers, an action and a topic are needed");
    };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", *brokers);
    match (*action, rest) {
        ("append", [partition, hex]) => append(&config, topic, partition.parse()?, &bytes(hex)?),
        ("disturb", [partition, records]) => {
            stray::append(brokers, topic, partition.parse()?, records.parse()?)
        }
        ("empty", []) => empty(&config, topic),
        ("delete", []) => delete(&config, topic),
        _ => bail!("no such action:\n{HELP}"),
    }
}

fn append(config: &ClientConfig, topic: &str, partition: i32, value: &[u8]) -> anyhow::Result<()> {
    let producer: BaseProducer = config.create()?;
    let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(topic).partition(partition).payload(value);
    producer.send(record).map_err(|(cause, _)| cause)?;
    Ok(producer.flush(TIMEOUT)?)
}

/// All partitions of a topic, each at its end.
fn ends(config: &ClientConfig, topic: &str) -> anyhow::Result<TopicPartitionList> {
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let partitions = metadata.topics().first().context("no such topic")?.partitions();
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition_offset(topic, partition.id(), Offset::End)?;
    }
    Ok(list)
}

fn empty(config: &ClientConfig, topic: &str) -> anyhow::Result<()> {
    let ends = ends(config, topic)?;
    let deleted = wait(admin(config)?.delete_records(&ends, &options()))??;
    deleted.elements().iter().try_for_each(|element| Ok(element.error()?))
}

fn delete(config: &ClientConfig, topic: &str) -> anyhow::Result<()> {
    for deleted in wait(admin(config)?.delete_topics(&[topic], &options()))?? {
        deleted.map_err(|(topic, cause)| anyhow::anyhow!("{topic}: {cause}"))?;
    }
    Ok(())
}

fn admin(config: &ClientConfig) -> anyhow::Result<AdminClient<DefaultClientContext>> {
    Ok(config.create()?)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

fn wait<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?.block_on(work))
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(hex.len().is_multiple_of(2) && hex.is_ascii(), "an even number of hexadecimal digits is needed");
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    (0..hex.len()).step_by(2).map(|at| Ok(pair(at)?)).collect()
}
