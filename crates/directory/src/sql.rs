//! Pieces of SQL that both databases read alike.

use std::fmt::Write as _;

use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

pub(crate) type AnyQuery<'q> = Query<'q, Any, AnyArguments>;

/// What is bound for a number that is absent; no number of a site or device is negative.
const ABSENT: f64 = -1.0;

/// The expression for a number's parameter.
///
/// An absent number is bound as one that cannot be and made null in the statement. Bound as a null it would
/// go to Postgres as a single-precision parameter, and the prepared statement would take nothing else after.
pub(crate) fn number_parameter(place: usize) -> String {
    format!("NULLIF(${place}, -1)")
}

pub(crate) fn bind_number(query: AnyQuery<'_>, number: Option<f64>) -> AnyQuery<'_> {
    query.bind(number.unwrap_or(ABSENT))
}

/// Appends `column = parameter` for each column, from this place on, with commas between.
pub(crate) fn push_assignments<'a>(
    sql: &mut String,
    columns: impl IntoIterator<Item = &'a str>,
    is_number: impl Fn(&str) -> bool,
    first_place: usize,
) {
    for (place, column) in (first_place..).zip(columns) {
        let comma = if place == first_place { "" } else { ", " };
        let _ = match is_number(column) {
            true => write!(sql, "{comma}{column} = {}", number_parameter(place)),
            false => write!(sql, "{comma}{column} = ${place}"),
        };
    }
}
