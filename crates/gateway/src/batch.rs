use wattline_directory::api::DeviceType;
use wattline_directory::{ClientHandle, DeviceView};
use wattline_kafka::{Appended, Record};
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

/// Takes the points of one request: those that are accepted go, encoded, into a record for each partition.
pub(crate) struct Batch<'a> {
    kind: Kind,
    client: &'a ClientHandle,
    devices: DeviceView<'a>,
    settings: &'a Settings,
    /// Of devices that came before any were added; later ones know their own.
    partitions: u32,
    header: Header<'a>,
    outcomes: Vec<Outcome>,
    /// The open record of each partition; empty where the request has no point for it.
    open: Vec<Vec<u8>>,
    /// Records that were closed because the next point would have made them too large for Kafka.
    full: Vec<(u32, Vec<u8>)>,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(
        kind: Kind,
        client: &'a ClientHandle,
        devices: DeviceView<'a>,
        settings: &'a Settings,
        partitions: u32,
        header: Header<'a>,
    ) -> Self {
        let open = vec![Vec::new(); partitions as usize];
        Batch {
            kind,
            client,
            devices,
            settings,
            partitions,
            header,
            outcomes: Vec::new(),
            open,
            full: Vec::new(),
        }
    }

    pub(crate) fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    pub(crate) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    pub(crate) fn records(&self) -> Vec<Record<'_>> {
        let full = self.full.iter().map(|(partition, value)| (*partition, value));
        let open = (0..).zip(&self.open).filter(|(_, value)| !value.is_empty());
        full.chain(open).map(|(partition, value)| Record { partition: partition as i32, value }).collect()
    }

    fn accept(&mut self, mut point: Point<'_>) -> Outcome {
        let hash = device_hash(&self.client.id, &point.device_id);
        let Some(limits) = self.devices.get(hash, self.client.index, &point.device_id) else {
            return Outcome::UnknownDevice;
        };
        if limits.device_type != DeviceType::Battery {
            return Outcome::NotABattery;
        }
        if self.kind == Kind::BatteryCounter {
            let rated =
                |declared_w: u32| if declared_w == 0 { self.settings.battery_limit_w } else { declared_w };
            point.limits = Limits {
                battery_charge_w: rated(limits.charge_w),
                battery_discharge_w: rated(limits.discharge_w),
                home_w: self.settings.home_limit_w,
                solar_w: self.settings.solar_limit_w,
                modulus_mwh: limits.modulus_mwh,
            };
        }
        let partitions = match limits.partitions {
            0 => self.partitions,
            own => own.into(),
        };
        let partition = partition_of(hash, partitions);
        if self.open.len() <= partition as usize {
            self.open.resize_with(partitions as usize, Vec::new);
        }
        let open = &mut self.open[partition as usize];
        if open.is_empty() {
            record::begin(open, &self.header);
        }
        let before = open.len();
        record::push(open, self.kind, &point);
        if open.len() > self.settings.record_bytes_max {
            let last = open.split_off(before);
            let full = std::mem::take(open);
            record::begin(open, &self.header);
            open.extend_from_slice(&last);
            self.full.push((partition, full));
        }
        Outcome::Accepted { partition }
    }
}

impl<'a> PointSink<'a> for Batch<'_> {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        let outcome = match point {
            Ok(point) => self.accept(point),
            Err(invalid) => Outcome::Invalid(invalid),
        };
        self.outcomes.push(outcome);
    }

    fn restart(&mut self) {
        self.outcomes.clear();
        self.open.iter_mut().for_each(Vec::clear);
        self.full.clear();
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
