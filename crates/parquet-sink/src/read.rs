//! Reading positions back, for the audit.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use crate::error::ParquetSinkError;

const OFFSET: &str = "_offset";
const INDEX: &str = "_index";

/// The place of a point in its Kafka partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub offset: i64,
    pub index: i32,
}

/// The positions of all rows of a file, in the order of the file; reads two columns only.
pub fn positions(path: &Path) -> Result<Vec<Position>, ParquetSinkError> {
    let file = File::open(path).map_err(|error| ParquetSinkError::io("open", path, error))?;
    read(file).map_err(|error| ParquetSinkError::parquet("read", path, error))
}

fn read(file: File) -> Result<Vec<Position>, ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [OFFSET, INDEX]);
    let mut positions = Vec::with_capacity(builder.metadata().file_metadata().num_rows() as usize);
    for batch in builder.with_projection(mask).with_batch_size(65_536).build()? {
        let batch = batch?;
        let column = |name: &str| {
            batch
                .column_by_name(name)
                .ok_or_else(|| ParquetError::General(format!("column {name} is missing")))
        };
        let wrong = |name: &str| ParquetError::General(format!("column {name} has another type"));
        let offsets = column(OFFSET)?.as_primitive_opt::<Int64Type>().ok_or_else(|| wrong(OFFSET))?;
        let indexes = column(INDEX)?.as_primitive_opt::<Int32Type>().ok_or_else(|| wrong(INDEX))?;
        positions.extend(
            offsets.values().iter().zip(indexes.values()).map(|(&offset, &index)| Position { offset, index }),
        );
    }
    Ok(positions)
}
