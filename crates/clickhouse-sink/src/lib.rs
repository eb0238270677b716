//! Batches of rows into ClickHouse, verified, and the few questions the worker and the audit ask of
//! it. This crate owns the SQL: the migrations under `deploy/clickhouse/`, the inserts, the look-ups.
//! It must not know Kafka or HTTP servers, nor how rows come about: a batch is an Arrow
//! `RecordBatch` whose columns are named and typed as the table says.
//!
//! **Columns.** A batch carries every column of its table, in any order, with these Arrow types. A
//! column that is not `Nullable` in ClickHouse is a field with `nullable = false`.
//!
//! | ClickHouse | Arrow | columns |
//! | --- | --- | --- |
//! | `LowCardinality(String)` | `Dictionary(Int32 or Int8, Utf8)` | client_id, source, *_quality, reason, _topic |
//! | `LowCardinality(Nullable(String))` | the same, with null keys | last_mode |
//! | `String` | `Utf8` | device_id |
//! | `Nullable(String)` | `Utf8` | oem_raw_data |
//! | `String` | `Binary` | record |
//! | `DateTime64(3, 'UTC')` | `Timestamp(Millisecond, "UTC")` | start_time, end_time, timestamp, received_at, rejected_at |
//! | `Nullable(Decimal(18, 3))` | `Decimal64(18, 3)` | energies, counters, last_*, counter_modulus_wh |
//! | `Bool`, `Nullable(Bool)` | `Boolean` | gap, last_is_online, in_chain, last_is_grid_online |
//! | `Int64`, `Int32`, `UInt64` | the same | limit_*_w, _offset; _partition, _index; _version |
//!
//! **Rows of a range.** A batch is a range of offsets of one Kafka partition, and its rows are the
//! same whenever it is made again. [`ClickHouse::insert`] writes it once under a deduplication
//! token; after any doubt [`ClickHouse::insert_missing`] looks which rows are there.

mod audit;
mod batch;
mod client;
mod devices;
mod error;
mod examine;
mod insert;
mod metrics;
mod migrate;
mod neighbours;
mod post;
mod rejected;
mod replacement;
mod retention;
mod table;
mod tls;

pub use audit::{RejectedPosition, StoredInterval, StoredPoint};
pub use batch::RowId;
pub use client::{ClickHouse, Settings};
pub use devices::PublishedDevice;
pub use error::{ClickHouseError, Source};
pub use examine::ServerState;
pub use insert::{Range, Verified, arrow_stream};
pub use metrics::describe_metrics;
pub use migrate::MigrateError;
pub use neighbours::{Around, DisplacedReading, StoredReading, Thousandths};
pub use rejected::{RejectedFilter, RejectedPlace, RejectedRow};
pub use replacement::{Left, Replacement};
pub use retention::Retention;
pub use table::Table;
pub use tls::{TlsError, trust};
