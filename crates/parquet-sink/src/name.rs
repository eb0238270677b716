//! Names of files and folders, made and read.

use std::fmt;

use jiff::civil::Date;

/// What the rows of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Intervals,
    Readings,
}

impl Kind {
    pub const ALL: [Kind; 2] = [Kind::Intervals, Kind::Readings];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Intervals => "intervals",
            Kind::Readings => "readings",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the rows of a file come from: a Kafka partition and its first offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub kind: Kind,
    pub topic: String,
    pub partition: i32,
    pub first: i64,
}

impl Origin {
    pub fn finished_name(&self, last: i64) -> String {
        format!("{}-{}-{}-{last}.parquet", self.topic, self.partition, self.first)
    }

    /// From the root on.
    pub fn place(&self, last: i64, day: Date) -> String {
        format!("kind={}/day={day}/{}", self.kind, self.finished_name(last))
    }

    pub fn temporary_name(&self, unique: &str) -> String {
        format!("{}-{}-{}-{}.{unique}", self.topic, self.partition, self.kind, self.first)
    }
}

/// A finished file and the offsets it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRange {
    pub first: i64,
    pub last: i64,
    /// From the root on: `kind=…/day=…/….parquet`.
    pub name: String,
}

impl StoredRange {
    /// None where the name is not that of a finished file of this partition.
    pub(crate) fn of(name: &str, topic: &str, partition: i32) -> Option<Self> {
        let (of, number, first, last) = read_finished(name.rsplit('/').next()?)?;
        let range = StoredRange { first, last, name: name.to_owned() };
        (of == topic && number == partition).then_some(range)
    }
}

/// Topic, partition, first and last offset of a finished file. A topic may hold hyphens and dots
/// itself, so names are read from the right.
pub(crate) fn read_finished(name: &str) -> Option<(&str, i32, i64, i64)> {
    let mut fields = name.strip_suffix(".parquet")?.rsplitn(4, '-');
    let last = fields.next()?.parse().ok()?;
    let first = fields.next()?.parse().ok()?;
    let partition = fields.next()?.parse().ok()?;
    Some((fields.next()?, partition, first, last))
}

/// Topic and partition of a temporary file.
pub(crate) fn read_temporary(name: &str) -> Option<(&str, i32)> {
    let (stem, _unique) = name.rsplit_once('.')?;
    let mut fields = stem.rsplitn(4, '-');
    let (_first, _kind) = (fields.next()?, fields.next()?);
    let partition = fields.next()?.parse().ok()?;
    Some((fields.next()?, partition))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_whatever_the_topic() {
        for topic in ["wattline.counters", "a-1", "x-2-3.y"] {
            let origin = Origin { kind: Kind::Readings, topic: topic.into(), partition: 7, first: 10 };
            assert_eq!(read_finished(&origin.finished_name(99)), Some((topic, 7, 10, 99)));
            assert_eq!(read_temporary(&origin.temporary_name("a1b2")), Some((topic, 7)));
        }
        assert_eq!(read_finished("notes.txt"), None);
        assert_eq!(read_finished("t-1-x-2.parquet"), None);
    }
}
