//! The data that the answers of `docs/cookbook.md` are of: two clients, ten batteries, four days in June
//! 2026, with all that happens to telemetry: it is late, sent again, corrected, lost; counters restart and
//! roll over; two sources tell of one time.
//!
//! It stands in for the gateway: it puts records into Kafka that a gateway would have put there in those
//! days, times of receipt included, so that the answers are the same whenever one asks. What becomes of them
//! is the real worker's. It must not know HTTP, the directory or the sinks, and has no clock.

mod battery;
mod fleet;
mod mishaps;
mod requests;

use anyhow::{Context as _, ensure};
use wattline_kafka::{Connection, Producer, ProducerSettings, Record, partition_counts};
use wattline_model::Kind;
use wattline_wire::record::{self, Header};
use wattline_wire::{device_hash, partition_of};

pub use fleet::device_lines;
pub use requests::{Request, requests};

/// No record of Wattline, as something that is not a gateway might append it.
const UNDECODABLE: &[u8] = b"a note, not a record";

/// The topics of an installation.
#[derive(Clone, Debug)]
pub struct Topics {
    pub intervals: String,
    pub counters: String,
}

/// Appends the records of all requests in the order in which they were received, and answers with the
/// number of points.
pub async fn append(kafka: &Connection, topics: &Topics) -> anyhow::Result<usize> {
    let settings = ProducerSettings {
        delivery_timeout_ms: 60_000,
        queue_bytes_max: 64 << 20,
        linger_ms: 20,
        compression: "lz4".to_owned(),
    };
    let producer = Producer::new(kafka, &settings)?;
    let partitions = partition_counts(kafka)?;
    let mut appended = Vec::new();
    let mut points = 0;
    for request in requests() {
        let topic = match request.kind {
            Kind::Battery => &topics.intervals,
            Kind::BatteryCounter => &topics.counters,
        };
        let count = partitions.get(topic).copied().with_context(|| format!("Kafka has no topic {topic}"))?;
        let records = encoded(&request, u32::try_from(count)?);
        let records: Vec<_> =
            records.iter().map(|(partition, value)| Record { partition: *partition, value }).collect();
        appended.push(producer.append(topic, &records));
        points += request.points.len();
    }
    appended.push(producer.append(&topics.intervals, &[Record { partition: 0, value: UNDECODABLE }]));
    for appended in appended {
        ensure!(appended.await.unconfirmed.is_empty(), "Kafka did not acknowledge every record");
    }
    Ok(points)
}

/// A record for each partition that a request has points for.
fn encoded(request: &Request, partitions: u32) -> Vec<(i32, Vec<u8>)> {
    let header = Header {
        client_id: request.client,
        request_id: "00000000-0000-4000-8000-000000000000",
        received_at_ms: request.received_at_ms,
    };
    let mut records: Vec<(i32, Vec<u8>)> = Vec::new();
    for point in &request.points {
        let partition = partition_of(device_hash(request.client, &point.device_id), partitions) as i32;
        let place = records.iter().position(|(of, _)| *of == partition).unwrap_or_else(|| {
            let mut record = Vec::new();
            record::begin(&mut record, &header);
            records.push((partition, record));
            records.len() - 1
        });
        record::push(&mut records[place].1, request.kind, point);
    }
    records
}
