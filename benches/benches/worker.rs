//! The stages of the worker's batches, half of whose points are intervals and half readings of counters.
//!
//! The group `worker` has each stage once, so that their figures add up to what a point costs; `cargo xtask bench`
//! holds the worker against the sum at 1,000. Where a stage works on one half only, its figure is the share of
//! it in a point of both.

use std::cell::Cell;
use std::sync::Arc;

use arrow_array::RecordBatch;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wattline_clickhouse_sink::{Table, arrow_stream};
use wattline_model::Kind;
use wattline_parquet_sink::{Folder, Kind as FileKind};
use wattline_stages::{DecodeRecord, Derive, SIZES, bodies, records};
use wattline_worker::{Deriver, Inputs, LookedUp, Rows};

/// That of the worker itself.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows that differ, for a file: more than a page of it has.
const POINTS_OF_A_KIND: usize = 32_000;
const CACHE_DEVICES_MAX: usize = 1_000_000;

/// Records of one partition, batch by batch.
struct Partition {
    kind: Kind,
    batches: Vec<Vec<Vec<u8>>>,
}

impl Partition {
    fn new(kind: Kind, points: usize) -> anyhow::Result<Partition> {
        let count = (POINTS_OF_A_KIND / points).clamp(2, 1_000);
        let bodies = bodies(kind, points, count);
        let batches = bodies.iter().map(|body| records(kind, body)).collect::<Result<_, _>>()?;
        Ok(Partition { kind, batches })
    }

    fn deriver(&self) -> Deriver {
        Deriver::new(self.kind, Arc::from("bench"), 0, CACHE_DEVICES_MAX, 7)
    }

    fn inputs(&self, batch: usize) -> Inputs<'_> {
        let mut inputs = Inputs::default();
        self.decode(batch, &mut inputs);
        inputs
    }

    fn decode<'a>(&'a self, batch: usize, inputs: &mut Inputs<'a>) {
        let records = &self.batches[batch];
        let first = (batch * records.len()) as i64;
        (first..).zip(records).for_each(|(offset, bytes)| inputs.push(offset, 0, bytes));
    }

    /// The rows of all batches, in the order of the log.
    fn rows(&self) -> Vec<Rows> {
        let mut deriver = self.deriver();
        (0..self.batches.len()).map(|batch| rows(&mut deriver, &self.inputs(batch))).collect()
    }
}

/// Everything is remembered, or new; nothing has to be looked up elsewhere.
fn rows(deriver: &mut Deriver, batch: &Inputs<'_>) -> Rows {
    let mut gathered = deriver.gather(batch.count());
    gathered.add(batch);
    deriver.wanted(&mut gathered);
    deriver.rows(gathered, LookedUp::default()).expect("rows that fit their columns").0
}

fn worker(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worker");
    for points in SIZES {
        let intervals = Partition::new(Kind::Battery, points).expect("bodies of the fleet");
        let counters = Partition::new(Kind::BatteryCounter, points).expect("bodies of the fleet");
        // As many of the one kind as of the other.
        group.throughput(Throughput::Elements(2 * points as u64));

        group.bench_function(BenchmarkId::new("decode record", points), |bencher| {
            let mut decoded = Inputs::default();
            bencher.iter(|| {
                for partition in [&intervals, &counters] {
                    decoded.clear();
                    partition.decode(1, &mut decoded);
                }
            });
        });
        let batch = intervals.inputs(1);
        group.bench_function(BenchmarkId::new("columns", points), |bencher| {
            let mut deriver = intervals.deriver();
            bencher.iter_with_large_drop(|| rows(&mut deriver, &batch));
        });
        let (earlier, batch) = (counters.inputs(0), counters.inputs(1));
        group.bench_function(BenchmarkId::new("derive, with its columns", points), |bencher| {
            let remembering = || {
                let mut deriver = counters.deriver();
                rows(&mut deriver, &earlier);
                deriver
            };
            let next = |mut deriver: Deriver| (rows(&mut deriver, &batch), deriver);
            bencher.iter_batched(remembering, next, BatchSize::LargeInput);
        });

        let tables = tables(&intervals, &counters);
        group.bench_function(BenchmarkId::new("parquet", points), |bencher| {
            let scratch = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
            let folder = Folder::new(scratch.path());
            let mut files: Vec<_> = (0..)
                .zip(&tables)
                .map(|(partition, table)| {
                    let schema = table.batches[0].schema();
                    folder.open(table.file, "bench", partition, 0, schema).expect("a file")
                })
                .collect();
            bencher.iter(|| {
                for (file, table) in files.iter_mut().zip(&tables) {
                    file.append(table.next()).expect("room on the disk");
                }
            });
        });
        group.bench_function(BenchmarkId::new("clickhouse", points), |bencher| {
            bencher.iter_with_large_drop(|| {
                let stream = |table: &Rewound| arrow_stream(table.table, table.next()).expect("a batch");
                tables.iter().map(stream).collect::<Vec<_>>()
            });
        });
    }
    group.finish();
}

/// The batches of a table, over and over again.
struct Rewound {
    table: Table,
    file: FileKind,
    batches: Vec<RecordBatch>,
    at: Cell<usize>,
}

impl Rewound {
    fn next(&self) -> &RecordBatch {
        let at = self.at.get();
        self.at.set((at + 1) % self.batches.len());
        &self.batches[at]
    }
}

/// What the two partitions write: intervals as they are, readings, and the intervals derived from those.
fn tables(intervals: &Partition, counters: &Partition) -> [Rewound; 3] {
    let reported = intervals.rows();
    let derived = counters.rows();
    let of = |table, file, batches: Vec<RecordBatch>| Rewound { table, file, batches, at: Cell::new(0) };
    let intervals = |rows: &[Rows]| rows.iter().filter_map(|rows| rows.intervals.clone()).collect();
    let readings = derived.iter().filter_map(|rows| rows.readings.clone()).collect();
    [
        of(Table::Intervals, FileKind::Intervals, intervals(&reported)),
        of(Table::Readings, FileKind::Readings, readings),
        of(Table::Intervals, FileKind::Intervals, intervals(&derived)),
    ]
}

/// Parts of the stages above, alone.
fn parts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parts of the worker");
    for points in SIZES {
        group.throughput(Throughput::Elements(points as u64));
        for kind in [Kind::Battery, Kind::BatteryCounter] {
            let stage = DecodeRecord::new(kind, points).expect("a body of the fleet");
            let id = BenchmarkId::new(format!("decode record {}", kind.name()), points);
            group.bench_function(id, |bencher| bencher.iter(|| stage.run()));
        }
        let mut stage = Derive::new(points).expect("a body of the fleet");
        group.bench_function(BenchmarkId::new("chain and pair", points), |bencher| {
            bencher.iter(|| stage.run());
        });
    }
    group.finish();
}

criterion_group!(benches, worker, parts);
criterion_main!(benches);
