//! A database of its own for each test, and batches with every column.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Decimal128Builder, StringBuilder, StringDictionaryBuilder,
    TimestampMillisecondBuilder,
};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, UInt64Array};
use arrow_schema::{Field, Schema};
use wattline_clickhouse_sink::{ClickHouse, Settings, Table};

pub const TOPIC: &str = "wattline.counters";
pub const T0: i64 = 1_795_000_000_000;
pub const MINUTES_5: i64 = 300_000;

/// A migrated database, and a plain client for asking it by hand.
pub struct Database {
    pub sink: ClickHouse,
    pub client: clickhouse::Client,
}

impl Database {
    pub async fn ask(&self, sql: &str) -> Vec<String> {
        self.client.query(sql).fetch_all().await.expect(sql)
    }
    /// How many rows a reader sees.
    pub async fn seen(&self, table: Table) -> String {
        self.ask(&format!("SELECT toString(count()) FROM {table} FINAL")).await.concat()
    }
    pub async fn run(&self, sql: &str) {
        self.client.query(sql).execute().await.expect(sql);
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
pub fn url() -> String {
    std::env::var("WATTLINE_TEST_CLICKHOUSE").expect(
        "WATTLINE_TEST_CLICKHOUSE names no ClickHouse. `cargo xtask test` starts one; to run this test \
         alone: python3 deploy/local/clickhouse/server.py --port 18123 --data target/test-clickhouse, \
         then WATTLINE_TEST_CLICKHOUSE=http://127.0.0.1:18123",
    )
}

pub fn settings(database: &str) -> Settings {
    Settings {
        url: url(),
        tls_ca_file: None,
        database: database.to_owned(),
        user: String::new(),
        password: String::new(),
        request_timeout: Duration::from_secs(60),
    }
}

/// Runs a test over a fresh database and drops it, unless the test failed: then it can be looked at.
pub fn with_database<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Database) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let database = format!("test_{name}_{}", std::process::id());
        let server = clickhouse::Client::default().with_url(url());
        let drop = format!("DROP DATABASE IF EXISTS {database}");
        server.query(&drop).execute().await.expect("the test ClickHouse answers");
        let sink = ClickHouse::new(settings(&database)).expect("a client");
        sink.migrate().await.unwrap();
        test(Database { sink, client: server.clone().with_database(&database) }).await;
        server.query(&drop).execute().await.unwrap();
    });
}

/// A counter reading, or the interval that ends at it.
#[derive(Clone)]
pub struct Row {
    pub client: &'static str,
    pub device: String,
    pub time_ms: i64,
    pub counters: [Option<i128>; 4],
    pub offset: i64,
    pub index: i32,
}

impl Row {
    pub fn new(device: &str, time_ms: i64, counter: i128, offset: i64, index: i32) -> Self {
        Row {
            client: "demo",
            device: device.to_owned(),
            time_ms,
            counters: [counter, counter + 1, counter + 2, counter + 3].map(Some),
            offset,
            index,
        }
    }
}

struct Columns(Vec<(Field, ArrayRef)>);

impl Columns {
    fn add(&mut self, name: &str, nullable: bool, array: impl Into<ArrayRef>) {
        let array = array.into();
        self.0.push((Field::new(name, array.data_type().clone(), nullable), array));
    }
    fn array(&mut self, name: &str, nullable: bool, array: impl arrow_array::Array + 'static) {
        self.add(name, nullable, Arc::new(array) as ArrayRef);
    }
    fn names<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        let mut builder = StringDictionaryBuilder::<Int32Type>::new();
        values.for_each(|value| builder.append_value(value));
        self.array(name, false, builder.finish());
    }
    fn word<'a>(&mut self, name: &str, nullable: bool, values: impl Iterator<Item = Option<&'a str>>) {
        let mut builder = StringDictionaryBuilder::<Int8Type>::new();
        values.for_each(|value| builder.append_option(value));
        self.array(name, nullable, builder.finish());
    }
    fn time(&mut self, name: &str, values: impl Iterator<Item = i64>) {
        let mut builder = TimestampMillisecondBuilder::new().with_timezone("UTC");
        values.for_each(|value| builder.append_value(value));
        self.array(name, false, builder.finish());
    }
    fn decimal(&mut self, name: &str, values: impl Iterator<Item = Option<i128>>) {
        let mut builder = Decimal128Builder::new().with_precision_and_scale(18, 3).unwrap();
        values.for_each(|value| builder.append_option(value));
        self.array(name, true, builder.finish());
    }
    fn flag(&mut self, name: &str, nullable: bool, values: impl Iterator<Item = Option<bool>>) {
        let mut builder = BooleanBuilder::new();
        values.for_each(|value| builder.append_option(value));
        self.array(name, nullable, builder.finish());
    }
    fn last(&mut self, rows: &[Row]) {
        self.flag("last_is_online", false, rows.iter().map(|_| Some(true)));
        self.flag("last_is_grid_online", true, rows.iter().map(|row| (row.index > 0).then_some(false)));
        self.word("last_mode", true, rows.iter().map(|row| (row.index == 0).then_some("STANDBY")));
        for name in [
            "battery_last_power_charge_w",
            "battery_last_power_discharge_w",
            "battery_last_stored_energy_wh",
            "battery_last_capacity_energy_wh",
            "home_last_power_w",
            "solar_last_power_w",
            "battery_last_state_of_charge_percentage",
            "battery_last_state_of_health_percentage",
            "battery_last_backup_reserve_percentage",
        ] {
            let absent = name.ends_with("reserve_percentage");
            self.decimal(name, rows.iter().map(|row| (!absent).then_some(1_500 + i128::from(row.index))));
        }
        let mut raw = StringBuilder::new();
        rows.iter().for_each(|row| raw.append_option((row.index == 1).then_some(r#"{"a":"ü?'\\"}"#)));
        self.array("oem_raw_data", true, raw.finish());
    }
    fn place(&mut self, rows: &[Row]) {
        self.names("_topic", rows.iter().map(|_| TOPIC));
        self.array("_partition", false, Int32Array::from_iter_values(rows.iter().map(|_| 3)));
        self.array("_offset", false, Int64Array::from_iter_values(rows.iter().map(|row| row.offset)));
        self.array("_index", false, Int32Array::from_iter_values(rows.iter().map(|row| row.index)));
        let version = |row: &Row| row.offset as u64 * 1024 + row.index as u64;
        self.array("_version", false, UInt64Array::from_iter_values(rows.iter().map(version)));
    }
    fn batch(self) -> RecordBatch {
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = self.0.into_iter().unzip();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }
}

const ENERGIES: [&str; 4] = [
    "battery_total_energy_charge",
    "battery_total_energy_discharge",
    "home_total_energy",
    "solar_total_energy",
];

pub fn readings(rows: &[Row]) -> RecordBatch {
    let mut columns = Columns(Vec::new());
    columns.names("client_id", rows.iter().map(|row| row.client));
    let mut devices = StringBuilder::new();
    rows.iter().for_each(|row| devices.append_value(&row.device));
    columns.array("device_id", false, devices.finish());
    columns.time("timestamp", rows.iter().map(|row| row.time_ms));
    columns.flag("in_chain", false, rows.iter().map(|row| Some(row.counters[0].is_some())));
    for (n, name) in ENERGIES.iter().enumerate() {
        columns.decimal(&format!("{name}_wh"), rows.iter().map(|row| row.counters[n]));
    }
    columns.last(rows);
    for name in ["limit_battery_charge_w", "limit_battery_discharge_w", "limit_home_w", "limit_solar_w"] {
        columns.array(name, false, Int64Array::from_iter_values(rows.iter().map(|_| 5_000)));
    }
    columns.decimal("counter_modulus_wh", rows.iter().map(|row| (row.index == 2).then_some(1_000_000_000)));
    columns.time("received_at", rows.iter().map(|row| row.time_ms + 1_234));
    columns.place(rows);
    columns.batch()
}

pub fn intervals(rows: &[Row]) -> RecordBatch {
    let mut columns = Columns(Vec::new());
    columns.names("client_id", rows.iter().map(|row| row.client));
    let mut devices = StringBuilder::new();
    rows.iter().for_each(|row| devices.append_value(&row.device));
    columns.array("device_id", false, devices.finish());
    columns.word("source", false, rows.iter().map(|_| Some("COUNTER")));
    columns.time("start_time", rows.iter().map(|row| row.time_ms - MINUTES_5));
    columns.time("end_time", rows.iter().map(|row| row.time_ms));
    for (n, name) in ENERGIES.iter().enumerate() {
        columns.decimal(&format!("{name}_wh"), rows.iter().map(|row| row.counters[n]));
    }
    for name in ENERGIES {
        columns.word(&format!("{name}_quality"), false, rows.iter().map(|_| Some("VALID")));
    }
    columns.flag("gap", false, rows.iter().map(|_| Some(false)));
    columns.last(rows);
    columns.time("received_at", rows.iter().map(|row| row.time_ms + 1_234));
    columns.place(rows);
    columns.batch()
}

pub fn rejected(rows: &[Row], record: &[u8]) -> RecordBatch {
    let mut columns = Columns(Vec::new());
    columns.names("reason", rows.iter().map(|_| "UNDECODABLE"));
    columns.time("rejected_at", rows.iter().map(|row| row.time_ms));
    let mut records = BinaryBuilder::new();
    rows.iter().for_each(|_| records.append_value(record));
    columns.array("record", false, records.finish());
    columns.place(rows);
    columns.batch()
}
