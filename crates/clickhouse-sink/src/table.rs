//! The tables, and what tells their rows apart.

use std::fmt;

/// A table that batches are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Table {
    Intervals,
    Readings,
    Rejected,
}

impl Table {
    pub const ALL: [Table; 3] = [Table::Intervals, Table::Readings, Table::Rejected];

    pub fn name(self) -> &'static str {
        match self {
            Table::Intervals => "intervals",
            Table::Readings => "readings",
            Table::Rejected => "rejected",
        }
    }

    /// The time that tells apart the rows of one Kafka position. A late reading L between a and b
    /// writes two intervals, a→L and L→b, both at the position of L; elsewhere a position is one row.
    pub(crate) fn row_time(self) -> Option<&'static str> {
        match self {
            Table::Intervals => Some("end_time"),
            Table::Readings | Table::Rejected => None,
        }
    }

    /// The part of the sorting key beside client and device. Rows that share a key are one row to a
    /// reader: the one of the highest version. Rejected rows are keyed by their position, so that
    /// there nothing but the row itself can stand in its place.
    pub(crate) fn key(self) -> Option<Key> {
        match self {
            Table::Intervals => Some(Key { tag: "source", time: "end_time" }),
            Table::Readings => Some(Key { tag: "in_chain", time: "timestamp" }),
            Table::Rejected => None,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Columns of a sorting key that differ from table to table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub tag: &'static str,
    pub time: &'static str,
}
