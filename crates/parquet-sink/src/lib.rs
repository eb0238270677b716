//! Rows into Parquet files that appear whole or not at all, in a folder or in an object store. This crate
//! owns the names of the files, how they come into being, how they are encoded. It must not know Kafka, HTTP
//! or ClickHouse, nor how rows come about: a batch is an Arrow `RecordBatch`, the same that goes to
//! ClickHouse, and carries the position columns `_offset` (`Int64`) and `_index` (`Int32`).
//!
//! ```text
//! <root>/kind=intervals/day=2026-11-24/<topic>-<partition>-<first>-<last>.parquet
//! <root>/.tmp/<topic>-<partition>-<kind>-<first>.<unique>
//! ```
//!
//! An object store has the same names, and nothing under way: rows gather in a file of this machine that has
//! no name, and the object is put whole.
//!
//! A file holds the rows of the Kafka offsets `first..=last` of one partition. Its day is the UTC
//! day on which the first of these records was received. The same range has the same rows, so a
//! file that is there already stands for a second attempt at it.
//!
//! All calls block, and must not be made where a runtime runs its tasks.

mod bucket;
mod encode;
mod error;
mod folder;
mod metrics;
mod moved;
mod name;
mod part;
mod read;
mod rehearse;
mod replacement;
mod store;

pub use bucket::{Bucket, BucketSettings};
pub use error::{ParquetSinkError, Refusal};
pub use folder::Folder;
pub use metrics::describe_metrics;
pub use moved::Move;
pub use name::{Kind, StoredRange};
pub use parquet::errors::ParquetError;
pub use part::{FinishedFile, PartFile};
pub use read::{Columns, Position, StoredInterval, StoredPoint, Texts, derived_intervals, points, rows};
pub use rehearse::Space;
pub use replacement::Replacement;
pub use store::Store;
