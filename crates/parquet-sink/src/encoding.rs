//! How columns are encoded and compressed. Chosen by measuring a simulated fleet whose devices
//! report in random order, 1,000 rows a batch: dictionaries of energies and powers cost a
//! third more time than their delta encodings, and saved one of 32 bytes a point. zstd 3 in place of 1
//! saved less than a hundredth.

use arrow_schema::{DataType, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Written into every file; raised when names, types or meanings of columns change.
pub(crate) const FORMAT_VERSION: &str = "1";

const ZSTD_LEVEL: i32 = 1;
/// A quantity with more distinct values than this holds, 8 bytes each, is better off without a
/// dictionary, and the sooner the better.
const QUANTITY_DICTIONARY_BYTES_MAX: usize = 64 * 1024;

/// A page is held uncompressed until it is full, and each open file has one of every column.
const PAGE_ROWS_MAX: usize = 10_000;

pub(crate) fn properties(schema: &Schema) -> Result<WriterProperties, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("wattline ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        // Times and positions have them: nobody skips a row group by the least and the largest of anything else.
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_row_count_limit(PAGE_ROWS_MAX)
        // Row groups end by size, in `PartFile::append`.
        .set_max_row_group_row_count(None);
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        properties = match field.data_type() {
            // Times and positions run on from row to row.
            DataType::Timestamp(..) | DataType::Int64 | DataType::Int32 | DataType::UInt64 => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column.clone(), Encoding::DELTA_BINARY_PACKED)
                .set_column_statistics_enabled(column, EnabledStatistics::Chunk),
            // Energies and powers hardly ever repeat.
            DataType::Decimal64(..) if hardly_repeats(field.name()) => properties
                .set_column_dictionary_enabled(column.clone(), false)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            // Other quantities often do; the encoding is for those that do not.
            DataType::Decimal64(..) => properties
                .set_column_dictionary_page_size_limit(column.clone(), QUANTITY_DICTIONARY_BYTES_MAX)
                .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED),
            _ => properties,
        };
    }
    Ok(properties.build())
}

fn hardly_repeats(name: &str) -> bool {
    name.contains("_total_energy_") || name.contains("_last_power_")
}
