//! The records of a batch, or of a part of it, decoded.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

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
    /// Where among the points of the batch its own are.
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

/// Memory of points that are done with. It is megabytes for a batch, which the processor's caches have as long as one batch
/// after the other uses the same, and which cost more than decoding them where each takes fresh ones.
static KEPT: Mutex<Vec<Vec<Point<'static>>>> = Mutex::new(Vec::new());
/// As many batches as are likely to be decoded at one time.
const KEPT_MAX: usize = 4;

impl<'a> Inputs<'a> {
    /// For records that have so many bytes together. `keep` gives its memory to the next ones.
    pub fn with_capacity(bytes: usize) -> Self {
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut points: Vec<Point<'a>> = kept.unwrap_or_default();
        points.reserve(bytes / record::POINT_BYTES);
        Inputs { requests: Vec::new(), points }
    }

    /// Ends them, and keeps their memory.
    pub fn keep(self) {
        let memory = emptied(self.points);
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(memory);
        }
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
    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.points.clear();
    }

    pub(crate) fn requests(&self) -> &[Input<'a>] {
        &self.requests
    }

    /// The points of all requests.
    pub(crate) fn points(&self) -> &[Point<'a>] {
        &self.points
    }

    /// The points of one of the requests, each with its place in Kafka and its number among those of the batch.
    pub(crate) fn points_of(&self, input: &Input<'a>) -> impl Iterator<Item = (usize, Position, &Point<'a>)> {
        let positions = (0..input.points.len()).map(|at| input.position(at));
        let points = input.points.clone().zip(&self.points[input.points.clone()]);
        positions.zip(points).map(|(position, (at, point))| (at, position, point))
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

/// The same memory without its points, and so without what they borrowed.
fn emptied(mut points: Vec<Point<'_>>) -> Vec<Point<'static>> {
    points.clear();
    points.into_iter().map_while(|_| None).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_are_done_with_leave_their_memory_behind() {
        let points = Inputs::with_capacity(1 << 20).points;
        let memory = (points.as_ptr().addr(), points.capacity());
        let left = emptied(points);
        assert_eq!((left.as_ptr().addr(), left.capacity()), memory);
    }
}
