//! The audit of one partition: what is read, and in which order.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use anyhow::Context as _;
use wattline_clickhouse_sink::ClickHouse;
use wattline_kafka::{Committed, Reader};
use wattline_model::{Kind, Position};
use wattline_parquet_sink::{Kind as FileKind, Store};
use wattline_worker::Progress;

use crate::Settings;
use crate::devices::Devices;
use crate::intervals::{self, Intervals};
use crate::key::{IntervalRow, Key, Row};
use crate::log::{Log, LogBuilder};
use crate::points::{self, CLICKHOUSE, Demanded, PARQUET, Stored};
use crate::problems::Problems;
use crate::report::{PartitionReport, Totals};

pub(crate) struct Audit<'a> {
    pub settings: &'a Settings,
    pub clickhouse: &'a ClickHouse,
    pub files: &'a Store,
    pub reader: &'a Arc<Reader>,
    pub kind: Kind,
    pub topic: &'a str,
    pub partition: i32,
    /// The offset and the metadata that the workers' group has committed.
    pub committed: Option<Committed>,
}

impl Audit<'_> {
    pub(crate) async fn run(&self) -> anyhow::Result<PartitionReport> {
        let mut problems = Problems::default();
        let (low, high) = self.watermarks().await?;
        let demanded = self.demanded(low, high, &mut problems)?;
        let mut devices = Devices::default();
        let mut stored = self.stored(low, &mut devices).await?;
        let (mut log, mut devices) = self.log(devices, stored.put_aside.clone()).await?;
        self.ask_for_older(&mut log, &stored, &mut devices).await?;

        let counts = points::compare(&log, &mut stored, demanded, &devices, &mut problems);
        drop(stored);
        let mut totals = Totals {
            kafka_points: counts.kafka,
            clickhouse_points: counts.clickhouse,
            parquet_points: counts.parquet,
            rejected: counts.rejected,
            duplicates: counts.duplicates,
            pending_clickhouse: counts.pending_clickhouse,
            pending_parquet: counts.pending_parquet,
            ..Totals::default()
        };
        if self.kind == Kind::BatteryCounter {
            totals.intervals_expected = intervals::expected(&log);
            totals.intervals_clickhouse =
                self.clickhouse_intervals(&log, demanded.clickhouse, &mut devices, &mut problems).await?;
            (totals.intervals_parquet, problems) =
                self.parquet_intervals(log, demanded.parquet, devices, problems).await?;
        }
        Ok(PartitionReport {
            topic: self.topic.to_owned(),
            partition: self.partition,
            exact: problems.is_empty(),
            totals,
            problems: problems.into_texts(),
        })
    }

    async fn watermarks(&self) -> anyhow::Result<(i64, i64)> {
        let (reader, topic, partition) = (Arc::clone(self.reader), self.topic.to_owned(), self.partition);
        blocking(move || reader.watermarks(&topic, partition)).await
    }

    /// The watermarks are read after the committed offset, so a `done` above them is no race.
    fn demanded(&self, low: i64, high: i64, problems: &mut Problems) -> anyhow::Result<Demanded> {
        let done = match &self.committed {
            None => Demanded { clickhouse: low, parquet: low },
            Some((offset, metadata)) => {
                let progress = Progress::parse(*offset, metadata)?;
                Demanded { clickhouse: progress.clickhouse.done, parquet: progress.parquet.done }
            }
        };
        for (sink, done) in [(CLICKHOUSE, done.clickhouse), (PARQUET, done.parquet)] {
            if done < low {
                let range = || format!("offsets {done} to {}", low - 1);
                problems.add(sink, "Kafka dropped records that were not stored", range);
            }
            if done > high {
                let offsets = || format!("done is {done}, Kafka ends at {high}");
                problems.add(sink, "further than Kafka; was the topic created anew?", offsets);
            }
        }
        Ok(if self.settings.complete { Demanded { clickhouse: high, parquet: high } } else { done })
    }

    /// What both sinks have of the partition.
    async fn stored(&self, low: i64, devices: &mut Devices) -> anyhow::Result<Stored> {
        let mut clickhouse = Vec::new();
        let rejected = self.clickhouse.rejected_positions(self.topic, self.partition, low).await;
        let rejected = rejected.context("cannot read what was rejected")?;
        let each = |point: wattline_clickhouse_sink::StoredPoint<'_>| {
            clickhouse.push(Row {
                key: Key {
                    device: devices.number(point.client_id, point.device_id),
                    in_chain: point.in_chain,
                    time_ms: point.time_ms,
                },
                position: Position { offset: point.offset, index: point.index },
            });
        };
        let (topic, partition) = (self.topic, self.partition);
        let read = match self.kind {
            Kind::Battery => self.clickhouse.reported_intervals(topic, partition, low, each).await,
            Kind::BatteryCounter => self.clickhouse.readings(topic, partition, low, each).await,
        };
        read.context("cannot read the points in ClickHouse")?;
        Ok(Stored {
            clickhouse,
            parquet: self.parquet_points(low, devices).await?,
            put_aside: rejected.iter().filter(|of| of.is_whole_record).map(|of| of.offset).collect(),
            rejected: rejected
                .into_iter()
                .map(|position| Position { offset: position.offset, index: position.index })
                .collect(),
        })
    }

    async fn parquet_points(&self, low: i64, devices: &mut Devices) -> anyhow::Result<Vec<Row>> {
        let kind = match self.kind {
            Kind::Battery => FileKind::Intervals,
            Kind::BatteryCounter => FileKind::Readings,
        };
        let (files, topic, partition) = (self.files.clone(), self.topic.to_owned(), self.partition);
        let mut numbers = std::mem::take(devices);
        let (rows, numbers) = blocking(move || {
            let mut rows = Vec::new();
            for file in files.ranges(&topic, partition, kind)? {
                if file.last < low {
                    continue;
                }
                wattline_parquet_sink::points(&files, &file.name, kind, |point| {
                    let row = Row {
                        key: Key {
                            device: numbers.number(point.client_id, point.device_id),
                            in_chain: point.in_chain,
                            time_ms: point.time_ms,
                        },
                        position: Position { offset: point.position.offset, index: point.position.index },
                    };
                    rows.push(row);
                })?;
            }
            anyhow::Ok((rows, numbers))
        })
        .await?;
        *devices = numbers;
        Ok(rows)
    }

    /// All that Kafka has, as far as it reaches by now.
    async fn log(&self, mut devices: Devices, put_aside: HashSet<i64>) -> anyhow::Result<(Log, Devices)> {
        let (kafka, topic, partition) = (self.settings.kafka.clone(), self.topic.to_owned(), self.partition);
        let mut log = LogBuilder::new(self.kind, put_aside);
        blocking(move || {
            // Behind the last fetch of a reader the next question waits for half a second: a reader each.
            let reader = Reader::new(&kafka)?;
            let (low, high) = reader.watermarks(&topic, partition)?;
            reader.read(&topic, partition, low, high, |offset, _, bytes| {
                log.record(offset, bytes, &mut devices);
                ControlFlow::Continue(())
            })?;
            Ok((log.finish(low, high), devices))
        })
        .await
    }

    /// Readings that ClickHouse seems to lack may repeat, or lose against, some that Kafka no longer has.
    async fn ask_for_older(
        &self,
        log: &mut Log,
        stored: &Stored,
        devices: &mut Devices,
    ) -> anyhow::Result<()> {
        if log.low == 0 {
            return Ok(());
        }
        let mut is_there = vec![false; log.key_count()];
        for row in stored.clickhouse.iter().filter(|row| row.position.offset >= log.low) {
            if let Some(key) = log.find(row.key) {
                is_there[key] = true;
            }
        }
        let lacking = (0..log.key_count()).map(|key| (log.key(key), is_there[key]));
        let times_ms: Vec<i64> =
            lacking.filter(|(key, is_there)| key.in_chain && !is_there).map(|(key, _)| key.time_ms).collect();
        let (Some(&from_ms), Some(&to_ms)) = (times_ms.iter().min(), times_ms.iter().max()) else {
            return Ok(());
        };
        let before = log.low;
        let each = |point: wattline_clickhouse_sink::StoredPoint<'_>| {
            let device = devices.number(point.client_id, point.device_id);
            let key = Key { device, in_chain: true, time_ms: point.time_ms };
            if let Some(key) = log.find(key) {
                log.set_known_before(key);
            }
        };
        let asked = self.clickhouse.older_readings(self.topic, self.partition, before, from_ms..=to_ms, each);
        asked.await.context("cannot read older readings in ClickHouse")
    }

    async fn clickhouse_intervals(
        &self,
        log: &Log,
        end: i64,
        devices: &mut Devices,
        problems: &mut Problems,
    ) -> anyhow::Result<u64> {
        let mut intervals = Intervals::new(log, CLICKHOUSE);
        let each = |interval: wattline_clickhouse_sink::StoredInterval<'_>| {
            let row = IntervalRow {
                key: Key {
                    device: devices.number(interval.client_id, interval.device_id),
                    in_chain: true,
                    time_ms: interval.end_ms,
                },
                start_ms: interval.start_ms,
                energy_mwh: interval.energies(),
                quality: interval.qualities(),
                gap: interval.gap,
                position: Position { offset: interval.offset, index: interval.index },
            };
            intervals.row(&row, devices, problems);
        };
        let asked = self.clickhouse.derived_intervals(self.topic, self.partition, log.low, each).await;
        asked.context("cannot read the derived intervals in ClickHouse")?;
        Ok(intervals.finish(end, devices, problems))
    }

    async fn parquet_intervals(
        &self,
        log: Log,
        end: i64,
        mut devices: Devices,
        mut problems: Problems,
    ) -> anyhow::Result<(u64, Problems)> {
        let (files, topic, partition) = (self.files.clone(), self.topic.to_owned(), self.partition);
        blocking(move || {
            let mut intervals = Intervals::new(&log, PARQUET);
            for file in files.ranges(&topic, partition, FileKind::Intervals)? {
                if file.last < log.low {
                    continue;
                }
                wattline_parquet_sink::derived_intervals(&files, &file.name, |interval| {
                    let row = IntervalRow {
                        key: Key {
                            device: devices.number(interval.client_id, interval.device_id),
                            in_chain: true,
                            time_ms: interval.end_ms,
                        },
                        start_ms: interval.start_ms,
                        energy_mwh: interval.energies,
                        quality: interval.qualities,
                        gap: interval.gap,
                        position: Position {
                            offset: interval.position.offset,
                            index: interval.position.index,
                        },
                    };
                    intervals.row(&row, &devices, &mut problems);
                })?;
            }
            let found = intervals.finish(end, &devices, &mut problems);
            Ok((found, problems))
        })
        .await
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
