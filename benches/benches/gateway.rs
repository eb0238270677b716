//! The stages of a request, and what a parser that checks nothing needs for the same bodies.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wattline_fleet::yardstick::Telemetry;
use wattline_model::Kind;
use wattline_stages::{Decode, Encode, LookUp, Request, SIZES, Token};

fn gateway(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gateway");
    let token = Token::new().expect("a directory");
    group.bench_function("token check", |bencher| bencher.iter(|| token.run()));
    for points in SIZES {
        group.throughput(Throughput::Elements(points as u64));
        for kind in [Kind::Battery, Kind::BatteryCounter] {
            of_kind(&mut group, kind, points);
        }
        let look_up = LookUp::new(points).expect("a directory");
        group.bench_function(BenchmarkId::new("snapshot look-up", points), |bencher| {
            bencher.iter(|| look_up.run());
        });
        yardstick(&mut group, points);
    }
    group.finish();
}

fn of_kind(group: &mut BenchmarkGroup<'_, WallTime>, kind: Kind, points: usize) {
    let id = |stage: &str| BenchmarkId::new(format!("{stage} {}", kind.name()), points);
    let mut stage = Decode::new(kind, points).expect("a body of the fleet");
    group.bench_function(id("decode and validate"), |bencher| bencher.iter(|| stage.run()));
    let mut stage = Encode::new(kind, points).expect("a body of the fleet");
    group.bench_function(id("encode"), |bencher| bencher.iter(|| stage.run()));
    let mut stage = Request::new(kind, points).expect("a body of the fleet");
    group.bench_function(id("decode, validate and encode"), |bencher| bencher.iter(|| stage.run()));
}

fn yardstick(group: &mut BenchmarkGroup<'_, WallTime>, points: usize) {
    let request = Request::new(Kind::Battery, points).expect("a body of the fleet");
    let body = request.body();
    let mut buffers = simd_json::Buffers::new(body.len());
    let mut text = body.to_vec();
    group.bench_function(BenchmarkId::new("simd-json into borrowed structs", points), |bencher| {
        // simd-json unescapes in place, so each pass needs the text anew: it is a copy into a warm buffer.
        bencher.iter(|| {
            text.copy_from_slice(body);
            let parsed: Telemetry<'_> =
                simd_json::serde::from_slice_with_buffers(&mut text, &mut buffers).expect("JSON");
            parsed.telemetry.len()
        });
    });
}

criterion_group!(benches, gateway);
criterion_main!(benches);
