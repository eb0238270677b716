//! The points of one request: its body, and what each point of it is.

use bytes::Bytes;

use super::json::{self, TimePlace};
use super::{Flaw, Interval, Kind};

const POINT_BYTES_TYPICAL: usize = 720;

/// A point as the ledger knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    pub device: u32,
    /// The start of an interval, the time of a reading.
    pub time_s: u32,
    pub flaw: Option<Flaw>,
}

/// A body under construction, then a body to send, and to send again in whole or in part.
#[derive(Debug)]
pub struct Batch {
    kind: Kind,
    body: Bytes,
    open: Vec<u8>,
    /// The wrapper's own start, in the older shape.
    wrapper_start_s: Option<u32>,
    /// Where the first point begins, and where each point ends.
    head_len: usize,
    ends: Vec<usize>,
    points: Vec<Sent>,
}

impl Batch {
    pub fn new(kind: Kind, capacity: usize) -> Self {
        let mut open = Vec::with_capacity(64 + capacity * POINT_BYTES_TYPICAL);
        open.extend_from_slice(b"{\"telemetry\":[");
        Self::opened(kind, open, None, capacity)
    }

    /// A batch in the older shape: `first`'s time stands in the wrapper, and a point of the same
    /// time has none of its own.
    pub fn older_shape(first: &Interval, capacity: usize) -> Self {
        let mut open = Vec::with_capacity(128 + capacity * POINT_BYTES_TYPICAL);
        open.push(b'{');
        json::start_and_duration(&mut open, first);
        open.extend_from_slice(b",\"telemetry\":[");
        Self::opened(Kind::Battery, open, Some(first.start_s), capacity)
    }

    fn opened(kind: Kind, open: Vec<u8>, wrapper_start_s: Option<u32>, capacity: usize) -> Self {
        Self {
            kind,
            body: Bytes::new(),
            head_len: open.len(),
            open,
            wrapper_start_s,
            ends: Vec::with_capacity(capacity),
            points: Vec::with_capacity(capacity),
        }
    }

    pub fn push(&mut self, interval: &Interval, flaw: Option<Flaw>) {
        if !self.points.is_empty() {
            self.open.push(b',');
        }
        let time = if self.wrapper_start_s == Some(interval.start_s) {
            TimePlace::Wrapper
        } else {
            TimePlace::Point
        };
        json::point(&mut self.open, self.kind, interval, flaw, time);
        self.ends.push(self.open.len());
        self.points.push(Sent {
            device: interval.device,
            time_s: match self.kind {
                Kind::Battery => interval.start_s,
                Kind::BatteryCounter => interval.end_s(),
            },
            flaw,
        });
    }

    pub fn finish(&mut self) {
        self.open.extend_from_slice(b"]}");
        self.body = std::mem::take(&mut self.open).into();
    }

    /// A batch of some of these points, each with the very bytes it had here.
    pub fn only(&self, indices: &[usize]) -> Self {
        let mut open = self.body[..self.head_len].to_vec();
        let mut ends = Vec::with_capacity(indices.len());
        for (place, index) in indices.iter().enumerate() {
            if place > 0 {
                open.push(b',');
            }
            let start = match index.checked_sub(1) {
                Some(before) => self.ends[before] + 1,
                None => self.head_len,
            };
            open.extend_from_slice(&self.body[start..self.ends[*index]]);
            ends.push(open.len());
        }
        let mut batch = Self {
            kind: self.kind,
            body: Bytes::new(),
            open,
            wrapper_start_s: self.wrapper_start_s,
            head_len: self.head_len,
            ends,
            points: indices.iter().map(|index| self.points[*index]).collect(),
        };
        batch.finish();
        batch
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The finished body.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    pub fn into_body(self) -> Vec<u8> {
        self.body.into()
    }

    pub fn points(&self) -> &[Sent] {
        &self.points
    }
}
