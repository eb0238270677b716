//! The services that Wattline needs, as processes of this machine.

pub mod clickhouse;
pub mod kafka;
pub mod s3;

use crate::prerequisites;
use crate::stack::Stack;

/// Where the broker comes from.
pub enum Broker {
    /// Apache Kafka, from its own jars.
    Kafka(kafka::Jars),
    /// The mock broker of librdkafka: for a demonstration where Java cannot be had, never for tests.
    Mock,
}

/// What is kept of an earlier run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Data {
    Fresh,
    Kept,
}

/// Addresses of the running services.
pub struct Services {
    /// Bootstrap servers.
    pub kafka: String,
    pub clickhouse: String,
}

/// Installs what Kafka needs.
pub fn prepare_kafka() -> anyhow::Result<Broker> {
    prerequisites::for_kafka()?;
    Ok(Broker::Kafka(kafka::Jars::install()?))
}

/// Starts the broker and ClickHouse at once and waits until both answer.
pub fn start(stack: &mut Stack, broker: &Broker, data: Data) -> anyhow::Result<Services> {
    prerequisites::for_clickhouse()?;
    let python = clickhouse::install()?;
    println!("Starting Kafka and ClickHouse …");
    let kafka = match broker {
        Broker::Kafka(jars) => kafka::start(stack, jars, data)?,
        Broker::Mock => kafka::start_mock(stack)?,
    };
    let clickhouse = clickhouse::start(stack, python, data)?;
    clickhouse::wait_ready(stack, &clickhouse)?;
    kafka::wait_ready(stack, &kafka)?;
    stack.set_address("kafka", &kafka)?;
    stack.set_address("clickhouse", &clickhouse)?;
    println!("Kafka on {kafka}, ClickHouse on {clickhouse}");
    Ok(Services { kafka, clickhouse })
}
