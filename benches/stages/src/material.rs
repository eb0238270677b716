//! What the stages work on.

use wattline_fleet::fleet::{self, Device};
use wattline_model::{Kind, Point};
use wattline_wire::record::{self, Header};
use wattline_wire::{Bounds, Decoder, Invalid, PointSink};

pub const CLIENT: &str = "demo";
pub const BOUNDS: Bounds = Bounds { oldest_ms: 0, newest_ms: i64::MAX };
pub(crate) const SEED: u64 = 7;
const FROM_S: u32 = 1_790_000_000;
/// The points of a request are spread over so many, with a record for each.
const PARTITIONS: usize = 12;

pub fn header() -> Header<'static> {
    Header { client_id: CLIENT, request_id: "0123456789abcdef", received_at_ms: i64::from(FROM_S) * 1_000 }
}

/// Bodies one after another, each with the next point of so many devices.
pub fn bodies(kind: Kind, points: usize, count: usize) -> Vec<Vec<u8>> {
    let shape = match kind {
        Kind::Battery => fleet::Kind::Battery,
        Kind::BatteryCounter => fleet::Kind::BatteryCounter,
    };
    let mut devices: Vec<Device> = (0..points as u32).map(|at| Device::new(SEED, at, FROM_S)).collect();
    (0..count).map(|_| fleet::body(shape, &mut devices, points)).collect()
}

/// The points of a body.
pub fn points(kind: Kind, body: &[u8]) -> anyhow::Result<Vec<Point<'static>>> {
    let mut all = All::default();
    Decoder::new(kind).decode(body, BOUNDS, &mut all)?;
    Ok(all.points)
}

/// The points of a body in records, as a worker finds them in its partition.
pub fn records(kind: Kind, body: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let points = points(kind, body)?;
    Ok(points
        .chunks(points.len().div_ceil(PARTITIONS))
        .map(|points| {
            let mut bytes = Vec::new();
            record::begin(&mut bytes, &header());
            points.iter().for_each(|point| record::push(&mut bytes, kind, point));
            bytes
        })
        .collect())
}

#[derive(Default)]
struct All {
    points: Vec<Point<'static>>,
}

impl<'a> PointSink<'a> for All {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        self.points.extend(point.map(Point::into_owned));
    }

    fn restart(&mut self) {
        self.points.clear();
    }
}
