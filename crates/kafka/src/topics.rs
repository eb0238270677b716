use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;

use crate::Connection;
use crate::heard::{Heard, metadata};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A topic to create.
#[derive(Clone, Debug)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replication: i32,
    /// Topic settings by Kafka's own names, for example `retention.ms`.
    pub settings: Vec<(String, String)>,
}

/// Creates the topics that are not there yet and returns their names. A topic that is there stays as it is.
pub async fn create_topics(connection: &Connection, topics: &[Topic]) -> anyhow::Result<Vec<String>> {
    let there = partition_counts(connection)?;
    let missing: Vec<&Topic> = topics.iter().filter(|topic| !there.contains_key(&topic.name)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let admin: AdminClient<DefaultClientContext> = connection.config().create()?;
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|topic| {
            let new =
                NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(topic.replication));
            topic.settings.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    let results = admin.create_topics(&new, &options()).await.context("cannot create topics in Kafka")?;
    let mut created = Vec::new();
    for result in results {
        match result {
            Ok(name) => created.push(name),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, cause)) => bail!("Kafka did not create the topic {name}: {cause}"),
        }
    }
    Ok(created)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

/// Adds partitions to topics until each has so many. Kafka gives them as many copies as the others have.
pub async fn add_partitions(connection: &Connection, topics: &[&str], count: u32) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = connection.config().create()?;
    let new: Vec<_> = topics.iter().map(|topic| NewPartitions::new(topic, count as usize)).collect();
    for result in admin.create_partitions(&new, &options()).await.context("cannot add partitions in Kafka")? {
        if let Err((topic, cause)) = result {
            bail!("Kafka did not add partitions to {topic}: {cause}");
        }
    }
    Ok(())
}

/// The topics of the cluster, each with its number of partitions.
pub fn partition_counts(connection: &Connection) -> anyhow::Result<BTreeMap<String, i32>> {
    let client: BaseConsumer<Heard> = connection.config().create_with_context(Heard::default())?;
    let metadata = metadata(connection, &client, None, TIMEOUT)?;
    Ok(metadata
        .topics()
        .iter()
        .filter(|topic| topic.error().is_none())
        .map(|topic| (topic.name().to_owned(), topic.partitions().len() as i32))
        .collect())
}

/// The number of partitions of a topic that must be there.
pub fn partition_count(connection: &Connection, topic: &str) -> anyhow::Result<i32> {
    partition_counts(connection)?
        .get(topic)
        .copied()
        .with_context(|| format!("Kafka has no topic {topic}; `wattline migrate` creates it"))
}
