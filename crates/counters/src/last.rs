use hashbrown::HashTable;
use wattline_model::Counters;

/// The time and the counters of the last reading of a device.
pub type Last = (i64, Counters);

/// The last reading of each of the devices that were heard from lately: a bounded cache.
///
/// A device is known by a 128-bit hash that the caller makes, so an entry has one size whatever the ids
/// are. Two generations take turns: a device that is heard from moves to the young one, and when that is
/// full the old one is dropped whole. What is dropped is looked up again, so the bound costs time only.
#[derive(Debug)]
pub struct LastReadings {
    young: Generation,
    old: Generation,
    generation_max: usize,
}

/// A device in a table: one line of a cache, and not the ends of two.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Known {
    device: u128,
    last: Last,
}

#[derive(Debug, Default)]
struct Generation(HashTable<Known>);

/// The key is a hash already: half of it is as good a hash as any.
fn hash(device: u128) -> u64 {
    device as u64
}

impl Generation {
    fn get(&self, device: u128) -> Option<&Last> {
        self.0.find(hash(device), |known| known.device == device).map(|known| &known.last)
    }

    fn get_mut(&mut self, device: u128) -> Option<&mut Last> {
        self.0.find_mut(hash(device), |known| known.device == device).map(|known| &mut known.last)
    }

    fn insert(&mut self, device: u128, last: Last) {
        self.0.insert_unique(hash(device), Known { device, last }, |known| hash(known.device));
    }

    fn remove(&mut self, device: u128) {
        if let Ok(known) = self.0.find_entry(hash(device), |known| known.device == device) {
            known.remove();
        }
    }
}

impl LastReadings {
    /// A cache of at least `devices_max / 2` and at most `devices_max` devices once it is full.
    pub fn new(devices_max: usize) -> Self {
        LastReadings {
            young: Generation::default(),
            old: Generation::default(),
            generation_max: (devices_max / 2).max(1),
        }
    }

    pub fn get(&self, device: u128) -> Option<&Last> {
        self.young.get(device).or_else(|| self.old.get(device))
    }

    pub fn put(&mut self, device: u128, last: Last) {
        if let Some(known) = self.young.get_mut(device) {
            *known = last;
            return;
        }
        self.old.remove(device);
        if self.young.0.len() >= self.generation_max {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(device, last);
    }

    /// Each as `put` does it, but their waits for memory overlap: a table of many devices is in no cache.
    pub fn put_all(&mut self, mut devices: impl Iterator<Item = (u128, Last)>) {
        const AT_ONCE: usize = 32;
        let mut some = Vec::with_capacity(AT_ONCE);
        loop {
            some.extend(devices.by_ref().take(AT_ONCE));
            if some.is_empty() {
                return;
            }
            for (device, _) in &some {
                std::hint::black_box(self.young.get(*device));
            }
            for (device, last) in some.drain(..) {
                self.put(device, last);
            }
        }
    }

    pub fn forget(&mut self, device: u128) {
        self.young.remove(device);
        self.old.remove(device);
    }

    pub fn len(&self) -> usize {
        self.young.0.len() + self.old.0.len()
    }

    /// What it takes: an entry and a control byte for each slot of both tables, which are an eighth larger
    /// than what they hold without growing.
    pub fn memory_bytes(&self) -> usize {
        let slots = |generation: &Generation| generation.0.capacity() * 8 / 7;
        (slots(&self.young) + slots(&self.old)) * (size_of::<Known>() + 1)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_takes_less_than_two_hundred_bytes_at_any_size() {
        let mut cache = LastReadings::new(usize::MAX);
        for device in 1..=300_000u128 {
            // As a hash would: the keys are spread over all bits.
            cache.put(device.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835), (0, [0; 4]));
            if device > 1_000 {
                let bytes = cache.memory_bytes() as u128 / device;
                assert!(bytes < 200, "{bytes} bytes a device at {device} devices");
            }
        }
    }

    #[test]
    fn many_at_once_are_as_one_after_the_other() {
        let (mut one, mut all) = (LastReadings::new(40), LastReadings::new(40));
        for round in 0..20u128 {
            // More than a generation, and some of them twice.
            let devices: Vec<(u128, Last)> = (0..60)
                .map(|device| (round * 7 + device % 50, ((round * 100 + device) as i64, [0; 4])))
                .collect();
            devices.iter().for_each(|&(device, last)| one.put(device, last));
            all.put_all(devices.into_iter());
            assert!((0..300).all(|device| one.get(device) == all.get(device)), "round {round}");
        }
    }

    #[test]
    fn stays_within_its_bound_and_keeps_what_is_heard_from() {
        let mut cache = LastReadings::new(100);
        for round in 0..1_000u128 {
            cache.put(7, (round as i64, [0; 4]));
            cache.put(1_000 + round, (0, [0; 4]));
            assert!(cache.len() <= 100);
            assert_eq!(cache.get(7), Some(&(round as i64, [0; 4])));
        }
        cache.forget(7);
        assert_eq!(cache.get(7), None);
    }
}
