//! The spans of a partition's batches and files, by the semantic conventions of messaging and databases.
//!
//! A batch is traced where a record of it is of a traced request: it has a trace of its own, with links to those.
//! Files are traced where a traced batch is in them.

use std::fmt;

use wattline_clickhouse_sink::Table;
use wattline_kafka::{Delivery, TopicPartition};
use wattline_traces::{KeyValue, LINKS_MAX, Span, SpanContext, SpanKind, Traces};

use crate::told::Told;

/// What is traced of a partition; nothing where traces are off.
#[derive(Debug, Default)]
pub(crate) struct Tracing {
    settings: Option<(Traces, String)>,
    /// The span of the batch or of the files that are being written.
    current: Option<Span>,
    /// The span of a batch that waits for its files.
    outer: Option<Span>,
    /// The batches with rows in the open files.
    in_files: Vec<SpanContext>,
}

impl Tracing {
    pub(crate) fn new(traces: Option<Traces>, group: &str) -> Self {
        Tracing { settings: traces.map(|traces| (traces, group.to_owned())), ..Tracing::default() }
    }

    /// A batch of these records is written from now on.
    pub(crate) fn batch(&mut self, partition: &TopicPartition, records: &[Delivery]) {
        let Some((traces, group)) = &self.settings else { return };
        let links = Traces::linked(records.iter().filter_map(|record| record.traceparent.as_deref()));
        let ([first, .., last] | [first @ last]) = records else { return };
        if links.is_empty() {
            return;
        }
        let name = format!("process {}", partition.topic);
        let mut attributes = messaging(partition, "process", "process");
        attributes.extend([
            KeyValue::new("messaging.consumer.group.name", group.clone()),
            KeyValue::new("messaging.batch.message_count", records.len() as i64),
            KeyValue::new("wattline.offset.first", first.offset),
            KeyValue::new("wattline.offset.last", last.offset),
        ]);
        let span = traces.begin_linked(links, SpanKind::Consumer, name, attributes);
        if self.in_files.len() < LINKS_MAX {
            self.in_files.push(span.context());
        }
        self.current = Some(span);
    }

    pub(crate) fn batch_ended<E: fmt::Display>(&mut self, outcome: &Result<(), E>) {
        if let (Some(span), Err(cause)) = (self.current.take(), outcome) {
            span.fail(cause.to_string());
        }
    }

    /// A span of the log, which gives its lines what the batch is of.
    pub(crate) fn log(&self, first: i64, last: i64, told: &Told) -> tracing::Span {
        // At the highest level, so that lines of every level have it.
        let span = tracing::error_span!(
            "batch",
            first,
            last,
            requests = %told,
            trace_id = tracing::field::Empty,
        );
        if let Some(current) = &self.current {
            span.record("trace_id", tracing::field::display(current.trace_id()));
        }
        span
    }

    pub(crate) fn look_up(&self, devices: usize) -> Option<Span> {
        let devices = KeyValue::new("wattline.devices", devices as i64);
        self.child(
            SpanKind::Client,
            || "SELECT readings".to_owned(),
            || clickhouse("SELECT", "readings", devices),
        )
    }

    pub(crate) fn insert(&self, table: Table, rows: usize) -> Option<Span> {
        let (table, rows) = (table.name(), KeyValue::new("wattline.rows", rows as i64));
        self.child(SpanKind::Client, || format!("INSERT {table}"), || clickhouse("INSERT", table, rows))
    }

    pub(crate) fn append(&self) -> Option<Span> {
        self.child(SpanKind::Internal, || "append to Parquet".to_owned(), Vec::new)
    }

    pub(crate) fn commit(&self, partition: &TopicPartition, offset: i64) -> Option<Span> {
        let attributes = || {
            let mut attributes = messaging(partition, "settle", "commit");
            attributes.push(KeyValue::new("messaging.kafka.offset", offset));
            attributes
        };
        self.child(SpanKind::Client, || format!("commit {}", partition.topic), attributes)
    }

    /// The open files are finished from now on, for the sake of the batch that is written, or of their age.
    pub(crate) fn files(&mut self, partition: &TopicPartition) {
        let links = std::mem::take(&mut self.in_files);
        let Some((traces, _)) = self.settings.as_ref().filter(|_| !links.is_empty()) else { return };
        let name = "finish Parquet files";
        let attributes = vec![
            KeyValue::new("wattline.topic", partition.topic.to_string()),
            KeyValue::new("wattline.partition", i64::from(partition.partition)),
        ];
        let span = traces.begin_linked(links, SpanKind::Internal, name, attributes);
        self.outer = self.current.replace(span);
    }

    pub(crate) fn files_ended(&mut self) {
        self.current = self.outer.take();
    }

    fn child(
        &self,
        kind: SpanKind,
        name: impl FnOnce() -> String,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Option<Span> {
        self.current.as_ref().map(|current| current.child(kind, name(), attributes()))
    }
}

fn messaging(partition: &TopicPartition, kind: &'static str, operation: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("messaging.system", "kafka"),
        KeyValue::new("messaging.operation.type", kind),
        KeyValue::new("messaging.operation.name", operation),
        KeyValue::new("messaging.destination.name", partition.topic.to_string()),
        KeyValue::new("messaging.destination.partition.id", partition.partition.to_string()),
    ]
}

fn clickhouse(operation: &'static str, table: &'static str, size: KeyValue) -> Vec<KeyValue> {
    vec![
        KeyValue::new("db.system.name", "clickhouse"),
        KeyValue::new("db.operation.name", operation),
        KeyValue::new("db.collection.name", table),
        size,
    ]
}
