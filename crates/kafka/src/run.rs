//! Records of a partition as the consumer hands them on: in runs.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::TopicPartition;

/// A record of a partition.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub offset: i64,
    /// When the record was produced, by the producer's clock.
    pub time_ms: i64,
    pub value: Bytes,
    /// The trace context of the request that it is of, as it stands in the header.
    pub traceparent: Option<Box<[u8]>>,
}

/// Records of one partition, in its order. What they cost beside their bytes they cost together.
#[derive(Debug)]
pub struct Run {
    pub partition: TopicPartition,
    pub records: Vec<Delivery>,
}

/// A run that is still growing.
#[derive(Default)]
pub(crate) struct Growing {
    topic: Arc<str>,
    partition: i32,
    /// The values, one behind the other.
    bytes: Vec<u8>,
    heads: Vec<Head>,
}

struct Head {
    offset: i64,
    time_ms: i64,
    value: Range<usize>,
    traceparent: Option<Box<[u8]>>,
}

impl Growing {
    const RECORDS_MAX: usize = 64;
    /// But one record may have more.
    const BYTES_MAX: usize = 64 * 1024;

    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Whether the record belongs to the run and has room in it.
    pub fn takes(&self, message: &BorrowedMessage<'_>) -> bool {
        self.is_empty()
            || (self.partition == message.partition()
                && *self.topic == *message.topic()
                && self.heads.len() < Self::RECORDS_MAX
                && self.bytes.len() + message.payload_len() <= Self::BYTES_MAX)
    }

    pub fn push(&mut self, message: &BorrowedMessage<'_>, with_traceparent: bool) {
        if self.is_empty() {
            self.partition = message.partition();
            // Runs of one topic follow each other.
            if *self.topic != *message.topic() {
                self.topic = message.topic().into();
            }
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message.payload().unwrap_or_default());
        self.heads.push(Head {
            offset: message.offset(),
            time_ms: message.timestamp().to_millis().unwrap_or(0),
            value: start..self.bytes.len(),
            traceparent: if with_traceparent { traceparent(message) } else { None },
        });
    }

    /// The run as it is, unless it has no record; a new one begins.
    pub fn end(&mut self) -> Option<Run> {
        if self.is_empty() {
            return None;
        }
        // A copy, so that what grows keeps its room, and what waits takes none that it does not need.
        let bytes = Bytes::copy_from_slice(&self.bytes);
        self.bytes.clear();
        let records = self.heads.drain(..).map(|head| Delivery {
            offset: head.offset,
            time_ms: head.time_ms,
            value: bytes.slice(head.value),
            traceparent: head.traceparent,
        });
        let partition = TopicPartition { topic: Arc::clone(&self.topic), partition: self.partition };
        Some(Run { partition, records: records.collect() })
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.heads.clear();
    }
}

fn traceparent(message: &BorrowedMessage<'_>) -> Option<Box<[u8]>> {
    // A later version may be longer than the 55 bytes of today; what is longer than this is none.
    const BYTES_MAX: usize = 128;
    let headers = message.headers()?;
    let header = headers.iter().find(|header| header.key == crate::TRACEPARENT)?;
    header.value.filter(|value| value.len() <= BYTES_MAX).map(Box::from)
}
