//! Values that a column has seen, in the order in which it saw them.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use parquet::basic::Encoding;
use xxhash_rust::xxh3::xxh3_64;

use super::bits;

/// The dictionary of a column in a row group, for as long as it is worth it.
#[derive(Default)]
pub(super) struct Dictionary<T> {
    values: T,
    is_closed: bool,
    /// Whether a page of the row group needs it.
    is_used: bool,
}

/// What a dictionary's page is made of.
pub(super) trait Values {
    /// Without a value, and with room for as many as these are.
    fn anew(&self) -> Self
    where
        Self: Sized;
    fn len(&self) -> usize;
    fn plain(&self, out: &mut Vec<u8>);
    fn memory_bytes(&self) -> usize;
}

impl<T: Values + Default> Dictionary<T> {
    pub fn values(&self) -> &T {
        &self.values
    }

    /// Has `find` look up the values of a page. Where it finds out that the dictionary is not worth it, and says
    /// so by `false`, the dictionary takes no more.
    pub fn serves(&mut self, find: impl FnOnce(&mut T) -> bool) -> bool {
        if self.is_closed {
            return false;
        }
        if find(&mut self.values) {
            self.is_used = true;
            return true;
        }
        self.is_closed = true;
        if !self.is_used {
            self.values = T::default();
        }
        false
    }

    /// Whether it serves no page of the row group that is under way.
    pub fn is_given_up(&self) -> bool {
        self.is_closed && !self.is_used
    }

    /// The places of a page's values, as the page has them.
    pub fn encode(&self, places: &[u32], out: &mut Vec<u8>) -> Encoding {
        let width = bits::width_of(self.values.len().saturating_sub(1) as u64);
        out.push(width as u8);
        match places {
            [first, ..] if bits::are_same(places) => {
                bits::run(u64::from(*first), places.len(), width, out);
            }
            _ => bits::packed(places, width, out),
        }
        Encoding::RLE_DICTIONARY
    }

    /// Begins anew. A dictionary that served no page of a row group is not tried again in this file.
    pub fn begin_row_group(&mut self) {
        if self.is_used {
            *self = Dictionary { values: self.values.anew(), ..Dictionary::default() };
        }
    }
}

/// Whole numbers.
pub(super) struct Numbers {
    places: HashTable<u32>,
    values: Vec<i64>,
    /// Values of late with their places, each where its hash says: of few values nearly all are found here, in a
    /// third of the time.
    recent: Box<[(i64, u32); RECENT]>,
}

const RECENT: usize = 1024;
const NOWHERE: u32 = u32::MAX;

impl Default for Numbers {
    fn default() -> Self {
        Numbers { places: HashTable::new(), values: Vec::new(), recent: Box::new([(0, NOWHERE); RECENT]) }
    }
}

impl Numbers {
    /// Finds the places of all values; `false` where the dictionary then has more than `values_max`, and some of them have
    /// no place.
    pub fn places(&mut self, values: &[i64], values_max: usize, places: &mut Vec<u32>) -> bool {
        const AT_ONCE: usize = 64;
        values.chunks(AT_ONCE).all(|values| {
            places.extend(values.iter().map(|&value| self.place(value)));
            self.values.len() <= values_max
        })
    }

    #[inline]
    fn place(&mut self, value: i64) -> u32 {
        let hash = mixed(value);
        let at = hash as usize % RECENT;
        let (known, place) = self.recent[at];
        if known == value && place != NOWHERE {
            return place;
        }
        let place = self.look_up(value, hash);
        self.recent[at] = (value, place);
        place
    }

    fn look_up(&mut self, value: i64, hash: u64) -> u32 {
        let Numbers { places, values, .. } = self;
        let is_it = |&place: &u32| values[place as usize] == value;
        match places.entry(hash, is_it, |&place| mixed(values[place as usize])) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let place = values.len() as u32;
                entry.insert(place);
                values.push(value);
                place
            }
        }
    }
}

impl Values for Numbers {
    fn anew(&self) -> Self {
        Numbers {
            places: HashTable::with_capacity(self.len()),
            values: Vec::with_capacity(self.len()),
            ..Numbers::default()
        }
    }

    fn len(&self) -> usize {
        self.values.len()
    }

    fn plain(&self, out: &mut Vec<u8>) {
        out.extend(self.values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn memory_bytes(&self) -> usize {
        let recent = size_of_val(&*self.recent);
        self.places.allocation_size() + self.values.capacity() * size_of::<i64>() + recent
    }
}

/// Spreads numbers that are near each other, and multiples of a thousand, over the upper bits and the lower ones.
fn mixed(value: i64) -> u64 {
    const ODD: u128 = 0x9E37_79B9_7F4A_7C15;
    let product = u128::from(value as u64) * ODD;
    (product >> 64) as u64 ^ product as u64
}

/// Texts.
#[derive(Default)]
pub(super) struct Texts {
    places: HashTable<u32>,
    /// Where each begins in `plain`.
    starts: Vec<u32>,
    /// The length of each, and then the text.
    plain: Vec<u8>,
}

const LENGTH: usize = size_of::<u32>();

impl Texts {
    pub fn place(&mut self, text: &str) -> u32 {
        let Texts { places, starts, plain } = self;
        let text = text.as_bytes();
        let at = |place: u32| {
            let end = starts.get(place as usize + 1).map_or(plain.len(), |&next| next as usize);
            &plain[starts[place as usize] as usize + LENGTH..end]
        };
        match places.entry(xxh3_64(text), |&place| at(place) == text, |&place| xxh3_64(at(place))) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let place = starts.len() as u32;
                entry.insert(place);
                starts.push(plain.len() as u32);
                plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
                plain.extend_from_slice(text);
                place
            }
        }
    }
}

impl Values for Texts {
    fn anew(&self) -> Self {
        Texts {
            places: HashTable::with_capacity(self.len()),
            starts: Vec::with_capacity(self.len()),
            plain: Vec::with_capacity(self.plain.len()),
        }
    }

    fn len(&self) -> usize {
        self.starts.len()
    }

    fn plain(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.plain);
    }

    fn memory_bytes(&self) -> usize {
        self.places.allocation_size() + self.starts.capacity() * LENGTH + self.plain.capacity()
    }
}
