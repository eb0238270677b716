//! What this sink tells about itself.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use crate::error::ParquetSinkError;
use crate::name::Kind;

const ROWS: &str = "wattline_parquet_rows_total";
const BYTES: &str = "wattline_parquet_bytes_total";
const FILES: &str = "wattline_parquet_files_total";
const FINISH_SECONDS: &str = "wattline_parquet_finish_seconds";
const ERRORS: &str = "wattline_parquet_errors_total";

/// Gives every metric of this crate its help text. Call once, after the recorder is installed.
pub fn describe_metrics() {
    describe_counter!(ROWS, "Rows in finished Parquet files, by kind.");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of finished Parquet files, by kind.");
    describe_counter!(
        FILES,
        "Parquet files by kind and outcome: written, or kept because the range was there already."
    );
    describe_histogram!(
        FINISH_SECONDS,
        Unit::Seconds,
        "Time to close a Parquet file and rename or put it into its place."
    );
    describe_counter!(ERRORS, "Failures under Parquet, by kind of failure.");
}

pub(crate) fn file_finished(kind: Kind, rows: u64, bytes: u64, took: Duration) {
    counter!(ROWS, "kind" => kind.as_str()).increment(rows);
    counter!(BYTES, "kind" => kind.as_str()).increment(bytes);
    counter!(FILES, "kind" => kind.as_str(), "outcome" => "written").increment(1);
    histogram!(FINISH_SECONDS, "kind" => kind.as_str()).record(took.as_secs_f64());
}

pub(crate) fn file_kept(kind: Kind) {
    counter!(FILES, "kind" => kind.as_str(), "outcome" => "kept").increment(1);
}

pub(crate) fn failed(error: &ParquetSinkError) {
    counter!(ERRORS, "kind" => error.kind()).increment(1);
}
