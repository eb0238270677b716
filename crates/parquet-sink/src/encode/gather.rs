//! The values of a column out of its arrays, one after the other and without nulls.

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Decimal64Type, Int32Type, Int64Type,
    TimestampMillisecondType, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};
use parquet::errors::{ParquetError, Result};

use super::bits;
use super::dictionary::Texts;

/// The arrays of a column, in the order of its rows.
pub(super) type Arrays<'a> = [&'a ArrayRef];

/// Which rows have a value, as a page begins with it.
pub(super) fn levels(arrays: &Arrays<'_>, rows: usize, out: &mut Vec<u8>) {
    const LENGTH: usize = size_of::<u32>();
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH]);
    match arrays.iter().map(|array| array.null_count()).sum() {
        0 => bits::run(1, rows, 1, out),
        nulls if nulls == rows => bits::run(0, rows, 1, out),
        _ => {
            let mut valid = BooleanBufferBuilder::new(rows);
            for array in arrays {
                match array.nulls() {
                    Some(nulls) => valid.append_buffer(nulls.inner()),
                    None => valid.append_n(array.len(), true),
                }
            }
            bits::packed_header(rows, out);
            out.extend_from_slice(valid.as_slice());
        }
    }
    let length = (out.len() - start - LENGTH) as u32;
    out[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
}

/// Bits, the lowest first.
pub(super) fn flags(arrays: &Arrays<'_>, out: &mut Vec<u8>) {
    let mut flags = BooleanBufferBuilder::new(arrays.iter().map(|array| array.len()).sum());
    for array in arrays {
        let values = array.as_boolean().values();
        valid_slices(*array, |from, to| flags.append_buffer(&values.slice(from, to - from)));
    }
    out.extend_from_slice(flags.as_slice());
}

/// Whole numbers, whatever they count. The one array of a page is not copied where it has no nulls.
pub(super) fn numbers<'a>(arrays: &'a Arrays<'a>, room: &'a mut Vec<i64>) -> Result<&'a [i64]> {
    if let [array] = arrays
        && array.null_count() == 0
        && let Some(numbers) = words(array)
    {
        return Ok(numbers);
    }
    room.clear();
    for array in arrays {
        if let Some(numbers) = words(array) {
            valid_slices(*array, |from, to| room.extend_from_slice(&numbers[from..to]));
        } else if let Some(array) = array.as_primitive_opt::<Int32Type>() {
            // Places are not negative, so their differences fit into as many bits.
            valid_slices(array, |from, to| {
                room.extend(array.values()[from..to].iter().map(|&number| i64::from(number)));
            });
        } else {
            return Err(unknown(array.data_type()));
        }
    }
    Ok(room)
}

/// The numbers of an array whose numbers have eight bytes.
fn words(array: &ArrayRef) -> Option<&[i64]> {
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<&[i64]> {
        array.as_primitive_opt::<T>().map(|array| array.values().inner().typed_data())
    }
    match array.data_type() {
        DataType::Int64 => of::<Int64Type>(array),
        DataType::UInt64 => of::<UInt64Type>(array),
        DataType::Decimal64(..) => of::<Decimal64Type>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => of::<TimestampMillisecondType>(array),
        _ => None,
    }
}

/// Calls for each text, until that gives `false`; whether it never did.
pub(super) fn texts<'a>(arrays: &Arrays<'a>, mut each: impl FnMut(&'a str) -> bool) -> bool {
    arrays.iter().map(|array| array.as_string::<i32>()).all(|texts| match texts.nulls() {
        None => (0..texts.len()).all(|row| each(texts.value(row))),
        Some(nulls) => nulls.valid_indices().all(|row| each(texts.value(row))),
    })
}

/// The places in `texts` of what the rows of a dictionary array have.
pub(super) fn places<K>(array: &ArrayRef, texts: &mut Texts, out: &mut Vec<u32>)
where
    K: ArrowDictionaryKeyType,
    K::Native: Into<i64>,
{
    const UNKNOWN: u32 = u32::MAX;
    let array = array.as_dictionary::<K>();
    let list = array.values().as_string::<i32>();
    let mut known = vec![UNKNOWN; list.len()];
    let mut place_of = |key: K::Native| {
        let key = key.into() as usize;
        if known[key] == UNKNOWN {
            known[key] = texts.place(list.value(key));
        }
        known[key]
    };
    let keys = array.keys().values();
    valid_slices(array, |from, to| match &keys[from..to] {
        // Most columns of words have the same one in every row.
        keys @ [first, ..] if bits::are_same(keys) => out.resize(out.len() + keys.len(), place_of(*first)),
        keys => out.extend(keys.iter().map(|&key| place_of(key))),
    });
}

/// Calls for each run of rows that have a value.
fn valid_slices(array: &dyn Array, mut each: impl FnMut(usize, usize)) {
    match array.nulls() {
        None => each(0, array.len()),
        Some(nulls) => nulls.valid_slices().for_each(|(from, to)| each(from, to)),
    }
}

pub(super) fn unknown(data_type: &DataType) -> ParquetError {
    ParquetError::NYI(format!("a column of {data_type}"))
}
