//! Columns whose texts repeat: a row holds a number, the text is there once.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::Int8Builder;
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{ArrayRef, DictionaryArray, Int32Array, StringArray};
use arrow_schema::ArrowError;

/// The texts of a fixed list, in its order.
pub(crate) fn list<const N: usize>(names: [&'static str; N]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(names))
}

/// A column of texts out of a list.
pub(crate) struct Words {
    places: Int8Builder,
    list: ArrayRef,
}

impl Words {
    pub(crate) fn with_capacity(list: &ArrayRef, rows: usize) -> Self {
        Words { places: Int8Builder::with_capacity(rows), list: Arc::clone(list) }
    }

    /// The text at this place of the list.
    pub(crate) fn append(&mut self, place: usize) {
        self.places.append_value(place as i8);
    }

    pub(crate) fn append_option(&mut self, place: Option<usize>) {
        self.places.append_option(place.map(|place| place as i8));
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let words = DictionaryArray::<Int8Type>::try_new(self.places.finish(), Arc::clone(&self.list))?;
        Ok(Arc::new(words))
    }
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

    pub(crate) fn append(&mut self, name: &str) {
        if let Some(&before) = self.places.last()
            && self.names[before as usize] == name
        {
            self.places.push(before);
            return;
        }
        let place = match self.place_of.get(name) {
            Some(&place) => place,
            None => {
                let place = self.names.len() as i32;
                self.names.push(name.to_owned());
                self.place_of.insert(name.to_owned(), place);
                place
            }
        };
        self.places.push(place);
    }

    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let names = Arc::new(StringArray::from(std::mem::take(&mut self.names)));
        let places = Int32Array::from(std::mem::take(&mut self.places));
        Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(places, names)?))
    }
}

/// A column with one text in all rows.
pub(crate) fn constant(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    let texts = Arc::new(StringArray::from_iter_values([text]));
    Ok(Arc::new(DictionaryArray::<Int32Type>::try_new(Int32Array::from_value(0, rows), texts)?))
}
