//! Rows into the bytes of a Parquet file. The library keeps the schema and the footer; pages are filled and
//! compressed here. A column of the library's own has a compressor and a decompressor
//! to itself, which for the files that a worker has open is more memory than everything else, and it looks up
//! each text of a dictionary anew, row by row, that Arrow has as a number.
//!
//! Rows wait as the batches that they came in until they are enough for a page. Encodings were chosen by
//! measuring a simulated fleet whose devices report in random order. zstd 2 in place of 1 saved a hundredth, for no
//! time that could be measured.

mod bits;
mod chunk;
mod dictionary;
mod gather;
mod page;

use std::fs::File;
use std::io::BufWriter;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use zstd::bulk::Compressor;

use chunk::Chunk;

/// Written into every file; raised when names, types or meanings of columns change.
pub(crate) const FORMAT_VERSION: &str = "1";

/// Rows that are enough for a page: larger ones compress hardly better, and wait for longer.
const PAGE_ROWS: usize = 8_192;
const ZSTD_LEVEL: i32 = 2;
/// For numbers that are packed without a dictionary: what zstd finds in them are the runs of a night or a rest, and
/// it finds those as well when it looks less closely, in half of the time.
const ZSTD_QUICK: i32 = -3;
/// Names have digits in common, and hardly any run of them: level 1, which looks for fewer, makes them smaller than
/// level 2, in half of the time.
const ZSTD_TEXTS: i32 = 1;

/// What goes to the file at once. The library hands on 8 KiB at a time, and a file system clears the rest of each page of
/// memory that a write begins or ends within.
const WRITE_BYTES: usize = 64 * 1024;

/// What a page is made with. It is megabytes, so that pages and files share it, and not even each thread has one:
/// a runtime has many that now and then finish a file.
struct Scratch {
    zstd: Compressor<'static>,
    numbers: Vec<i64>,
    places: Vec<u32>,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Scratch {
    fn new() -> std::io::Result<Self> {
        Ok(Scratch {
            zstd: Compressor::default(),
            numbers: Vec::new(),
            places: Vec::new(),
            plain: Vec::new(),
            compressed: Vec::new(),
        })
    }

    /// Runs `work` with one that nobody else uses meanwhile.
    fn with<T>(work: impl FnOnce(&mut Scratch) -> Result<T, ParquetError>) -> Result<T, ParquetError> {
        const KEPT_MAX: usize = 4;
        static KEPT: Mutex<Vec<Scratch>> = Mutex::new(Vec::new());
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = kept().pop();
        let mut scratch = match taken {
            Some(scratch) => scratch,
            None => Scratch::new()?,
        };
        let done = work(&mut scratch);
        let mut kept = kept();
        if kept.len() < KEPT_MAX {
            kept.push(scratch);
        }
        done
    }
}

/// A Parquet file that is being written. After an error it is of no use.
pub(crate) struct Encoder {
    schema: SchemaRef,
    file: SerializedFileWriter<BufWriter<File>>,
    chunks: Vec<Chunk>,
    /// Rows that are not enough for a page yet.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    row_group_bytes_max: usize,
}

impl Encoder {
    pub fn new(file: File, schema: SchemaRef, row_group_bytes_max: usize) -> Result<Self, ParquetError> {
        let columns = ArrowSchemaConverter::new().convert(&schema)?;
        let created_by = concat!("wattline ", env!("CARGO_PKG_VERSION")).to_owned();
        let properties = WriterProperties::builder().set_created_by(created_by).build();
        let chunks =
            schema.fields().iter().zip(columns.columns()).map(|(field, column)| Chunk::new(field, column));
        let file = BufWriter::with_capacity(WRITE_BYTES, file);
        Ok(Encoder {
            chunks: chunks.collect::<Result<_, _>>()?,
            file: SerializedFileWriter::new(file, columns.root_schema_ptr(), Arc::new(properties))?,
            schema,
            waiting: Vec::new(),
            waiting_rows: 0,
            row_group_bytes_max,
        })
    }

    /// Adds rows. They go to disk a row group at a time, so that memory does not grow with the file.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if !Arc::ptr_eq(&self.schema, batch.schema_ref()) && self.schema != *batch.schema_ref() {
            return Err(ParquetError::General("the rows have other columns than the file".to_owned()));
        }
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch.clone());
        if self.waiting_rows >= PAGE_ROWS {
            self.end_page()?;
        }
        if self.row_group_bytes() >= self.row_group_bytes_max {
            self.end_row_group()?;
        }
        Ok(())
    }

    /// Size of the pages so far, on disk and in memory.
    pub fn bytes(&self) -> usize {
        self.file.bytes_written() + self.row_group_bytes()
    }

    /// Memory that is held.
    pub fn memory_bytes(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(RecordBatch::get_array_memory_size).sum();
        waiting + self.chunks.iter().map(Chunk::memory_bytes).sum::<usize>()
    }

    /// Writes what is left, and the footer with these keys and values.
    pub fn finish(&mut self, metadata: Vec<KeyValue>) -> Result<&File, ParquetError> {
        self.end_page()?;
        self.end_row_group()?;
        metadata.into_iter().for_each(|entry| self.file.append_key_value_metadata(entry));
        self.file.finish()?;
        Ok(self.file())
    }

    pub fn file(&self) -> &File {
        self.file.inner().get_ref()
    }

    fn row_group_bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::bytes).sum()
    }

    fn end_page(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.waiting_rows);
        if rows == 0 {
            return Ok(());
        }
        let batches = std::mem::take(&mut self.waiting);
        let mut arrays = Vec::with_capacity(batches.len());
        Scratch::with(|scratch| {
            for (at, chunk) in self.chunks.iter_mut().enumerate() {
                arrays.clear();
                arrays.extend(batches.iter().map(|batch| batch.column(at)));
                chunk.page(&arrays, rows, scratch)?;
            }
            Ok(())
        })
    }

    fn end_row_group(&mut self) -> Result<(), ParquetError> {
        if self.row_group_bytes() == 0 {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        for chunk in &mut self.chunks {
            let (pages, closed) = Scratch::with(|scratch| chunk.end(scratch))?;
            group.append_column(&pages, closed)?;
        }
        group.close()?;
        Ok(())
    }
}
