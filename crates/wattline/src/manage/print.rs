//! How a command prints: lists as a table or as JSON, one result alone on standard output, and words to a
//! person on standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, StdoutLock, Write as _, stderr, stdout};
use std::marker::PhantomData;

use jiff::Timestamp;
use serde_json::Value;

/// One row of a list.
pub(super) trait Row {
    /// The headings of the columns and their widths; the last column is as wide as its text.
    const COLUMNS: &'static [(&'static str, usize)];

    /// A text for each column.
    fn cells(&self) -> Vec<String>;

    fn json(&self) -> Value;
}

/// A list that is printed row by row, so that a long one takes no memory.
pub(super) struct List<R> {
    out: BufWriter<StdoutLock<'static>>,
    as_json: bool,
    rows: u64,
    of: PhantomData<R>,
}

impl<R: Row> List<R> {
    pub(super) fn begin(as_json: bool) -> io::Result<Self> {
        let out = BufWriter::new(stdout().lock());
        let mut list = Self { out, as_json, rows: 0, of: PhantomData };
        if as_json {
            list.out.write_all(b"[")?;
        } else {
            list.line(R::COLUMNS.iter().map(|(heading, _)| heading))?;
        }
        Ok(list)
    }

    pub(super) fn row(&mut self, row: &R) -> io::Result<()> {
        if self.as_json {
            let separator = if self.rows == 0 { "\n" } else { ",\n" };
            write!(self.out, "{separator}{}", row.json())?;
        } else {
            self.line(row.cells().iter())?;
        }
        self.rows += 1;
        Ok(())
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        if self.as_json {
            self.out.write_all(if self.rows == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()
    }

    fn line(&mut self, cells: impl Iterator<Item = impl Display>) -> io::Result<()> {
        let last = R::COLUMNS.len() - 1;
        for (place, (cell, (_, width))) in cells.zip(R::COLUMNS).enumerate() {
            if place == last {
                writeln!(self.out, "{cell}")?;
            } else {
                write!(self.out, "{cell:<width$} ")?;
            }
        }
        Ok(())
    }
}

/// Prints a list that is there as a whole.
pub(super) fn list<R: Row>(rows: &[R], as_json: bool) -> io::Result<()> {
    let mut list = List::begin(as_json)?;
    for row in rows {
        list.row(row)?;
    }
    list.end()
}

/// Prints what a command has made: its text alone, or JSON that says more.
pub(super) fn result(text: &str, json: &Value, as_json: bool) -> io::Result<()> {
    if as_json { writeln!(stdout(), "{json:#}") } else { writeln!(stdout(), "{text}") }
}

/// Says something to a person.
pub(super) fn say(words: impl Display) -> io::Result<()> {
    writeln!(stderr(), "{words}")
}

/// A time in a table.
pub(super) fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| format!("{at:.0}"))
}

/// A time in JSON.
pub(super) fn json_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}
