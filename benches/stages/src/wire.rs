//! The edge: a request's body to checked points, and points to and from the Kafka record.

use anyhow::ensure;
use wattline_model::{Kind, Point};
use wattline_wire::record::{self, RecordError};
use wattline_wire::{BodyError, Decoder, Invalid, PointSink};

use crate::material::{BOUNDS, bodies, header, points};

fn body(kind: Kind, points: usize) -> Vec<u8> {
    bodies(kind, points, 1).remove(0)
}

/// A body is decoded and checked.
pub struct Decode {
    decoder: Decoder,
    body: Vec<u8>,
}

impl Decode {
    pub fn new(kind: Kind, points: usize) -> anyhow::Result<Self> {
        let mut stage = Decode { decoder: Decoder::new(kind), body: body(kind, points) };
        ensure!(stage.run()? == points, "the fleet's points are valid");
        Ok(stage)
    }

    pub fn run(&mut self) -> Result<usize, BodyError> {
        let mut count = Count::default();
        self.decoder.decode(&self.body, BOUNDS, &mut count)?;
        Ok(count.points)
    }
}

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

/// Points are written into a record.
pub struct Encode {
    kind: Kind,
    points: Vec<Point<'static>>,
    record: Vec<u8>,
}

impl Encode {
    pub fn new(kind: Kind, points: usize) -> anyhow::Result<Self> {
        let points = self::points(kind, &body(kind, points))?;
        let mut stage = Encode { kind, points, record: Vec::new() };
        stage.run();
        Ok(stage)
    }

    pub fn run(&mut self) -> usize {
        self.record.clear();
        record::begin(&mut self.record, &header());
        for point in &self.points {
            record::push(&mut self.record, self.kind, point);
        }
        self.record.len()
    }
}

/// Both in one pass, as the gateway does it.
pub struct Request {
    decoder: Decoder,
    body: Vec<u8>,
    sink: IntoRecord,
}

struct IntoRecord {
    kind: Kind,
    record: Vec<u8>,
}

impl Request {
    pub fn new(kind: Kind, points: usize) -> anyhow::Result<Self> {
        let sink = IntoRecord { kind, record: Vec::new() };
        let mut stage = Request { decoder: Decoder::new(kind), body: body(kind, points), sink };
        stage.run()?;
        Ok(stage)
    }

    pub fn body(&self) -> &[u8] {
        &self.body
    }

    pub fn run(&mut self) -> Result<usize, BodyError> {
        self.sink.restart();
        self.decoder.decode(&self.body, BOUNDS, &mut self.sink)?;
        Ok(self.sink.record.len())
    }
}

impl<'a> PointSink<'a> for IntoRecord {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        if let Ok(point) = point {
            record::push(&mut self.record, self.kind, &point);
        }
    }

    fn restart(&mut self) {
        self.record.clear();
        record::begin(&mut self.record, &header());
    }
}

/// A record is read.
pub struct DecodeRecord {
    record: Vec<u8>,
}

impl DecodeRecord {
    pub fn new(kind: Kind, points: usize) -> anyhow::Result<Self> {
        let stage = DecodeRecord { record: Encode::new(kind, points)?.record };
        ensure!(stage.run()? == points, "a record has all points");
        Ok(stage)
    }

    pub fn run(&self) -> Result<usize, RecordError> {
        Ok(record::decode(&self.record)?.points.len())
    }
}
