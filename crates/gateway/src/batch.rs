use wattline_directory::api::DeviceType;
use wattline_directory::{ClientHandle, DeviceLimits, DeviceView};
use wattline_kafka::{Appended, Joinable, Record};
use wattline_model::{Kind, Limits, Point};
use wattline_wire::record::{self, Header};
use wattline_wire::{Invalid, PointSink, device_hash, partition_of};

use crate::settings::Settings;

/// What is known of a point once its request is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the record for this partition, and OK once Kafka has that.
    Accepted {
        partition: u32,
    },
    Invalid(Invalid),
    UnknownDevice,
    /// The device is the client's, and no battery.
    NotABattery,
}

/// Points whose devices are looked up one right after the other: where each of them is in memory is not near, and so
/// the processor waits for several at once.
const LOOK_UPS: usize = 32;

/// Takes the points of one request: those that are accepted go, encoded, into a record for each partition.
pub(crate) struct Batch<'a> {
    kind: Kind,
    client: &'a ClientHandle,
    devices: DeviceView<'a>,
    settings: &'a Settings,
    /// Of devices that came before any were added; later ones know their own.
    partitions: u32,
    /// Points that keep the rules, and whose devices are not looked up yet.
    waiting: Vec<Waiting<'a>>,
    outcomes: Vec<Outcome>,
    records: Records<'a>,
}

struct Waiting<'a> {
    /// Which of the request's points it is.
    at: usize,
    device_hash: u64,
    point: Point<'a>,
}

/// The points of a request, each with what is known of it, and the records of those that are accepted.
pub(crate) struct Encoded<'a> {
    pub outcomes: Vec<Outcome>,
    records: Records<'a>,
}

impl Encoded<'_> {
    pub(crate) fn records(&self) -> Vec<Joinable<'_>> {
        let Records { full, open, .. } = &self.records;
        let full = full.iter().map(|(partition, message)| (*partition, message));
        let open = (0..).zip(open).filter(|(_, message)| message.points > 0);
        full.chain(open)
            .map(|(partition, Message { value, points })| Joinable {
                record: Record { partition: partition as i32, value },
                items: *points,
            })
            .collect()
    }
}

/// What the request has for one partition.
#[derive(Default)]
struct Message {
    value: Vec<u8>,
    points: usize,
}

struct Records<'a> {
    header: Header<'a>,
    /// What a record is expected to need.
    bytes: usize,
    bytes_max: usize,
    /// The open one of each partition; empty where the request has no point for it.
    open: Vec<Message>,
    /// Those that were closed because the next point would have made them too large for Kafka.
    full: Vec<(u32, Message)>,
}

impl Records<'_> {
    fn push(&mut self, partition: u32, kind: Kind, point: &Point<'_>) {
        if self.open.len() <= partition as usize {
            self.open.resize_with(partition as usize + 1, Message::default);
        }
        let open = &mut self.open[partition as usize];
        if open.points == 0 {
            open.value.reserve(self.bytes);
            record::begin(&mut open.value, &self.header);
        }
        let before = open.value.len();
        record::push(&mut open.value, kind, point);
        if open.value.len() > self.bytes_max {
            let last = open.value.split_off(before);
            let full = std::mem::take(open);
            record::begin(&mut open.value, &self.header);
            open.value.extend_from_slice(&last);
            self.full.push((partition, full));
        }
        open.points += 1;
    }

    fn clear(&mut self) {
        for open in &mut self.open {
            open.value.clear();
            open.points = 0;
        }
        self.full.clear();
    }
}

impl<'a> Batch<'a> {
    /// For the points of a body of so many bytes.
    pub(crate) fn new(
        kind: Kind,
        client: &'a ClientHandle,
        devices: DeviceView<'a>,
        settings: &'a Settings,
        partitions: u32,
        header: Header<'a>,
        body_bytes: usize,
    ) -> Self {
        /// A point takes a seventh of its JSON, and partitions have not all the same number of them.
        const SHARE: usize = 5;
        /// The names of client and request, and a point.
        const BYTES_MIN: usize = 256;
        let records = Records {
            header,
            bytes: BYTES_MIN + body_bytes / SHARE / partitions as usize,
            bytes_max: settings.record_bytes_max,
            open: (0..partitions).map(|_| Message::default()).collect(),
            full: Vec::new(),
        };
        let waiting = Vec::new();
        Batch { kind, client, devices, settings, partitions, waiting, outcomes: Vec::new(), records }
    }

    pub(crate) fn finish(mut self) -> Encoded<'a> {
        self.look_up();
        Encoded { outcomes: self.outcomes, records: self.records }
    }

    /// Looks up the devices of the points that wait, and adds those that are accepted to their records.
    fn look_up(&mut self) {
        self.devices.fetch(self.waiting.iter().map(|waiting| waiting.device_hash));
        let mut found = [None; LOOK_UPS];
        for (found, waiting) in found.iter_mut().zip(&self.waiting) {
            *found = self.devices.get(waiting.device_hash, self.client.index, &waiting.point.device_id);
        }
        for (found, waiting) in found.iter().zip(&mut self.waiting) {
            let Waiting { at, device_hash, point } = waiting;
            let Some(limits) = found else { continue };
            if limits.device_type != DeviceType::Battery {
                self.outcomes[*at] = Outcome::NotABattery;
                continue;
            }
            if self.kind == Kind::BatteryCounter {
                point.limits = stamped(limits, self.settings);
            }
            let partitions = match limits.partitions {
                0 => self.partitions,
                own => own.into(),
            };
            let partition = partition_of(*device_hash, partitions);
            self.records.push(partition, self.kind, point);
            self.outcomes[*at] = Outcome::Accepted { partition };
        }
        self.waiting.clear();
    }
}

/// What a counter reading of the device is judged by.
fn stamped(limits: &DeviceLimits, settings: &Settings) -> Limits {
    let rated = |declared_w: u32| if declared_w == 0 { settings.battery_limit_w } else { declared_w };
    Limits {
        battery_charge_w: rated(limits.charge_w),
        battery_discharge_w: rated(limits.discharge_w),
        home_w: settings.home_limit_w,
        solar_w: settings.solar_limit_w,
        modulus_mwh: limits.modulus_mwh,
    }
}

impl<'a> PointSink<'a> for Batch<'a> {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        let at = self.outcomes.len();
        match point {
            Ok(point) => {
                // Until it is found.
                self.outcomes.push(Outcome::UnknownDevice);
                let device_hash = device_hash(&self.client.id, &point.device_id);
                self.waiting.push(Waiting { at, device_hash, point });
                if self.waiting.len() == LOOK_UPS {
                    self.look_up();
                }
            }
            Err(invalid) => self.outcomes.push(Outcome::Invalid(invalid)),
        }
    }

    fn restart(&mut self) {
        self.waiting.clear();
        self.outcomes.clear();
        self.records.clear();
    }
}

/// How many points of a request ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub ok: u64,
    pub unconfirmed: u64,
    pub failed: u64,
}

impl Tally {
    pub(crate) fn of(outcomes: &[Outcome], appended: &Appended) -> Self {
        let mut tally = Tally::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Accepted { partition } if is_unconfirmed(appended, *partition) => {
                    tally.unconfirmed += 1
                }
                Outcome::Accepted { .. } => tally.ok += 1,
                Outcome::Invalid(_) | Outcome::UnknownDevice | Outcome::NotABattery => tally.failed += 1,
            }
        }
        tally
    }
}

pub(crate) fn is_unconfirmed(appended: &Appended, partition: u32) -> bool {
    // Empty unless Kafka is in trouble.
    appended.unconfirmed.contains(&(partition as i32))
}
