//! What the sinks hold, as text: a row of ClickHouse and the same row of Parquet read alike.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type, TimestampMillisecondType, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::http;
use crate::points::table_time;
use crate::site::{Site, files_below};

/// Of the rows that one sink lacks.
const ROWS_SHOWN: usize = 2;

/// A row by the names of its columns; none is null.
pub type Row = BTreeMap<String, Option<String>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Intervals,
    Readings,
}

impl Table {
    pub fn name(self) -> &'static str {
        match self {
            Table::Intervals => "intervals",
            Table::Readings => "readings",
        }
    }

    /// What tells a row apart.
    fn key(self) -> [&'static str; 4] {
        match self {
            Table::Intervals => ["client_id", "device_id", "source", "end_time"],
            Table::Readings => ["client_id", "device_id", "timestamp", "in_chain"],
        }
    }
}

/// The value of a column that is not null.
#[track_caller]
pub fn value<'a>(row: &'a Row, column: &str) -> &'a str {
    let value = row.get(column).unwrap_or_else(|| panic!("no column {column} in {row:?}"));
    value.as_deref().unwrap_or_else(|| panic!("{column} is null in {row:?}"))
}

/// A decimal of the tables in thousandths.
#[track_caller]
pub fn thousandths(row: &Row, column: &str) -> i64 {
    let text = value(row, column);
    let (whole, fraction) = text.split_once('.').unwrap_or_else(|| panic!("{column} is {text}"));
    assert_eq!(fraction.len(), 3, "{column} is {text}");
    format!("{whole}{fraction}").parse().unwrap_or_else(|_| panic!("{column} is {text}"))
}

impl Site {
    /// Runs a query; the rows come as JSON.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<Row> {
        let url = format!(
            "{}/?database={}&output_format_json_quote_decimals=1&output_format_decimal_trailing_zeros=1",
            self.clickhouse,
            self.database()
        );
        let text = http::post_text(&url, &format!("{sql} FORMAT JSONEachRow"));
        let rows = text.lines().map(|line| {
            let columns: Map<String, Value> = serde_json::from_str(line).expect("a row");
            columns.into_iter().map(|(name, value)| (name, plain(value))).collect()
        });
        rows.collect()
    }

    /// The one value of a query that gives one.
    #[track_caller]
    pub fn ask(&self, sql: &str) -> String {
        let rows = self.query(sql);
        let value = rows.first().and_then(|row| row.values().next().cloned().flatten());
        value.unwrap_or_else(|| panic!("{sql} gave {rows:?}"))
    }

    /// Every row that lies in a Parquet file, replaced ones too. No columns means all.
    pub fn parquet_rows(&self, table: Table, columns: &[&str]) -> Vec<Row> {
        let mut rows = Vec::new();
        for path in files_below(&self.parquet().join(format!("kind={}", table.name()))) {
            let file = File::open(&path).expect("a Parquet file");
            let mut builder = ParquetRecordBatchReaderBuilder::try_new(file)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if !columns.is_empty() {
                let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
                builder = builder.with_projection(mask);
            }
            for batch in builder.build().expect("a reader") {
                rows.extend(rows_of(&batch.expect("a batch")));
            }
        }
        rows
    }

    /// The rows that a reader of either sink sees, which have to be the same. In Parquet no place of Kafka may
    /// give a row twice.
    #[track_caller]
    pub fn rows(&self, table: Table, columns: &[&str]) -> Vec<Row> {
        let mut wanted: BTreeSet<&str> = columns.iter().copied().collect();
        if !columns.is_empty() {
            wanted.extend(table.key());
            wanted.extend(["_topic", "_partition", "_offset", "_index", "_version"]);
        }
        let wanted: Vec<&str> = wanted.into_iter().collect();
        let list = if wanted.is_empty() { "*".to_owned() } else { wanted.join(", ") };
        let seen = self.query(&format!("SELECT {list} FROM {} FINAL", table.name()));
        let rows = seen.len();
        let seen: BTreeSet<Row> = seen.into_iter().collect();
        assert_eq!(seen.len(), rows, "a reader of ClickHouse sees a row twice");

        let mut latest = BTreeMap::<Vec<String>, Row>::new();
        let mut versions = BTreeSet::new();
        for row in self.parquet_rows(table, &wanted) {
            let key: Vec<String> = table.key().iter().map(|name| value(&row, name).to_owned()).collect();
            let version: u64 = value(&row, "_version").parse().expect("a version");
            let place = ["_topic", "_partition"].map(|name| value(&row, name).to_owned());
            assert!(versions.insert((key.clone(), place, version)), "twice in Parquet: {row:?}");
            let newer = latest
                .get(&key)
                .is_none_or(|known| value(known, "_version").parse::<u64>().expect("a version") < version);
            if newer {
                latest.insert(key, row);
            }
        }
        let latest: BTreeSet<Row> = latest.into_values().collect();
        let only = |these: &BTreeSet<Row>, those: &BTreeSet<Row>| -> Vec<Row> {
            these.difference(those).take(ROWS_SHOWN).cloned().collect()
        };
        assert!(
            seen == latest,
            "{} rows in ClickHouse and {} in Parquet; only in ClickHouse: {:#?}; only in Parquet: {:#?}",
            seen.len(),
            latest.len(),
            only(&seen, &latest),
            only(&latest, &seen)
        );
        seen.into_iter().collect()
    }
}

fn plain(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let mut rows = vec![Row::new(); batch.num_rows()];
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        for (row, text) in rows.iter_mut().zip(texts(column.as_ref())) {
            row.insert(field.name().clone(), text);
        }
    }
    rows
}

fn texts(column: &dyn Array) -> Vec<Option<String>> {
    let each = |text: &dyn Fn(usize) -> String| -> Vec<Option<String>> {
        (0..column.len()).map(|row| column.is_valid(row).then(|| text(row))).collect()
    };
    match column.data_type() {
        DataType::Utf8 => each(&|row| column.as_string::<i32>().value(row).to_owned()),
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let (keys, values) = (dictionary.normalized_keys(), dictionary.values().as_string::<i32>());
            each(&|row| values.value(keys[row]).to_owned())
        }
        DataType::Boolean => each(&|row| column.as_boolean().value(row).to_string()),
        DataType::Int32 => each(&|row| column.as_primitive::<Int32Type>().value(row).to_string()),
        DataType::Int64 => each(&|row| column.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::UInt64 => each(&|row| column.as_primitive::<UInt64Type>().value(row).to_string()),
        DataType::Timestamp(TimeUnit::Millisecond, Some(zone)) if &**zone == "UTC" => {
            each(&|row| table_time(column.as_primitive::<TimestampMillisecondType>().value(row)))
        }
        DataType::Decimal128(18, 3) => {
            each(&|row| decimal(column.as_primitive::<Decimal128Type>().value(row)))
        }
        other => panic!("no column of the tables has the type {other}"),
    }
}

fn decimal(thousandths: i128) -> String {
    let (sign, digits) = (if thousandths < 0 { "-" } else { "" }, thousandths.unsigned_abs());
    format!("{sign}{}.{:03}", digits / 1_000, digits % 1_000)
}
