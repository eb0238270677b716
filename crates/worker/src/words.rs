//! Columns whose texts repeat: a row holds a number, the text is there once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{ArrayRef, DictionaryArray, Int8Array, Int32Array, StringArray};
use arrow_buffer::NullBuffer;
use arrow_schema::ArrowError;

/// The texts of a fixed list, in its order.
pub(crate) fn list<const N: usize>(names: [&'static str; N]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

/// A column of texts out of a list: each row has a place in it, or none.
pub(crate) fn words(
    places: Vec<i8>,
    nulls: Option<NullBuffer>,
    list: &ArrayRef,
) -> Result<ArrayRef, ArrowError> {
    let places = Int8Array::new(places.into(), nulls);
    Ok(Arc::new(DictionaryArray::<Int8Type>::try_new(places, Arc::clone(list))?))
}

/// A column of few texts that nobody listed. The next row's is nearly always the one of the row before.
pub(crate) struct Names {
    places: Vec<i32>,
    names: Vec<String>,
    place_of: HashMap<String, i32>,
}

impl Names {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Names { places: Vec::with_capacity(rows), names: Vec::new(), place_of: HashMap::new() }
    }

    /// Rows of one record have the very same text, so that it need not be read.
    pub(crate) fn extend<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut before: Option<(&str, i32)> = None;
        for name in names {
            let place = match before {
                Some((same, place)) if std::ptr::eq(same, name) => place,
                _ => self.place(name),
            };
            self.places.push(place);
            before = Some((name, place));
        }
    }

    pub(crate) fn get(&self, row: usize) -> &str {
        &self.names[self.places[row] as usize]
    }

    fn place(&mut self, name: &str) -> i32 {
        if let Some(&before) = self.places.last()
            && self.names[before as usize] == name
        {
            return before;
        }
        if let Some(&place) = self.place_of.get(name) {
            return place;
        }
        let place = self.names.len() as i32;
        self.names.push(name.to_owned());
        self.place_of.insert(name.to_owned(), place);
        place
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let names = Arc::new(StringArray::from(std::mem::take(&mut self.names)));
        let places = Int32Array::from(std::mem::take(&mut self.places));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(places, names)?))
    }
}

/// The text of a row of a column that is not whole yet.
pub(crate) fn text(column: &StringBuilder, row: usize) -> Option<&str> {
    if column.validity_slice().is_some_and(|bits| bits[row / 8] >> (row % 8) & 1 == 0) {
        return None;
    }
    let offsets = column.offsets_slice();
    std::str::from_utf8(&column.values_slice()[offsets[row] as usize..offsets[row + 1] as usize]).ok()
}

/// A column with one text in all rows.
pub(crate) fn constant(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    let texts = Arc::new(StringArray::from_iter_values([text]));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from_value(0, rows), texts)?))
}
