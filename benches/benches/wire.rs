//! The edge: a request's body to checked points, and points to and from the Kafka record.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wattline_fleet::fleet::{self, Device};
use wattline_fleet::yardstick::Telemetry;
use wattline_model::{Kind, Point};
use wattline_wire::record::{self, Header};
use wattline_wire::{Bounds, Decoder, Invalid, PointSink};

const FROM_S: u32 = 1_790_000_000;
const BOUNDS: Bounds = Bounds { oldest_ms: 0, newest_ms: i64::MAX };
const HEADER: Header<'static> =
    Header { client_id: "demo", request_id: "0123456789abcdef", received_at_ms: 0 };

#[derive(Default)]
struct Count {
    points: usize,
}

impl<'a> PointSink<'a> for Count {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        self.points += usize::from(point.is_ok());
    }

    fn restart(&mut self) {
        self.points = 0;
    }
}

/// Decodes, checks and encodes in one pass, as the gateway does.
#[derive(Default)]
struct Encode {
    record: Vec<u8>,
}

impl<'a> PointSink<'a> for Encode {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        if let Ok(point) = point {
            record::push(&mut self.record, Kind::Battery, &point);
        }
    }

    fn restart(&mut self) {
        self.record.clear();
    }
}

fn wire(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("wire");
    for points in [1usize, 100, 1_000] {
        let mut devices: Vec<Device> = (0..points as u32).map(|at| Device::new(7, at, FROM_S)).collect();
        let body = fleet::body(fleet::Kind::Battery, &mut devices, points);
        group.throughput(Throughput::Elements(points as u64));

        let mut decoder = Decoder::new(Kind::Battery);
        group.bench_with_input(BenchmarkId::new("decode and validate", points), &body, |bencher, body| {
            bencher.iter(|| {
                let mut count = Count::default();
                decoder.decode(body, BOUNDS, &mut count).expect("a body of the fleet");
                assert!(count.points > 0);
            });
        });
        let mut sink = Encode::default();
        group.bench_with_input(
            BenchmarkId::new("decode, validate and encode", points),
            &body,
            |bencher, body| {
                bencher.iter(|| {
                    sink.record.clear();
                    record::begin(&mut sink.record, &HEADER);
                    decoder.decode(body, BOUNDS, &mut sink).expect("a body of the fleet");
                });
            },
        );
        let record = sink.record;
        group.bench_with_input(BenchmarkId::new("decode record", points), &record, |bencher, record| {
            bencher.iter(|| record::decode(record).expect("our own record"));
        });
        group.bench_with_input(
            BenchmarkId::new("simd-json into borrowed structs", points),
            &body,
            |bencher, body| {
                let mut buffers = simd_json::Buffers::new(body.len());
                let mut text = body.clone();
                // simd-json unescapes in place, so each pass needs the text anew: it is a copy into a warm buffer.
                bencher.iter(|| {
                    text.copy_from_slice(body);
                    let parsed: Telemetry<'_> =
                        simd_json::serde::from_slice_with_buffers(&mut text, &mut buffers).expect("JSON");
                    parsed.telemetry.len()
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, wire);
criterion_main!(benches);
