//! The ids of all clients in memory, with a small value for each: small enough for millions and quick enough
//! for every data point.
//!
//! The table is cut into shards by the id's hash, so that growing moves one shard at a time and holds up
//! nobody for long. One lock is around them all: a request takes it once, and its look-ups, free of atomic
//! operations, overlap their waits for memory. An entry is 24 bytes and its value: short ids lie in it,
//! longer ones in the shard's text.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

const SHARDS: usize = 256;
const INLINE_BYTES: usize = 15;
/// Below this, the text of deleted ids is not worth clearing away.
const GARBAGE_BYTES_MIN: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct IdTable<V> {
    shards: RwLock<Box<[Shard<V>]>>,
}

/// All ids as they are at this moment: no change comes in between while it is held.
pub(crate) struct IdView<'a, V>(RwLockReadGuard<'a, Box<[Shard<V>]>>);

#[derive(Debug)]
struct Shard<V> {
    entries: HashTable<Entry<V>>,
    /// The ids that are too long to lie in an entry, one after the other.
    text: Vec<u8>,
    /// Bytes of `text` that no entry points to any more.
    garbage_bytes: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    client_index: u32,
    /// The upper half of the id's hash; the shard is chosen by the lower half.
    tag: u32,
    id_bytes: u8,
    /// The id, or where it begins in the shard's text.
    id: [u8; INLINE_BYTES],
}

const _: () = assert!(size_of::<Entry<()>>() == 24);

impl<V: Copy> IdTable<V> {
    pub fn new() -> Self {
        let shard = || Shard { entries: HashTable::new(), text: Vec::new(), garbage_bytes: 0 };
        Self { shards: RwLock::new((0..SHARDS).map(|_| shard()).collect()) }
    }

    pub fn view(&self) -> IdView<'_, V> {
        IdView(self.shards.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sets the value of an id, or removes the id.
    pub fn set(&self, hash: u64, client_index: u32, id: &str, value: Option<V>) {
        // The lock is taken for each id, so that requests get in between the changes of a large import.
        let mut shards = self.shards.write().unwrap_or_else(PoisonError::into_inner);
        let shard = &mut shards[shard_index(hash)];
        match value {
            Some(value) => shard.insert(tag(hash), client_index, id, value),
            None => shard.remove(tag(hash), client_index, id),
        }
    }
}

impl<V: Copy> IdView<'_, V> {
    /// The value of a client's id; `None` where the client has no such id.
    pub fn get(&self, hash: u64, client_index: u32, id: &str) -> Option<V> {
        let shard = &self.0[shard_index(hash)];
        let tag = tag(hash);
        let entry = shard.entries.find(spread(tag), |entry| entry.is(&shard.text, tag, client_index, id))?;
        Some(entry.value)
    }

    /// Reads where look-ups of these hashes will begin. One look-up after the other waits for memory, as what comes next
    /// hangs on whether its id is the same; these hang on nothing, and wait together.
    pub fn fetch(&self, hashes: impl Iterator<Item = u64>) {
        let read = hashes.fold(0, |read, hash| {
            let entries = &self.0[shard_index(hash)].entries;
            // The first that may be it nearly always is.
            read ^ entries.find(spread(tag(hash)), |_| true).map_or(0, |entry| entry.tag)
        });
        // Nobody wants it, but it has to be read.
        std::hint::black_box(read);
    }

    /// The number of ids and the bytes they take.
    pub fn size(&self) -> (usize, usize) {
        self.0.iter().fold((0, 0), |(ids, bytes), shard| {
            let shard_bytes = size_of::<Shard<V>>() + shard.entries.allocation_size() + shard.text.capacity();
            (ids + shard.entries.len(), bytes + shard_bytes)
        })
    }
}

impl<V: Copy> Shard<V> {
    fn insert(&mut self, tag: u32, client_index: u32, id: &str, value: V) {
        let Self { entries, text, .. } = self;
        let slot = entries.entry(
            spread(tag),
            |entry| entry.is(text, tag, client_index, id),
            |entry| spread(entry.tag),
        );
        match slot {
            Slot::Occupied(mut occupied) => occupied.get_mut().value = value,
            Slot::Vacant(vacant) => {
                vacant.insert(Entry::new(tag, client_index, id, value, text));
            }
        }
    }

    fn remove(&mut self, tag: u32, client_index: u32, id: &str) {
        let Self { entries, text, .. } = self;
        let found = entries.find_entry(spread(tag), |entry| entry.is(text, tag, client_index, id));
        let Ok(occupied) = found else {
            return;
        };
        let (entry, _) = occupied.remove();
        if !entry.is_inline() {
            self.garbage_bytes += usize::from(entry.id_bytes);
        }
        if self.garbage_bytes > GARBAGE_BYTES_MIN.max(self.text.len() / 2) {
            self.compact();
        }
    }

    fn compact(&mut self) {
        let mut kept = Vec::with_capacity(self.text.len() - self.garbage_bytes);
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_inline()) {
            let start = kept.len();
            kept.extend_from_slice(entry.id(&self.text));
            entry.set_text_start(start);
        }
        self.text = kept;
        self.garbage_bytes = 0;
    }
}

impl<V> Entry<V> {
    fn new(tag: u32, client_index: u32, id: &str, value: V, text: &mut Vec<u8>) -> Self {
        let bytes = id.as_bytes();
        let id_bytes = u8::try_from(bytes.len()).expect("ids are at most 128 bytes");
        let mut entry = Self { value, client_index, tag, id_bytes, id: [0; INLINE_BYTES] };
        if entry.is_inline() {
            entry.id[..bytes.len()].copy_from_slice(bytes);
        } else {
            let start = text.len();
            if text.capacity() - start < bytes.len() {
                // A quarter at a time: doubling would waste more than the ids of a large fleet take.
                text.reserve_exact(bytes.len().max(start / 4));
            }
            text.extend_from_slice(bytes);
            entry.set_text_start(start);
        }
        entry
    }

    fn set_text_start(&mut self, start: usize) {
        let start = u32::try_from(start).expect("a shard's ids stay far under 4 GiB");
        self.id[..4].copy_from_slice(&start.to_le_bytes());
    }

    fn is_inline(&self) -> bool {
        usize::from(self.id_bytes) <= INLINE_BYTES
    }

    fn id<'a>(&'a self, text: &'a [u8]) -> &'a [u8] {
        let bytes = usize::from(self.id_bytes);
        if self.is_inline() {
            return &self.id[..bytes];
        }
        let [a, b, c, d, ..] = self.id;
        let start = u32::from_le_bytes([a, b, c, d]) as usize;
        &text[start..start + bytes]
    }

    fn is(&self, text: &[u8], tag: u32, client_index: u32, id: &str) -> bool {
        self.tag == tag
            && self.client_index == client_index
            && usize::from(self.id_bytes) == id.len()
            && self.id(text) == id.as_bytes()
    }
}

fn shard_index(hash: u64) -> usize {
    hash as usize % SHARDS
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The table wants entropy at both ends of a hash: it finds the bucket by the lower bits and tells
/// neighbours apart by the upper seven. A tag is kept, so growing needs no look at an id.
fn spread(tag: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(tag)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_deleted_ids_is_cleared_away() {
        let table = IdTable::new();
        let id = |number: u32| format!("a-rather-long-device-id-{number:08}");
        // The lower half of these hashes is the same, so all fall into one shard.
        let hash = |number: u32| u64::from(number.wrapping_mul(0x9E37_79B1)) << 32;
        for number in 0..200_000u32 {
            table.set(hash(number), 1, &id(number), Some(number));
            if let Some(old) = number.checked_sub(1000) {
                table.set(hash(old), 1, &id(old), None);
            }
        }
        let (ids, bytes) = table.view().size();
        assert_eq!(ids, 1000);
        assert!(bytes < 400_000, "{bytes} bytes");
        for number in 199_000..200_000u32 {
            assert_eq!(table.view().get(hash(number), 1, &id(number)), Some(number));
        }
    }

    proptest! {
        /// Few ids, few clients and hashes that collide on purpose, against a plain map.
        #[test]
        fn the_table_does_what_a_map_does(
            steps in prop::collection::vec((0u32..3, 0usize..40, 0u64..4, prop::option::of(1u32..9)), 1..400)
        ) {
            let table = IdTable::new();
            let mut model = HashMap::new();
            for (client, id, hash_group, value) in steps {
                let id = "i".repeat(id + 1);
                let hash = hash_group << 32;
                table.set(hash, client, &id, value);
                match value {
                    Some(value) => model.insert((hash, client, id), value),
                    None => model.remove(&(hash, client, id)),
                };
            }
            prop_assert_eq!(table.view().size().0, model.len());
            for hash_group in 0..4u64 {
                for client in 0..3 {
                    for id in 1..=40 {
                        let key = (hash_group << 32, client, "i".repeat(id));
                        prop_assert_eq!(table.view().get(key.0, client, &key.2), model.get(&key).copied());
                    }
                }
            }
        }
    }
}
