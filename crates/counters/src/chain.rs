use crate::Reading;

/// A reading in its chain, with what the caller needs to know it by: where it came from, and the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<T> {
    pub reading: Reading,
    pub payload: T,
}

/// What became of a reading that was offered to a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted<T> {
    /// It is in the chain, at a time that had no reading.
    New,
    /// The chain has the very same reading already; nothing changes.
    Same,
    /// It is in the chain, in the place of a smaller reading at the same time, which is out.
    Replaced(Link<T>),
    /// A larger reading at the same time stays; this one is out.
    Refused,
}

/// The part of a device's chain that a batch can touch, oldest first: every reading between the oldest and
/// the youngest one that is new, and one neighbour on each side.
#[derive(Clone, Debug)]
pub struct Chain<T> {
    links: Vec<Link<T>>,
    /// The end times of the pairs that changed since they were last taken, in any order, some of them twice.
    changed_ms: Vec<i64>,
}

impl<T: Copy> Chain<T> {
    /// A chain of readings that are stored already; they may come in any order, one a timestamp.
    pub fn new(mut known: Vec<Link<T>>) -> Self {
        known.sort_unstable_by_key(|link| link.reading.time_ms);
        debug_assert!(known.is_sorted_by(|a, b| a.reading.time_ms < b.reading.time_ms));
        Chain { links: known, changed_ms: Vec::new() }
    }

    pub fn insert(&mut self, link: Link<T>) -> Inserted<T> {
        let time_ms = link.reading.time_ms;
        // Readings nearly always come in order: look at the youngest first.
        let at = match self.links.last() {
            Some(last) if last.reading.time_ms < time_ms => self.links.len(),
            _ => self.links.partition_point(|known| known.reading.time_ms < time_ms),
        };
        let outcome = match self.links.get_mut(at) {
            Some(known) if known.reading.time_ms == time_ms => {
                match link.reading.counters.cmp(&known.reading.counters) {
                    std::cmp::Ordering::Equal => return Inserted::Same,
                    std::cmp::Ordering::Less => return Inserted::Refused,
                    std::cmp::Ordering::Greater => Inserted::Replaced(std::mem::replace(known, link)),
                }
            }
            _ => {
                self.links.insert(at, link);
                Inserted::New
            }
        };
        self.changed_ms.push(time_ms);
        if let Some(next) = self.links.get(at + 1) {
            self.changed_ms.push(next.reading.time_ms);
        }
        outcome
    }

    /// The pairs that changed since the last call, oldest first: each is one row to write.
    pub fn take_changed(&mut self) -> impl Iterator<Item = (&Link<T>, &Link<T>)> {
        let links = &self.links;
        self.changed_ms.sort_unstable();
        self.changed_ms.dedup();
        self.changed_ms.drain(..).filter_map(move |end_ms| {
            let at = links.partition_point(|link| link.reading.time_ms < end_ms);
            // The first reading of a chain ends no interval.
            let previous = links.get(at.checked_sub(1)?)?;
            Some((previous, &links[at]))
        })
    }

    pub fn last(&self) -> Option<&Link<T>> {
        self.links.last()
    }
}
