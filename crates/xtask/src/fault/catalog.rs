//! The faults by name.

use super::lab::Brokers;
use super::{Scene, brokers, clients, clocks, producer, sinks, topics, workers};

pub struct Fault {
    pub name: String,
    pub sentence: String,
    /// Records that are rejected because of it.
    pub rejected: u64,
    pub brokers: Brokers,
    cause: Cause,
}

enum Cause {
    KillAt(&'static str),
    StopAt(&'static str),
    Scene(Causing),
}

impl Fault {
    pub fn run(&self, scene: &mut Scene) -> anyhow::Result<()> {
        match self.cause {
            Cause::KillAt(step) => workers::kill_at(scene, step),
            Cause::StopAt(step) => workers::stop_at(scene, step),
            Cause::Scene(cause) => cause(scene),
        }
    }
}

/// The steps of a write at which a worker can be made to die or stand still, in their order.
pub const STEPS: [(&str, &str); 9] = [
    ("clickhouse-announced", "a range is announced for ClickHouse"),
    ("clickhouse-rejected-written", "the rejected of a range are in ClickHouse"),
    ("clickhouse-intervals-written", "the intervals of a range are in ClickHouse"),
    ("clickhouse-readings-written", "the readings of a range are in ClickHouse"),
    ("clickhouse-done", "a range is done in ClickHouse, and Kafka has not been told"),
    ("parquet-announced", "a range is announced for Parquet"),
    ("parquet-sealed", "a Parquet file is on disk under its temporary name"),
    ("parquet-renamed", "a Parquet file is in its place"),
    ("parquet-done", "a range is committed as done in Parquet"),
];
/// Where a zombie does most harm: just before something becomes visible.
const STEPS_TO_STOP_AT: [&str; 4] =
    ["clickhouse-announced", "clickhouse-intervals-written", "parquet-announced", "parquet-sealed"];

type Causing = fn(&mut Scene) -> anyhow::Result<()>;

const SCENES: &[(&str, &str, Causing)] = &[
    (
        "worker-sigstop-zombie",
        "A worker stands still past its session, another takes over, the first goes on.",
        workers::zombie,
    ),
    ("workers-join-leave", "Three workers; every two seconds one leaves or joins.", workers::join_leave),
    (
        "clickhouse-kill",
        "ClickHouse is killed in the middle of inserts and comes back.",
        sinks::clickhouse_kill,
    ),
    ("clickhouse-reply-lost", "ClickHouse inserts and its answer is lost.", sinks::clickhouse_reply_lost),
    ("clickhouse-stalled", "ClickHouse is silent for longer than a worker waits.", sinks::clickhouse_stalled),
    ("clickhouse-away", "ClickHouse is down for a minute under load.", sinks::clickhouse_away),
    ("clickhouse-refusing", "ClickHouse refuses inserts: too many parts.", sinks::clickhouse_refusing),
    ("parquet-disk-full", "The disk under Parquet is full for a while.", sinks::parquet_disk_full),
    ("parquet-away", "The folder of Parquet is gone for a while: every write fails.", sinks::parquet_away),
    ("parquet-eio", "Writes and syncs under Parquet fail for a while.", sinks::parquet_eio),
    ("clock-steps", "The clocks of gateway and worker step back and ahead by minutes.", clocks::steps),
    ("gateway-kill", "The gateway is killed under load and comes back.", clients::gateway_kill),
    ("broker-kill", "Kafka is killed and comes back.", brokers::kill),
    ("broker-stall", "Kafka stands still for some seconds.", brokers::stall),
    (
        "produce-reply-lost",
        "Kafka appends and its answer to the gateway is lost.",
        brokers::produce_reply_lost,
    ),
    (
        "retention-overrun",
        "Kafka deletes points that were not stored: the worker stops, and goes on after what it says to type.",
        topics::retention_overrun,
    ),
    (
        "topic-recreated",
        "A topic is deleted and made anew: the worker stops, and goes on after what it says to type.",
        topics::topic_recreated,
    ),
    (
        "topic-deleted",
        "A topic is deleted under load: nothing is answered OK that is lost, and the worker stops likewise.",
        topics::topic_deleted,
    ),
    ("slow-headers", "Clients send their headers byte by byte.", clients::slow_headers),
    ("slow-bodies", "Clients send their bodies byte by byte.", clients::slow_bodies),
    ("endless-chunks", "Clients send chunked bodies without end.", clients::endless_chunks),
    (
        "many-connections",
        "10,000 connections, and a gateway with few file descriptors.",
        clients::many_connections,
    ),
    ("directory-away", "The database of the directory does not answer for a while.", clients::directory_away),
];

pub fn catalog() -> Vec<Fault> {
    let kills = STEPS.iter().map(|(step, when)| Fault {
        name: format!("worker-kill-at-{step}"),
        sentence: format!("The worker dies 20 times when {when}."),
        rejected: 0,
        brokers: Brokers::One,
        cause: Cause::KillAt(step),
    });
    let stops = STEPS.iter().filter(|(step, _)| STEPS_TO_STOP_AT.contains(step)).map(|(step, when)| Fault {
        name: format!("worker-sigstop-at-{step}"),
        sentence: format!("The worker stands still when {when}, another takes over, the first goes on."),
        rejected: 0,
        brokers: Brokers::One,
        cause: Cause::StopAt(step),
    });
    let scenes = SCENES.iter().map(|(name, sentence, cause)| Fault {
        name: (*name).to_owned(),
        sentence: (*sentence).to_owned(),
        rejected: 0,
        brokers: Brokers::One,
        cause: Cause::Scene(*cause),
    });
    let too_few_replicas = Fault {
        name: "too-few-replicas".to_owned(),
        sentence: "Of two in-sync replicas one is gone: nothing may be answered OK.".to_owned(),
        rejected: 0,
        brokers: Brokers::Two,
        cause: Cause::Scene(brokers::too_few_replicas),
    };
    let undecodable = Fault {
        name: "undecodable-record".to_owned(),
        sentence: "Records that nobody can decode are rejected with their bytes, and the partition moves on."
            .to_owned(),
        rejected: brokers::UNDECODABLE.len() as u64,
        brokers: Brokers::One,
        cause: Cause::Scene(brokers::undecodable_record),
    };
    let producer_fatal = Fault {
        name: "producer-fatal".to_owned(),
        sentence: "The gateway's producer fails for good: the gateway ends, and a new one takes over."
            .to_owned(),
        rejected: producer::REJECTED,
        brokers: Brokers::One,
        cause: Cause::Scene(producer::fatal),
    };
    kills.chain(stops).chain(scenes).chain([too_few_replicas, undecodable, producer_fatal]).collect()
}
