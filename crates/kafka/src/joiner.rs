use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::producer::{Appended, Pending, Producer, Record};

#[derive(Clone, Debug)]
pub struct JoinerSettings {
    pub topic: String,
    /// How long a record may wait for company; with none it is sent at once, and alone.
    pub linger: Duration,
    /// No record joins others to more bytes than these,
    pub bytes_max: usize,
    /// nor to more items.
    pub items_max: usize,
    /// Puts a record to those that are joined already.
    pub join: fn(&mut Vec<u8>, &[u8]),
}

/// A record that may be joined to others.
#[derive(Clone, Copy, Debug)]
pub struct Joinable<'a> {
    pub record: Record<'a>,
    /// What is in it, as its readers count.
    pub items: usize,
}

/// Appends to one topic and joins what comes for a partition within the linger to one record: whatever Kafka,
/// librdkafka and the readers do for each record they do once for all of them.
///
/// Each append waits for its own records, and hears of a joined one that was given up as if it had been its own.
pub struct Joiner {
    producer: Arc<Producer>,
    settings: JoinerSettings,
    /// Open records, by the partition modulo their number.
    slots: [Mutex<Vec<Open>>; SLOTS],
    /// Somebody will send what is open.
    is_timed: AtomicBool,
}

/// So many appends can be served at once.
const SLOTS: usize = 32;

/// A record that may get company.
struct Open {
    partition: i32,
    value: Vec<u8>,
    items: usize,
    appends: Vec<Arc<Pending>>,
}

impl Joiner {
    pub fn new(producer: Arc<Producer>, settings: JoinerSettings) -> Arc<Self> {
        let slots = std::array::from_fn(|_| Mutex::default());
        Arc::new(Joiner { producer, settings, slots, is_timed: AtomicBool::new(false) })
    }

    pub fn topic(&self) -> &str {
        &self.settings.topic
    }

    /// As `Producer::append`. The records of a request that is traced have the `traceparent` in a header, and no
    /// company.
    pub fn append(
        self: &Arc<Self>,
        records: &[Joinable<'_>],
        traceparent: Option<&str>,
    ) -> impl Future<Output = Appended> + use<> {
        let JoinerSettings { linger, bytes_max, items_max, join, .. } = self.settings;
        let is_alone = traceparent.is_some() || linger.is_zero();
        let (pending, settled) = Pending::new(records.len());
        for Joinable { record, items } in records {
            let mut slot = self.slot(record.partition);
            let open = open(&mut slot, record.partition);
            // What came before is sent before: a partition keeps the order of its appends.
            let is_full = open.value.len() + record.value.len() > bytes_max || open.items + items > items_max;
            if is_alone || is_full {
                self.send(open, None);
            }
            join(&mut open.value, record.value);
            open.items += items;
            open.appends.push(Arc::clone(&pending));
            if is_alone {
                self.send(open, traceparent);
            }
        }
        pending.record_settled(None);
        if !is_alone && !records.is_empty() && !self.is_timed.swap(true, Ordering::AcqRel) {
            let joiner = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(linger).await;
                // What is put to a record from here on has a timer of its own.
                joiner.is_timed.swap(false, Ordering::AcqRel);
                joiner.send_all();
            });
        }
        settled
    }

    /// Sends what is open.
    pub fn send_all(&self) {
        for slot in &self.slots {
            for open in &mut *lock(slot) {
                self.send(open, None);
            }
        }
    }

    fn slot(&self, partition: i32) -> MutexGuard<'_, Vec<Open>> {
        lock(&self.slots[partition as usize % SLOTS])
    }

    fn send(&self, open: &mut Open, traceparent: Option<&str>) {
        if open.appends.is_empty() {
            return;
        }
        let record = Record { partition: open.partition, value: &open.value };
        self.producer.send(&self.settings.topic, record, traceparent, std::mem::take(&mut open.appends));
        open.items = 0;
        open.value.clear();
        open.value.shrink_to(self.settings.bytes_max);
    }
}

fn lock(slot: &Mutex<Vec<Open>>) -> MutexGuard<'_, Vec<Open>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open(slot: &mut Vec<Open>, partition: i32) -> &mut Open {
    let at = slot.iter().position(|open| open.partition == partition).unwrap_or_else(|| {
        slot.push(Open { partition, value: Vec::new(), items: 0, appends: Vec::new() });
        slot.len() - 1
    });
    &mut slot[at]
}
