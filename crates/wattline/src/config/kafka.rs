//! `[kafka]`: the brokers, the topics, and how they are reached.

use std::collections::BTreeMap;

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use wattline_kafka::{Connection, Topic};

use super::security;

#[derive(Clone, Serialize, Deserialize)]
pub struct Kafka {
    pub brokers: String,
    pub security_protocol: String,
    pub tls_ca_file: String,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
    pub sasl_mechanism: String,
    pub sasl_username: String,
    pub sasl_password: String,
    pub sasl_password_file: String,
    pub properties: BTreeMap<String, String>,
    pub topic_intervals: String,
    pub topic_counters: String,
    pub topic_rejected: String,
    pub partitions: u32,
    pub replication: u32,
    pub min_insync_replicas: u32,
    pub retention_hours: u32,
}

impl Default for Kafka {
    fn default() -> Self {
        Kafka {
            brokers: "127.0.0.1:9092".into(),
            security_protocol: "plaintext".into(),
            tls_ca_file: String::new(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            sasl_mechanism: "SCRAM-SHA-512".into(),
            sasl_username: String::new(),
            sasl_password: String::new(),
            sasl_password_file: String::new(),
            properties: BTreeMap::new(),
            topic_intervals: "wattline.intervals".into(),
            topic_counters: "wattline.counters".into(),
            topic_rejected: "wattline.rejected".into(),
            partitions: 12,
            replication: 1,
            min_insync_replicas: 1,
            retention_hours: 168,
        }
    }
}

// Secrets stay out of logs and of panics.
impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kafka").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Kafka {
    pub fn connection(&self) -> anyhow::Result<Connection> {
        ensure!(!self.brokers.trim().is_empty(), "kafka.brokers must name a broker: host:port");
        Ok(Connection { brokers: self.brokers.clone(), properties: security::properties(self)? })
    }

    pub fn topics(&self) -> anyhow::Result<Vec<Topic>> {
        ensure!((1..=10_000).contains(&self.partitions), "kafka.partitions must be from 1 to 10000");
        ensure!((1..=100).contains(&self.replication), "kafka.replication must be from 1 to 100");
        ensure!(
            (1..=self.replication).contains(&self.min_insync_replicas),
            "kafka.min_insync_replicas must be from 1 to kafka.replication"
        );
        let topic = |name: &str, partitions: u32, hours: u32| Topic {
            name: name.to_owned(),
            partitions: partitions as i32,
            replication: self.replication as i32,
            settings: vec![
                ("min.insync.replicas".into(), self.min_insync_replicas.to_string()),
                ("retention.ms".into(), (u64::from(hours) * 3_600_000).to_string()),
                ("unclean.leader.election.enable".into(), "false".into()),
            ],
        };
        Ok(vec![
            topic(&self.topic_intervals, self.partitions, self.retention_hours),
            topic(&self.topic_counters, self.partitions, self.retention_hours),
            // What was rejected is rare, and waits for a person.
            topic(&self.topic_rejected, 1, 4 * self.retention_hours),
        ])
    }
}
