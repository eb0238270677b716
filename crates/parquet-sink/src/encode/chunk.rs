//! One column of a row group: its pages so far.

use arrow_array::types::{Int8Type, Int32Type};
use arrow_schema::{DataType, Field};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::statistics::Statistics;
use parquet::schema::types::ColumnDescPtr;

use super::dictionary::{Dictionary, Numbers, Texts, Values};
use super::gather::{self, Arrays};
use super::page::{self, Page, Pages};
use super::{Scratch, ZSTD_LEVEL, ZSTD_QUICK, ZSTD_TEXTS, bits};

/// A dictionary with more values than this takes more memory, for each open file, than it saves.
const DICTIONARY_MAX: usize = 32_768;
/// One with no more than this is worth it, however few rows there are.
const DICTIONARY_MIN: usize = 256;

/// What a column has, which decides on its encoding.
enum Content {
    /// Times and positions run on from row to row. They have statistics: nobody skips a row group by the least
    /// and the largest of anything else.
    Ordered(Bounds),
    /// What a home takes and what a battery holds hardly ever repeats, and its last digits are noise, which no
    /// compression makes smaller.
    Noise,
    /// What the sun gives does not repeat either, but at night, nor what goes into a battery and out of it, but while it
    /// rests. With a dictionary for them files were a sixteenth smaller, for 4 % of a worker's CPU: more than a
    /// third of the look-ups found nothing.
    Unlike,
    /// Other quantities often do.
    Alike(Dictionary<Numbers>),
    Flags,
    /// Names of devices, and what devices said.
    Texts(Dictionary<Texts>),
    /// Texts that come with a dictionary.
    Words(Dictionary<Texts>),
}

pub(super) struct Chunk {
    column: ColumnDescPtr,
    content: Content,
    rows: usize,
    pages: Pages,
    uncompressed_bytes: usize,
    encodings: Vec<Encoding>,
}

impl Chunk {
    pub fn new(field: &Field, column: &ColumnDescPtr) -> Result<Self> {
        let content = match field.data_type() {
            DataType::Int64 if field.name().starts_with("limit_") => Content::Alike(Dictionary::default()),
            DataType::Timestamp(..) | DataType::Int64 | DataType::Int32 => Content::Ordered(Bounds::new(0)),
            DataType::UInt64 => Content::Ordered(Bounds::new(i64::MIN)),
            DataType::Decimal64(..) if is_noise(field.name()) => Content::Noise,
            DataType::Decimal64(..) if is_unlike(field.name()) => Content::Unlike,
            DataType::Decimal64(..) => Content::Alike(Dictionary::default()),
            DataType::Boolean => Content::Flags,
            DataType::Utf8 => Content::Texts(Dictionary::default()),
            DataType::Dictionary(..) => Content::Words(Dictionary::default()),
            other => return Err(gather::unknown(other)),
        };
        Ok(Chunk {
            column: column.clone(),
            content,
            rows: 0,
            pages: Pages::default(),
            uncompressed_bytes: 0,
            encodings: Vec::new(),
        })
    }

    pub fn bytes(&self) -> usize {
        self.pages.bytes()
    }

    pub fn memory_bytes(&self) -> usize {
        self.bytes() + self.dictionary().map_or(0, Values::memory_bytes)
    }

    /// Adds a page of so many rows.
    pub fn page(&mut self, arrays: &Arrays<'_>, rows: usize, scratch: &mut Scratch) -> Result<()> {
        let Scratch { numbers, places, plain, .. } = scratch;
        plain.clear();
        places.clear();
        if self.column.max_def_level() > 0 {
            gather::levels(arrays, rows, plain);
        }
        self.rows += rows;
        // What does not repeat is left soon, and before its values are many.
        let values_max = (self.rows / 2).clamp(DICTIONARY_MIN, DICTIONARY_MAX);
        let encoding = match &mut self.content {
            _ if arrays.iter().all(|array| array.null_count() == array.len()) => Encoding::PLAIN,
            Content::Ordered(bounds) => {
                let numbers = gather::numbers(arrays, numbers)?;
                bounds.widen(numbers);
                delta(numbers, plain)
            }
            Content::Noise | Content::Unlike => delta(gather::numbers(arrays, numbers)?, plain),
            Content::Alike(dictionary) => {
                let numbers = gather::numbers(arrays, numbers)?;
                let found = dictionary.serves(|values| values.places(numbers, values_max, places));
                if found { dictionary.encode(places, plain) } else { delta(numbers, plain) }
            }
            Content::Flags => {
                gather::flags(arrays, plain);
                Encoding::PLAIN
            }
            Content::Texts(dictionary) => {
                let found = dictionary.serves(|values| {
                    gather::texts(arrays, |text| {
                        places.push(values.place(text));
                        values.len() <= values_max
                    })
                });
                if found { dictionary.encode(places, plain) } else { texts(arrays, numbers, plain) }
            }
            Content::Words(dictionary) => {
                dictionary.serves(|values| {
                    arrays.iter().for_each(|array| match array.data_type() {
                        DataType::Dictionary(key, _) if **key == DataType::Int8 => {
                            gather::places::<Int8Type>(array, values, places);
                        }
                        _ => gather::places::<Int32Type>(array, values, places),
                    });
                    true
                });
                dictionary.encode(places, plain)
            }
        };
        if !self.encodings.contains(&encoding) {
            self.encodings.push(encoding);
        }
        let page = Page::Data { rows, encoding };
        let (page, uncompressed_bytes) = page::write(&page, self.level(), scratch)?;
        self.uncompressed_bytes += uncompressed_bytes;
        self.pages.0.push(page);
        Ok(())
    }

    /// The pages of the column in the row group that ends here, and what the footer says of them.
    pub fn end(&mut self, scratch: &mut Scratch) -> Result<(Pages, ColumnCloseResult)> {
        let mut pages = std::mem::take(&mut self.pages);
        let mut encodings = std::mem::take(&mut self.encodings);
        let mut uncompressed_bytes = std::mem::take(&mut self.uncompressed_bytes);
        let mut data_page_offset = 0;
        let has_dictionary = encodings.contains(&Encoding::RLE_DICTIONARY);
        if let Some(dictionary) = self.dictionary().filter(|_| has_dictionary) {
            scratch.plain.clear();
            dictionary.plain(&mut scratch.plain);
            encodings.push(Encoding::PLAIN);
            let page = Page::Dictionary { values: dictionary.len() };
            let (page, page_bytes) = page::write(&page, self.level(), scratch)?;
            data_page_offset = page.len();
            uncompressed_bytes += page_bytes;
            pages.0.insert(0, page);
        }
        let bytes = pages.bytes();
        encodings.push(Encoding::RLE);
        let rows = std::mem::take(&mut self.rows);
        let mut metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(match self.level() {
                // The level is nowhere in the file.
                Some(_) => Compression::ZSTD(ZstdLevel::default()),
                None => Compression::UNCOMPRESSED,
            })
            .set_encodings(encodings)
            .set_num_values(rows as i64)
            .set_total_compressed_size(bytes as i64)
            .set_total_uncompressed_size(uncompressed_bytes as i64)
            .set_dictionary_page_offset(has_dictionary.then_some(0))
            .set_data_page_offset(data_page_offset as i64);
        match &mut self.content {
            Content::Ordered(bounds) => {
                if let Some(statistics) = bounds.take(self.column.physical_type()) {
                    metadata = metadata.set_statistics(statistics);
                }
            }
            Content::Alike(dictionary) => dictionary.begin_row_group(),
            Content::Texts(dictionary) | Content::Words(dictionary) => dictionary.begin_row_group(),
            Content::Noise | Content::Unlike | Content::Flags => {}
        }
        let closed = ColumnCloseResult {
            bytes_written: bytes as u64,
            rows_written: rows as u64,
            metadata: metadata.build()?,
            bloom_filter: None,
            column_index: None,
            offset_index: None,
        };
        Ok((pages, closed))
    }

    /// What zstd is told for the column; none where it would gain nothing.
    fn level(&self) -> Option<i32> {
        match &self.content {
            Content::Noise => None,
            Content::Unlike => Some(ZSTD_QUICK),
            Content::Texts(_) => Some(ZSTD_TEXTS),
            Content::Alike(dictionary) if dictionary.is_given_up() => Some(ZSTD_QUICK),
            _ => Some(ZSTD_LEVEL),
        }
    }

    fn dictionary(&self) -> Option<&dyn Values> {
        match &self.content {
            Content::Alike(dictionary) => Some(dictionary.values()),
            Content::Texts(dictionary) | Content::Words(dictionary) => Some(dictionary.values()),
            Content::Ordered(_) | Content::Noise | Content::Unlike | Content::Flags => None,
        }
    }
}

fn is_noise(name: &str) -> bool {
    name.starts_with("home_") || name == "battery_last_stored_energy_wh"
}

fn is_unlike(name: &str) -> bool {
    let battery = ["battery_total_energy_", "battery_last_power_"];
    name.starts_with("solar_") || battery.iter().any(|begin| name.starts_with(begin))
}

fn delta(numbers: &[i64], out: &mut Vec<u8>) -> Encoding {
    bits::delta(numbers, out);
    Encoding::DELTA_BINARY_PACKED
}

/// How many bytes each text has in common with the one before it, how many it has behind those, and all of these: the names
/// of a fleet begin alike.
fn texts(arrays: &Arrays<'_>, lengths: &mut Vec<i64>, out: &mut Vec<u8>) -> Encoding {
    lengths.clear();
    let mut before: &[u8] = &[];
    gather::texts(arrays, |text| {
        lengths.push(common(before, text.as_bytes()) as i64);
        before = text.as_bytes();
        true
    });
    let texts = lengths.len();
    gather::texts(arrays, |text| {
        lengths.push(text.len() as i64 - lengths[lengths.len() - texts]);
        true
    });
    let (common, behind) = lengths.split_at(texts);
    bits::delta(common, out);
    bits::delta(behind, out);
    let mut row = 0;
    gather::texts(arrays, |text| {
        out.extend_from_slice(&text.as_bytes()[common[row] as usize..]);
        row += 1;
        true
    });
    Encoding::DELTA_BYTE_ARRAY
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (ones, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let differences =
        ones.iter().zip(others).map(|(one, other)| u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other));
    let mut same = 0;
    for difference in differences {
        if difference != 0 {
            return same + difference.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// The least and the largest number of a column that has no nulls.
struct Bounds {
    /// What is turned over so that signed numbers compare as the column's do.
    sign: i64,
    range: Option<(i64, i64)>,
}

impl Bounds {
    fn new(sign: i64) -> Self {
        Bounds { sign, range: None }
    }

    fn widen(&mut self, numbers: &[i64]) {
        let found = bits::bounds(numbers.iter().map(|number| number ^ self.sign));
        self.range = match (self.range, found) {
            (Some(before), Some(found)) => Some((before.0.min(found.0), before.1.max(found.1))),
            (before, found) => before.or(found),
        };
    }

    fn take(&mut self, physical: Type) -> Option<Statistics> {
        let (least, largest) = self.range.take()?;
        let (least, largest) = (least ^ self.sign, largest ^ self.sign);
        Some(match physical {
            Type::INT32 => Statistics::int32(Some(least as i32), Some(largest as i32), None, Some(0), false),
            _ => Statistics::int64(Some(least), Some(largest), None, Some(0), false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_texts_begin_with_ends_where_they_differ() {
        let text = b"0123456789abcdefghij";
        for length in 0..text.len() {
            assert_eq!(common(&text[..length], text), length);
            assert_eq!(common(text, &text[..length]), length);
            let mut other = *text;
            other[length] = b'?';
            assert_eq!(common(&other, text), length);
        }
    }

    #[test]
    fn bounds_are_in_the_order_of_the_column() {
        let pages: [&[i64]; 4] = [&[3, 1, 2], &[], &[7, -5], &[i64::MIN, 4]];
        let (mut signed, mut unsigned) = (Bounds::new(0), Bounds::new(i64::MIN));
        for page in pages {
            signed.widen(page);
            unsigned.widen(page);
        }
        let of = |least, largest| Some(Statistics::int64(Some(least), Some(largest), None, Some(0), false));
        assert_eq!(signed.take(Type::INT64), of(i64::MIN, 7));
        // As numbers without a sign, those below zero are the largest.
        assert_eq!(unsigned.take(Type::INT64), of(1, -5));
        assert_eq!(unsigned.take(Type::INT64), None);
    }
}
