//! What this sink tells about itself.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::table::Table;

const ROWS: &str = "wattline_clickhouse_rows_total";
const BYTES: &str = "wattline_clickhouse_insert_bytes_total";
const INSERT_SECONDS: &str = "wattline_clickhouse_insert_seconds";
const LOOKUP_SECONDS: &str = "wattline_clickhouse_lookup_seconds";
const LOOKUP_DEVICES: &str = "wattline_clickhouse_lookup_devices_total";
const VERIFIED: &str = "wattline_clickhouse_verified_rows_total";
const ERRORS: &str = "wattline_clickhouse_errors_total";

/// Gives every metric of this crate its help text. Call once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(ROWS, "Rows inserted into ClickHouse, by table.");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of insert bodies sent to ClickHouse, by table.");
    describe_histogram!(
        INSERT_SECONDS,
        Unit::Seconds,
        "Time of an insert, from encoding to answer, by table."
    );
    describe_histogram!(LOOKUP_SECONDS, Unit::Seconds, "Time of a look-up of neighbouring readings.");
    describe_counter!(LOOKUP_DEVICES, "Devices whose neighbouring readings were looked up.");
    describe_counter!(
        VERIFIED,
        "Rows looked for after a doubt, by table and whether they were found or missing."
    );
    describe_counter!(ERRORS, "Statements that failed, by what was done and kind of failure.");
}

pub(crate) fn inserted(table: Table, rows: usize, bytes: usize, took: Duration) {
    counter!(ROWS, "table" => table.name()).increment(rows as u64);
    counter!(BYTES, "table" => table.name()).increment(bytes as u64);
    histogram!(INSERT_SECONDS, "table" => table.name()).record(took.as_secs_f64());
}

pub(crate) fn looked_up(devices: usize, took: Duration) {
    counter!(LOOKUP_DEVICES).increment(devices as u64);
    histogram!(LOOKUP_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn verified(table: Table, found: usize, missing: usize) {
    counter!(VERIFIED, "table" => table.name(), "outcome" => "found").increment(found as u64);
    counter!(VERIFIED, "table" => table.name(), "outcome" => "missing").increment(missing as u64);
}

pub(crate) fn failed(during: &'static str, kind: &'static str) {
    counter!(ERRORS, "during" => during, "kind" => kind).increment(1);
}
