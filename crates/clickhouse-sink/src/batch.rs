//! What the sink reads out of a batch: the positions of its rows, and their keys.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch, StringArray};

use crate::error::ClickHouseError;
use crate::table::{Key, Table};

/// A row of a table, as its place in Kafka tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clickhouse::Row, serde::Deserialize)]
pub struct RowId {
    pub offset: i64,
    pub index: i32,
    /// End of the interval in ms, as one position may have written several; 0 in other tables.
    pub time_ms: i64,
}

/// The identity of every row, in the order of the batch.
pub(crate) fn row_ids(table: Table, batch: &RecordBatch) -> Result<Vec<RowId>, ClickHouseError> {
    let column = |name| column(table, batch, name);
    let wrong = |name| move || wrong_type(table, name);
    let offsets = column("_offset")?.as_primitive_opt::<Int64Type>().ok_or_else(wrong("_offset"))?;
    let indexes = column("_index")?.as_primitive_opt::<Int32Type>().ok_or_else(wrong("_index"))?;
    let times = match table.row_time() {
        None => None,
        Some(name) => {
            Some(column(name)?.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(wrong(name))?)
        }
    };
    Ok((0..batch.num_rows())
        .map(|row| RowId {
            offset: offsets.value(row),
            index: indexes.value(row),
            time_ms: times.map_or(0, |times| times.value(row)),
        })
        .collect())
}

/// Keys and versions of some rows, column by column, ready to be bound to a query.
pub(crate) struct Keys {
    pub clients: Vec<String>,
    pub devices: Vec<String>,
    pub tags: Vec<String>,
    pub times_ms: Vec<i64>,
    pub versions: Vec<u64>,
}

pub(crate) fn keys(
    table: Table,
    key: Key,
    batch: &RecordBatch,
    rows: &[usize],
) -> Result<Keys, ClickHouseError> {
    let text = |name| texts(column(table, batch, name)?, rows).ok_or_else(|| wrong_type(table, name));
    let times = column(table, batch, key.time)?
        .as_primitive_opt::<TimestampMillisecondType>()
        .ok_or_else(|| wrong_type(table, key.time))?;
    let versions = column(table, batch, "_version")?
        .as_primitive_opt::<UInt64Type>()
        .ok_or_else(|| wrong_type(table, "_version"))?;
    Ok(Keys {
        clients: text("client_id")?,
        devices: text("device_id")?,
        tags: text(key.tag)?,
        times_ms: rows.iter().map(|&row| times.value(row)).collect(),
        versions: rows.iter().map(|&row| versions.value(row)).collect(),
    })
}

/// Text of plain and of dictionary columns, whatever the width of the dictionary's keys, and of
/// Booleans as ClickHouse writes them.
fn texts(array: &dyn Array, rows: &[usize]) -> Option<Vec<String>> {
    if let Some(plain) = array.as_string_opt::<i32>() {
        return Some(rows.iter().map(|&row| plain.value(row).to_owned()).collect());
    }
    if let Some(flags) = array.as_boolean_opt() {
        return Some(rows.iter().map(|&row| flags.value(row).to_string()).collect());
    }
    let dictionary = array.as_any_dictionary_opt()?;
    let values: &StringArray = dictionary.values().as_string_opt::<i32>()?;
    let keys = dictionary.normalized_keys();
    Some(rows.iter().map(|&row| values.value(keys[row]).to_owned()).collect())
}

fn column<'a>(table: Table, batch: &'a RecordBatch, name: &str) -> Result<&'a dyn Array, ClickHouseError> {
    match batch.column_by_name(name) {
        Some(array) => Ok(array.as_ref()),
        None => Err(ClickHouseError::bad_batch(table, format!("column {name} is missing"))),
    }
}

fn wrong_type(table: Table, name: &str) -> ClickHouseError {
    ClickHouseError::bad_batch(table, format!("column {name} has another type than the table"))
}
