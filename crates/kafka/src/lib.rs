//! Kafka, as Wattline uses it: append records and wait for their acknowledgement, consume partitions with
//! offsets and metadata that the caller commits, read a topic from end to end, create topics.
//!
//! This is the only crate that uses rdkafka. It must not know points or sinks: a record is bytes.

mod consumer;
mod examine;
mod group;
mod heard;
mod joiner;
mod metrics;
mod missing;
mod producer;
mod reader;
mod run;
mod topics;

use std::collections::BTreeMap;

use rdkafka::ClientConfig;

pub use consumer::{
    Assigned, CommitError, Committer, ConsumeError, Consumer, ConsumerSettings, Partitions, Start,
};
pub use examine::{Examiner, TopicState, may_append, topic_settings};
pub use group::group_members;
pub use joiner::{Joinable, Joiner, JoinerSettings};
pub use metrics::describe_metrics;
pub use producer::{Appended, Health, Producer, ProducerSettings, Record};
pub use rdkafka::error::{KafkaError, RDKafkaErrorCode as KafkaErrorCode};
pub use reader::Reader;
pub use run::{Delivery, Run};
pub use topics::{Topic, add_partitions, create_topics, partition_count, partition_counts};

/// The header with the trace context of the request that a record is of, where that is traced.
const TRACEPARENT: &str = "traceparent";

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: std::sync::Arc<str>,
    pub partition: i32,
}

impl std::fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A committed offset and its metadata.
pub type Committed = (i64, String);

/// The version of librdkafka.
pub fn client_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// How to reach the cluster.
#[derive(Clone)]
pub struct Connection {
    /// `host:port,host:port`.
    pub brokers: String,
    /// TLS, SASL and whatever else there is, as librdkafka's properties by their own names. Values may be secret.
    pub properties: BTreeMap<String, String>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.properties.keys().collect();
        f.debug_struct("Connection").field("brokers", &self.brokers).field("properties", &names).finish()
    }
}

impl Connection {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "wattline");
        config.set("bootstrap.servers", &self.brokers);
        // A broker that comes back is found again within a second or so.
        config.set("reconnect.backoff.ms", "100");
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }
}
