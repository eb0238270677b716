//! The records of a batch, or of a part of it, decoded.

use std::ops::Range;

use wattline_model::{Point, Position};
use wattline_wire::record::{self, Header, RecordError};

/// Records of one partition, in its order.
#[derive(Default)]
pub struct Inputs<'a> {
    /// A record of several requests is so many of these, one behind the other.
    requests: Vec<Input<'a>>,
    /// The points of all requests, one's behind the other's: most requests have a few, and memory for each
    /// of them costs more than they do.
    points: Vec<Point<'a>>,
}

/// A request of a record, or a record that cannot be decoded.
pub(crate) struct Input<'a> {
    pub offset: i64,
    /// When it was produced; with a record that cannot be decoded it is all there is.
    pub time_ms: i64,
    pub bytes: &'a [u8],
    pub header: Result<Header<'a>, RecordError>,
    /// Where among all points its own are.
    pub points: Range<usize>,
    indexes: Indexes,
}

/// Where the points of a request stand in their record as Kafka had it.
enum Indexes {
    /// One behind the other from here on.
    From(i32),
    /// In a record that lacks some of them.
    Each(Vec<i32>),
}

impl<'a> Inputs<'a> {
    /// With room for so many points.
    pub fn with_capacity(points: usize) -> Self {
        Inputs { requests: Vec::new(), points: Vec::with_capacity(points) }
    }

    /// Adds a record as Kafka has it.
    pub fn push(&mut self, offset: i64, time_ms: i64, bytes: &'a [u8]) {
        let (first, before) = (self.points.len(), self.requests.len());
        let requests = &mut self.requests;
        let decoded = record::decode_into(bytes, &mut self.points, |header, points| {
            let indexes = Indexes::From((points.start - first) as i32);
            requests.push(Input { offset, time_ms, bytes, header: Ok(header), points, indexes });
        });
        if let Err(error) = decoded {
            self.requests.truncate(before);
            let (header, indexes) = (Err(error), Indexes::From(0));
            self.requests.push(Input { offset, time_ms, bytes, header, points: first..first, indexes });
        }
    }

    /// Adds what is left of a record, each point with its place in the record.
    pub(crate) fn push_points(
        &mut self,
        offset: i64,
        header: Header<'a>,
        points: impl Iterator<Item = (i32, Point<'a>)>,
    ) {
        let first = self.points.len();
        let mut indexes = Vec::new();
        for (index, point) in points {
            indexes.push(index);
            self.points.push(point);
        }
        self.requests.push(Input {
            offset,
            time_ms: header.received_at_ms,
            bytes: &[],
            header: Ok(header),
            points: first..self.points.len(),
            indexes: Indexes::Each(indexes),
        });
    }

    /// Leaves nothing but the room.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.points.clear();
    }

    /// How many points there are.
    pub fn count(&self) -> usize {
        self.points.len()
    }

    pub(crate) fn requests(&self) -> &[Input<'a>] {
        &self.requests
    }

    /// The points of all requests.
    pub(crate) fn points(&self) -> &[Point<'a>] {
        &self.points
    }

    /// The points of one of the requests, each with its place in Kafka.
    pub(crate) fn points_of(&self, input: &Input<'a>) -> impl Iterator<Item = (Position, &Point<'a>)> {
        let positions = (0..input.points.len()).map(|at| input.position(at));
        positions.zip(&self.points[input.points.clone()])
    }
}

impl Input<'_> {
    /// The place in Kafka of the point that is the `at`th of the request here.
    fn position(&self, at: usize) -> Position {
        let index = match &self.indexes {
            Indexes::From(first) => first + at as i32,
            Indexes::Each(indexes) => indexes[at],
        };
        Position { offset: self.offset, index }
    }
}
