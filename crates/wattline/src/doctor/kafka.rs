//! Brokers, topics, rights, and the offsets of the workers.

use std::collections::BTreeMap;
use std::sync::Arc;

use wattline_kafka::{
    Connection, Examiner, Reader, Topic, TopicPartition, TopicState, may_append, topic_settings,
};

use super::check::Check;
use super::{blocking, within, words};
use crate::config::Config;

/// A clock that differs by less is as good as right.
const AHEAD_MAX_MS: i64 = 2_000;
/// The largest record that is offered to see whether it would be taken.
const OFFER_BYTES_MAX: usize = 32 << 20;

pub(super) async fn examine(config: Arc<Config>) -> Vec<Check> {
    let (connection, topics) = match config.kafka.connection().and_then(|to| Ok((to, config.kafka.topics()?)))
    {
        Ok(configured) => configured,
        Err(cause) => {
            let found = words(&cause);
            return vec![Check::failed("kafka.configuration", found, "mend [kafka]: docs/configuration.md")];
        }
    };
    let mut checks = Vec::new();
    let asked = connection.clone();
    let brokers = blocking(move || Examiner::new(&asked)?.brokers()).await;
    match brokers {
        Ok(brokers) => checks.push(Check::ok(
            "kafka.reachable",
            format!("{brokers} brokers at {}, {}", connection.brokers, config.kafka.security_protocol),
        )),
        Err(cause) => {
            checks.push(unreachable(&connection, &cause));
            return checks;
        }
    }
    let mut there = Vec::new();
    for topic in topics {
        let (asked, name) = (connection.clone(), topic.name.clone());
        match blocking(move || Examiner::new(&asked)?.topic(&name)).await {
            Ok(Some(state)) => there.push((topic, state)),
            Ok(None) => checks.push(Check::failed(
                "kafka.topics",
                format!("there is no topic {}", topic.name),
                "type: wattline migrate (a topic that was deleted gets a new name: docs/operations.md)",
            )),
            Err(cause) => checks.push(Check::failed(
                "kafka.topics",
                format!("{} cannot be seen: {}", topic.name, words(&cause)),
                rights(&connection, &topic.name, "Describe"),
            )),
        }
    }
    if checks.len() == 1 {
        let names: Vec<&str> = there.iter().map(|(topic, _)| topic.name.as_str()).collect();
        checks.push(Check::ok("kafka.topics", names.join(", ")));
    }
    let settings = settings(&config, &connection, &there, &mut checks).await;
    for (topic, state) in &there {
        checks.extend(copies(&config, &connection, topic, state));
        if state.leaderless == 0 {
            let settings = settings.get(&topic.name);
            checks.extend(use_of(&connection, topic, state, settings).await);
        }
    }
    if there.len() == 3 {
        checks.push(group(&config, &connection, &there).await);
    }
    checks
}

fn unreachable(connection: &Connection, cause: &anyhow::Error) -> Check {
    let found = words(cause);
    let advice = if found.contains("certificate") {
        "kafka.tls_ca_file must have the authority that vouches for the brokers, and kafka.brokers the names that \
         stand in their certificates; with a broker that wants certificates, set kafka.tls_certificate_file too"
    } else if found.contains("uthenticat") {
        "mend kafka.sasl_username, its password and kafka.sasl_mechanism; kafka-configs.sh --describe --entity-type \
         users lists who has SCRAM"
    } else {
        "start Kafka or mend kafka.brokers and kafka.security_protocol; from this machine: nc -vz HOST PORT"
    };
    let found =
        if found.contains(&connection.brokers) { found } else { format!("{}: {found}", connection.brokers) };
    Check::failed("kafka.reachable", found, advice)
}

fn rights(connection: &Connection, topic: &str, operation: &str) -> String {
    format!(
        "type: kafka-acls.sh --bootstrap-server {} --add --allow-principal User:NAME --operation {operation} \
         --topic {topic}",
        connection.brokers
    )
}

/// Partitions and copies.
fn copies(config: &Config, connection: &Connection, topic: &Topic, state: &TopicState) -> Vec<Check> {
    let (name, kafka) = (&topic.name, &config.kafka);
    let mut checks = Vec::new();
    if state.partitions == topic.partitions {
        checks.push(Check::ok("kafka.partitions", format!("{name} has {}", state.partitions)));
    } else {
        checks.push(Check::failed(
            "kafka.partitions",
            format!("{name} has {} and kafka.partitions is {}", state.partitions, topic.partitions),
            format!(
                "set kafka.partitions = {} everywhere; to topics in use, `wattline partitions add` adds some",
                state.partitions
            ),
        ));
    }
    let found = format!("{name}: {} of {} copies in sync", state.in_sync, state.replicas);
    let least = kafka.min_insync_replicas as usize;
    checks.push(if state.leaderless > 0 {
        let found = format!("{name}: {} partitions have no leader", state.leaderless);
        Check::failed("kafka.replication", found, "start the brokers that have these partitions")
    } else if state.in_sync < least {
        Check::failed("kafka.replication", found, "start the brokers that are away: nothing can be appended")
    } else if state.replicas < topic.replication as usize {
        let found =
            format!("{name} has {} copies and kafka.replication is {}", state.replicas, topic.replication);
        let to = &connection.brokers;
        let advice =
            format!("kafka-reassign-partitions.sh --bootstrap-server {to} makes more copies of a topic");
        Check::failed("kafka.replication", found, advice)
    } else if state.in_sync < state.replicas {
        Check::warning(
            "kafka.replication",
            found,
            "start the brokers that are away, or wait until they are level",
        )
    } else {
        Check::ok("kafka.replication", found)
    });
    checks
}

/// Compares the settings of topics with those that they were made with, and returns them by topic.
async fn settings(
    config: &Config,
    connection: &Connection,
    there: &[(Topic, TopicState)],
    checks: &mut Vec<Check>,
) -> BTreeMap<String, BTreeMap<String, String>> {
    let names: Vec<&str> = there.iter().map(|(topic, _)| topic.name.as_str()).collect();
    if names.is_empty() {
        return BTreeMap::new();
    }
    let settings = match within(topic_settings(connection, &names)).await {
        Ok(settings) => settings,
        Err(cause) => {
            checks.push(Check::warning(
                "kafka.settings",
                format!("the topics' settings cannot be read: {}", words(&cause)),
                rights(connection, "TOPIC", "DescribeConfigs"),
            ));
            return BTreeMap::new();
        }
    };
    let mut found: Vec<Check> = Vec::new();
    for ((topic, _), actual) in there.iter().zip(&settings) {
        for (name, wanted) in &topic.settings {
            found.extend(setting(connection, topic, name, wanted, actual.get(name).map(String::as_str)));
        }
        found.extend(largest_record(config, connection, topic, actual));
    }
    if found.is_empty() {
        found.push(Check::ok("kafka.settings", "retention, copies and sizes are as configured"));
    }
    checks.append(&mut found);
    names.iter().map(|name| (*name).to_owned()).zip(settings).collect()
}

fn setting(
    connection: &Connection,
    topic: &Topic,
    name: &str,
    wanted: &str,
    actual: Option<&str>,
) -> Option<Check> {
    let actual = actual?;
    let number = |text: &str| text.parse::<i64>().ok();
    let is_enough = match (name, number(actual), number(wanted)) {
        // Below nought is for ever.
        ("retention.ms", Some(actual), Some(wanted)) => actual < 0 || actual >= wanted,
        _ => actual == wanted,
    };
    let topic = &topic.name;
    let advice = format!(
        "type: kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {topic} \
         --add-config {name}={wanted}",
        connection.brokers
    );
    let found = format!("{topic}: {name} is {actual} and configured as {wanted}");
    (!is_enough).then(|| Check::failed("kafka.settings", found, advice))
}

fn largest_record(
    config: &Config,
    connection: &Connection,
    topic: &Topic,
    settings: &BTreeMap<String, String>,
) -> Option<Check> {
    const OVERHEAD_BYTES: u64 = 1_024;
    let most: u64 = settings.get("max.message.bytes")?.parse().ok()?;
    let wanted = u64::from(config.gateway.record_bytes_max) + OVERHEAD_BYTES;
    let topic = &topic.name;
    (most < wanted).then(|| {
        Check::failed(
            "kafka.settings",
            format!("{topic}: max.message.bytes is {most}, too small for gateway.record_bytes_max"),
            format!(
                "type: kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {topic} \
                 --add-config max.message.bytes={wanted}, or lower gateway.record_bytes_max",
                connection.brokers
            ),
        )
    })
}

/// Reading, writing, and the time of what is there.
async fn use_of(
    connection: &Connection,
    topic: &Topic,
    state: &TopicState,
    settings: Option<&BTreeMap<String, String>>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let name = &topic.name;
    let (asked, of, partitions) = (connection.clone(), name.clone(), state.partitions);
    match blocking(move || Examiner::new(&asked)?.newest_record_ms(&of, partitions)).await {
        Err(cause) => checks.push(Check::failed(
            "kafka.read",
            format!("{name}: {}", words(&cause)),
            rights(connection, name, "Read"),
        )),
        Ok(newest_ms) => {
            checks.push(Check::ok("kafka.read", name));
            checks.extend(newest_ms.and_then(|newest_ms| ahead(name, newest_ms)));
        }
    }
    let most = settings.and_then(|settings| settings.get("max.message.bytes")?.parse().ok());
    let most = most.filter(|most| (1..=OFFER_BYTES_MAX).contains(most));
    let Some(most) = most else {
        let found = format!("{name}: not tried, as its max.message.bytes is not known or over 32 MiB");
        checks.push(Check::warning("kafka.write", found, "post a point, and see whether it is answered OK"));
        return checks;
    };
    let (asked, of) = (connection.clone(), name.clone());
    checks.push(match blocking(move || may_append(&asked, &of, most)).await {
        Ok(()) => Check::ok("kafka.write", name),
        Err(cause) => {
            let found = format!("{name}: {}", words(&cause));
            Check::failed("kafka.write", found, rights(connection, name, "Write"))
        }
    });
    checks
}

fn ahead(topic: &str, newest_ms: i64) -> Option<Check> {
    let ahead_ms = newest_ms - jiff::Timestamp::now().as_millisecond();
    (ahead_ms > AHEAD_MAX_MS).then(|| {
        Check::warning(
            "clocks.kafka",
            format!("the newest record of {topic} is {} s ahead of this machine", ahead_ms / 1_000),
            "set the clocks of this machine and of the gateways by NTP: timedatectl set-ntp true",
        )
    })
}

/// Whether the workers' offsets can be read, and whether Kafka still has what they want next.
async fn group(config: &Config, connection: &Connection, there: &[(Topic, TopicState)]) -> Check {
    let partitions: Vec<TopicPartition> = there
        .iter()
        .filter(|(topic, _)| topic.name != config.kafka.topic_rejected)
        .flat_map(|(topic, state)| {
            let topic: Arc<str> = topic.name.as_str().into();
            (0..state.partitions)
                .map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
        })
        .collect();
    let (asked, group) = (connection.clone(), config.worker.group.clone());
    let answer = blocking(move || {
        let committed = Reader::committed(&asked, &group, &partitions)?;
        let reader = Reader::new(&asked)?;
        let (mut waiting, mut gone) = (0, Vec::new());
        for (of, committed) in partitions.into_iter().zip(committed) {
            let (first, end) = reader.watermarks(&of.topic, of.partition)?;
            let next = committed.map(|(offset, _)| offset);
            if next.is_some_and(|next| next < first || next > end) {
                gone.push(of.to_string());
            }
            waiting += end - next.unwrap_or(first).clamp(first, end);
        }
        Ok((waiting, gone))
    });
    match answer.await {
        Ok((waiting, gone)) if gone.is_empty() => {
            Check::ok("kafka.group", format!("{}: {waiting} records wait", config.worker.group))
        }
        Ok((_, gone)) => Check::failed(
            "kafka.group",
            format!("Kafka no longer has what {} wants next of {}", config.worker.group, gone.join(", ")),
            "docs/operations.md, \"A worker stops with a missing offset\", has what to type",
        ),
        Err(cause) => Check::failed(
            "kafka.group",
            words(&cause),
            format!(
                "type: kafka-acls.sh --bootstrap-server {} --add --allow-principal User:NAME --operation Read \
                 --group {}",
                connection.brokers, config.worker.group
            ),
        ),
    }
}
