//! What was measured: a row a figure, as a table for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

/// A figure. What is compared is the value with the limit; both have the same unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    pub value: Option<f64>,
    pub unit: &'static str,
    pub limit: Option<Limit>,
    /// A figure of the same run, and how many times it the value is.
    pub ratio_to: Option<RatioTo>,
    /// Null where there is no limit or no value.
    pub ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RatioTo {
    pub name: String,
    pub value: f64,
    pub ratio: f64,
}

impl Row {
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Row {
        Row { name: name.into(), value: Some(value), unit, limit: None, ratio_to: None, ok: None, note: None }
    }

    pub fn not_measured(name: impl Into<String>, unit: &'static str, why: &str) -> Row {
        let note = Some(format!("not measured: {why}"));
        Row { name: name.into(), value: None, unit, limit: None, ratio_to: None, ok: None, note }
    }

    pub fn at_most(self, limit: f64) -> Row {
        self.limited(Limit::AtMost(limit))
    }

    pub fn at_least(self, limit: f64) -> Row {
        self.limited(Limit::AtLeast(limit))
    }

    /// At most so many times the value of another row.
    pub fn at_most_times(self, times: f64, other: &Row) -> Row {
        let base = other.value.unwrap_or(f64::NAN);
        self.related_to(other).limited(Limit::AtMost(times * base))
    }

    /// With the ratio to another row.
    pub fn related_to(mut self, other: &Row) -> Row {
        let base = other.value.unwrap_or(f64::NAN);
        let ratio = self.value.unwrap_or(f64::NAN) / base;
        self.ratio_to = Some(RatioTo { name: other.name.clone(), value: base, ratio });
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Row {
        self.note = Some(note.into());
        self
    }

    fn limited(mut self, limit: Limit) -> Row {
        let holds = |value: f64| match limit {
            Limit::AtMost(limit) => value <= limit,
            Limit::AtLeast(limit) => value >= limit,
        };
        // A row with two limits holds both; the last one is shown.
        let earlier = self.ok.unwrap_or(true);
        self.ok = self.value.map(|value| earlier && holds(value));
        self.limit = Some(limit);
        self
    }
}

/// The rows one below the other, with what is wrong marked.
pub fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let mut table = format!("{:<width$}  {:>12} {:<16} {:>14}  \n", "", "value", "unit", "limit");
    for row in rows {
        let value = row.value.map_or("–".to_owned(), figure);
        let limit = match row.limit {
            Some(Limit::AtMost(limit)) => format!("≤ {}", figure(limit)),
            Some(Limit::AtLeast(limit)) => format!("≥ {}", figure(limit)),
            None => String::new(),
        };
        let ok = match row.ok {
            Some(true) => "ok",
            Some(false) => "NOT OK",
            None => "",
        };
        let _ = write!(table, "{:<width$}  {value:>12} {:<16} {limit:>14}  {ok:<6}", row.name, row.unit);
        if let Some(RatioTo { name, ratio, .. }) = &row.ratio_to {
            let _ = write!(table, "  {ratio:.2} × {name}");
        }
        if let Some(note) = &row.note {
            let _ = write!(table, "  ({note})");
        }
        table.truncate(table.trim_end().len());
        table.push('\n');
    }
    table
}

/// Three digits that count, or all of a larger number.
fn figure(value: f64) -> String {
    let digits = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        _ if value == 0.0 => 0,
        _ => 3,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_ok_where_its_value_keeps_all_its_limits() {
        let base = Row::new("bare", 0.5, "µs");
        assert_eq!(Row::new("a", 0.9, "µs").at_most_times(1.8, &base).ok, Some(true));
        assert_eq!(Row::new("a", 0.91, "µs").at_most_times(1.8, &base).ok, Some(false));
        assert_eq!(Row::new("a", 25_000.0, "1/s").at_least(25_000.0).ok, Some(true));
        assert_eq!(Row::new("a", 24_999.0, "1/s").at_least(25_000.0).ok, Some(false));
        assert_eq!(Row::new("a", 2.0, "").at_most(1.0).at_most(3.0).ok, Some(false));
        assert_eq!(Row::new("a", 2.0, "").ok, None);
        assert_eq!(Row::not_measured("a", "µs", "no bench").at_most(1.0).ok, None);
        assert_eq!(Row::new("a", f64::NAN, "µs").at_most(1.0).ok, Some(false));
    }

    #[test]
    fn the_table_says_what_is_wrong() {
        let base = Row::new("bare", 0.5, "µs");
        let rows = [Row::new("gateway", 1.234, "µs").at_most_times(1.8, &base), base];
        let table = table(&rows);
        let line = table.lines().nth(1).expect("a line");
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words, ["gateway", "1.23", "µs", "≤", "0.900", "NOT", "OK", "2.47", "×", "bare"]);
    }
}
