//! Pages as they stand in the file: a header in Thrift's compact protocol, and the bytes.
//!
//! The header is the format's `PageHeader`, <https://parquet.apache.org/docs/file-format/metadata/>. The library's
//! own writer of pages wraps what it writes to in a buffer of its own, for each page anew.

use std::collections::VecDeque;
use std::io::Read;

use bytes::Bytes;
use parquet::basic::Encoding;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

use super::Scratch;
use super::bits::zigzag;

/// What a page has.
pub(super) enum Page {
    /// Values of so many rows, nulls among them.
    Data { rows: usize, encoding: Encoding },
    /// So many values of a dictionary.
    Dictionary { values: usize },
}

/// A page that holds what `scratch.plain` has, compressed at a level of zstd or not at all, and its bytes before
/// compression, with its header.
pub(super) fn write(page: &Page, level: Option<i32>, scratch: &mut Scratch) -> Result<(Bytes, usize)> {
    let Scratch { zstd, plain, compressed, .. } = scratch;
    let content = if let Some(level) = level {
        zstd.set_compression_level(level)?;
        compressed.clear();
        compressed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        zstd.compress_to_buffer(plain.as_slice(), compressed)?;
        &*compressed
    } else {
        &*plain
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + content.len());
    header(page, plain.len(), content.len(), &mut bytes);
    let header_bytes = bytes.len();
    bytes.extend_from_slice(content);
    Ok((bytes.into(), header_bytes + plain.len()))
}

/// The pages of a column, which the library takes as a file that it reads.
#[derive(Default)]
pub(super) struct Pages(pub Vec<Bytes>);

impl Pages {
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.bytes() as u64
    }
}

impl ChunkReader for Pages {
    type T = Unread;

    fn get_read(&self, start: u64) -> Result<Unread> {
        debug_assert_eq!(start, 0, "pages are read from the first on");
        Ok(Unread(self.0.iter().cloned().collect()))
    }

    fn get_bytes(&self, _start: u64, _length: usize) -> Result<Bytes> {
        Err(ParquetError::NYI("pages are read from the first to the last".to_owned()))
    }
}

/// What is left of pages.
pub(super) struct Unread(VecDeque<Bytes>);

impl Read for Unread {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while let Some(page) = self.0.front_mut() {
            if page.is_empty() {
                self.0.pop_front();
                continue;
            }
            let taken = page.split_to(page.len().min(out.len()));
            out[..taken.len()].copy_from_slice(&taken);
            return Ok(taken.len());
        }
        Ok(0)
    }
}

// What begins a field of Thrift: how far its number is from the one before, and its type.
const NEXT_I32: u8 = 0x15;
const NEXT_FALSE: u8 = 0x12;
const SECOND_NEXT_STRUCT: u8 = 0x2c;
const FOURTH_NEXT_STRUCT: u8 = 0x4c;
const END: u8 = 0;

/// Ten fields at most, each with a byte before it and five bytes at most, and the structures.
const HEADER_BYTES_MAX: usize = 64;

const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;

fn header(page: &Page, plain_bytes: usize, bytes: usize, out: &mut Vec<u8>) {
    let kind = match page {
        Page::Data { .. } => DATA_PAGE,
        Page::Dictionary { .. } => DICTIONARY_PAGE,
    };
    numbers([kind, plain_bytes as i64, bytes as i64], out);
    match *page {
        Page::Data { rows, encoding } => {
            out.push(SECOND_NEXT_STRUCT);
            // The levels of repetition, which none of our columns has, and those of definition.
            let levels = Encoding::RLE as i64;
            numbers([rows as i64, encoding as i64, levels, levels], out);
        }
        Page::Dictionary { values } => {
            out.push(FOURTH_NEXT_STRUCT);
            numbers([values as i64, Encoding::PLAIN as i64], out);
            // Whether the values are in order.
            out.push(NEXT_FALSE);
        }
    }
    out.extend_from_slice(&[END, END]);
}

fn numbers<const N: usize>(fields: [i64; N], out: &mut Vec<u8>) {
    for field in fields {
        out.push(NEXT_I32);
        zigzag(field, out);
    }
}
