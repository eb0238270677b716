//! Instructions of each stage, by callgrind. `cargo xtask instructions` runs it and compares the counts with
//! those in `benches/stages/instructions.json`.

use std::hint::black_box;

use gungraun::prelude::*;
use wattline_model::Kind;
use wattline_model::Kind::{Battery, BatteryCounter};
use wattline_stages::{Decode, DecodeRecord, Derive, Encode, LookUp, Request, Token};

fn decode(kind: Kind, points: usize) -> Decode {
    Decode::new(kind, points).expect("a stage")
}

fn encode(kind: Kind, points: usize) -> Encode {
    Encode::new(kind, points).expect("a stage")
}

fn request(kind: Kind, points: usize) -> Request {
    Request::new(kind, points).expect("a stage")
}

fn record(kind: Kind, points: usize) -> DecodeRecord {
    DecodeRecord::new(kind, points).expect("a stage")
}

fn derive(points: usize) -> Derive {
    Derive::new(points).expect("a stage")
}

fn token() -> Token {
    Token::new().expect("a stage")
}

fn look_up(points: usize) -> LookUp {
    LookUp::new(points).expect("a stage")
}

// A stage is handed back, so that its end is not counted.

#[library_benchmark]
#[bench::interval(args = (Battery, 1), setup = decode)]
#[bench::intervals(args = (Battery, 100), setup = decode)]
#[bench::reading(args = (BatteryCounter, 1), setup = decode)]
#[bench::readings(args = (BatteryCounter, 100), setup = decode)]
fn decode_and_validate(mut stage: Decode) -> Decode {
    let _ = black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::interval(args = (Battery, 1), setup = encode)]
#[bench::intervals(args = (Battery, 100), setup = encode)]
#[bench::reading(args = (BatteryCounter, 1), setup = encode)]
#[bench::readings(args = (BatteryCounter, 100), setup = encode)]
fn encode_points(mut stage: Encode) -> Encode {
    black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::intervals(args = (Battery, 100), setup = request)]
#[bench::readings(args = (BatteryCounter, 100), setup = request)]
fn decode_validate_and_encode(mut stage: Request) -> Request {
    let _ = black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::intervals(args = (Battery, 100), setup = record)]
#[bench::readings(args = (BatteryCounter, 100), setup = record)]
fn decode_record(stage: DecodeRecord) -> DecodeRecord {
    let _ = black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::readings(args = (100), setup = derive)]
fn derive_intervals(mut stage: Derive) -> Derive {
    black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::client(setup = token)]
fn check_token(stage: Token) -> Token {
    black_box(stage.run());
    stage
}

#[library_benchmark]
#[bench::devices(args = (100), setup = look_up)]
fn look_up_devices(stage: LookUp) -> LookUp {
    black_box(stage.run());
    stage
}

library_benchmark_group!(
    name = stages;
    benchmarks = decode_and_validate, encode_points, decode_validate_and_encode, decode_record,
        derive_intervals, check_token, look_up_devices
);
main!(library_benchmark_groups = stages);
