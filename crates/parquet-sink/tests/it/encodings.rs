//! Whatever rows a file is given, in whatever batches, any reader gets them back.

use std::fs::File;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Decimal64Builder, StringBuilder, StringDictionaryBuilder, TimestampMillisecondBuilder,
};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{Int32Array, Int64Array, RecordBatch, UInt64Array};
use parquet::basic::Encoding;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use wattline_parquet_sink::{Folder, Kind, Store};

use crate::fixture::{day, of_columns, read, whole};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 32
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// How the rows of a file are: how many of ten are null, and how many values differ.
struct Nature {
    nulls_of_ten: u64,
    different: u64,
}

/// A batch with a column of each type that the tables have.
fn batch(random: &mut Random, nature: &Nature, rows: usize) -> RecordBatch {
    let value = |random: &mut Random| random.below(nature.different);
    let is_null = |random: &mut Random| random.below(10) < nature.nulls_of_ten;
    let mut client = StringDictionaryBuilder::<Int32Type>::new();
    let mut mode = StringDictionaryBuilder::<Int8Type>::new();
    let (mut device, mut raw) = (StringBuilder::new(), StringBuilder::new());
    let mut at = TimestampMillisecondBuilder::new().with_timezone("UTC");
    let (mut flag, mut grid) = (BooleanBuilder::new(), BooleanBuilder::new());
    let decimals = || Decimal64Builder::new().with_precision_and_scale(18, 3).unwrap();
    let (mut energy, mut state) = (decimals(), decimals());
    let (mut offsets, mut indexes, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..rows {
        client.append_value(format!("client-{}", value(random) % 3));
        device.append_value(format!("bat-{}", value(random)));
        at.append_value(random.next() as i64 >> 20);
        flag.append_value(value(random) % 2 == 0);
        offsets.push(random.next() as i64);
        indexes.push(row as i32);
        versions.push(random.next() | 1 << 63);
        mode.append_option((!is_null(random)).then(|| ["CHARGE", "DISCHARGE"][value(random) as usize % 2]));
        raw.append_option((!is_null(random)).then(|| "x".repeat(value(random) as usize % 40)));
        grid.append_option((!is_null(random)).then(|| value(random) % 3 == 0));
        energy.append_option((!is_null(random)).then(|| random.next() as i64));
        state.append_option((!is_null(random)).then(|| value(random) as i64 * 1_000));
    }
    of_columns(vec![
        ("client_id", false, Arc::new(client.finish())),
        ("device_id", false, Arc::new(device.finish())),
        ("timestamp", false, Arc::new(at.finish())),
        ("in_chain", false, Arc::new(flag.finish())),
        ("battery_total_energy_charge_wh", true, Arc::new(energy.finish())),
        ("battery_last_state_of_charge_percentage", true, Arc::new(state.finish())),
        ("last_mode", true, Arc::new(mode.finish())),
        ("last_is_grid_online", true, Arc::new(grid.finish())),
        ("oem_raw_data", true, Arc::new(raw.finish())),
        ("_offset", false, Arc::new(Int64Array::from(offsets))),
        ("_index", false, Arc::new(Int32Array::from(indexes))),
        ("_version", false, Arc::new(UInt64Array::from(versions))),
    ])
}

/// Writes the batches as a file, and compares what is read back.
fn there_and_back(batches: &[RecordBatch], row_group_bytes_max: usize) -> ParquetMetaData {
    let root = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::new(root.path()).with_row_group_bytes_max(row_group_bytes_max));
    let mut part = store.open(Kind::Readings, "t", 0, 0, batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| part.append(batch).unwrap());
    let path = root.path().join(part.finish(0, day()).unwrap().name);
    let written = whole(batches);
    assert!(read(&path, written.schema()) == written, "{} rows differ", written.num_rows());
    SerializedFileReader::new(File::open(&path).unwrap()).unwrap().metadata().clone()
}

fn encodings(metadata: &ParquetMetaData, row_group: usize, column: &str) -> Vec<Encoding> {
    let columns = metadata.row_group(row_group).columns();
    let column = columns.iter().find(|found| found.column_path().string() == column).unwrap();
    column.encodings().collect()
}

#[test]
fn any_rows_come_back() {
    let natures = [0, 1, 9, 10]
        .into_iter()
        .flat_map(|nulls_of_ten| [1, 2, 300, 1_000_000].map(|different| Nature { nulls_of_ten, different }));
    for (seed, nature) in natures.enumerate() {
        let mut random = Random(seed as u64 + 1);
        // Fewer rows than a page has, a page in many batches, batches that are more than a page.
        for (batches, rows_max) in [(3, 50), (60, 400), (4, 9_000)] {
            let batches: Vec<_> = (0..batches)
                .map(|_| {
                    let rows = 1 + random.below(rows_max) as usize;
                    batch(&mut random, &nature, rows)
                })
                // A batch may be a part of another one.
                .map(|batch| batch.slice(batch.num_rows() / 7, batch.num_rows() - batch.num_rows() / 7))
                .collect();
            there_and_back(&batches, if seed % 2 == 0 { 1 << 20 } else { 50_000 });
        }
    }
}

/// A dictionary that is not worth it is left: at once where no page needs it, and for later pages where one does.
#[test]
fn a_dictionary_is_left_where_values_do_not_repeat() {
    const DEVICE: &str = "device_id";
    const STATE: &str = "battery_last_state_of_charge_percentage";
    let few = Nature { nulls_of_ten: 1, different: 100 };
    let many = Nature { nulls_of_ten: 1, different: 1_000_000 };
    let mut random = Random(1);
    let mut of = |nature: &Nature| batch(&mut random, nature, 10_000);
    let metadata = there_and_back(&[of(&many), of(&many), of(&few)], 1);
    for group in 0..3 {
        for column in [DEVICE, STATE] {
            let encodings = encodings(&metadata, group, column);
            assert!(!encodings.contains(&Encoding::RLE_DICTIONARY), "{column}: {encodings:?}");
        }
    }
    let metadata = there_and_back(&[of(&few), of(&many), of(&many), of(&many), of(&few)], 1 << 30);
    for (column, other) in [(STATE, Encoding::DELTA_BINARY_PACKED), (DEVICE, Encoding::DELTA_BYTE_ARRAY)] {
        let encodings = encodings(&metadata, 0, column);
        assert!(encodings.contains(&Encoding::RLE_DICTIONARY) && encodings.contains(&other), "{encodings:?}");
    }
    let metadata = there_and_back(&[of(&few), of(&many), of(&few)], 1);
    let with = (0..3).map(|group| encodings(&metadata, group, DEVICE).contains(&Encoding::RLE_DICTIONARY));
    assert_eq!(with.collect::<Vec<_>>(), [true, false, false]);
}

/// Whoever asks for a time or a place reads the row groups that may have it.
#[test]
fn times_and_positions_have_their_bounds() {
    let mut random = Random(3);
    let batch = batch(&mut random, &Nature { nulls_of_ten: 0, different: 5 }, 500);
    let metadata = there_and_back(std::slice::from_ref(&batch), 1 << 20);
    let group = metadata.row_group(0);
    let bounds = |name: &str| {
        let column = group.columns().iter().find(|column| column.column_path().string() == name).unwrap();
        match column.statistics() {
            Some(Statistics::Int64(bounds)) => Some((*bounds.min_opt().unwrap(), *bounds.max_opt().unwrap())),
            Some(Statistics::Int32(bounds)) => {
                Some((i64::from(*bounds.min_opt().unwrap()), i64::from(*bounds.max_opt().unwrap())))
            }
            _ => None,
        }
    };
    let offsets = batch.column_by_name("_offset").unwrap();
    let offsets = arrow_array::cast::as_primitive_array::<arrow_array::types::Int64Type>(offsets).values();
    assert_eq!(bounds("_offset"), Some((*offsets.iter().min().unwrap(), *offsets.iter().max().unwrap())));
    assert_eq!(bounds("_index"), Some((0, 499)));
    let versions = batch.column_by_name("_version").unwrap();
    let versions = arrow_array::cast::as_primitive_array::<arrow_array::types::UInt64Type>(versions).values();
    let expected = (*versions.iter().min().unwrap() as i64, *versions.iter().max().unwrap() as i64);
    assert_eq!(bounds("_version"), Some(expected));
    assert!(bounds("timestamp").is_some());
    assert_eq!(bounds("battery_total_energy_charge_wh"), None);
}

#[test]
fn rows_with_other_columns_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::Folder(Folder::new(root.path()));
    let batch = batch(&mut Random(4), &Nature { nulls_of_ten: 0, different: 5 }, 10);
    let mut part = store.open(Kind::Readings, "t", 0, 0, batch.schema()).unwrap();
    let error = part.append(&batch.project(&[1, 0]).unwrap()).unwrap_err();
    assert_eq!(error.kind(), "format", "{error:?}");
}
