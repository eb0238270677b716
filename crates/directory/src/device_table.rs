//! What is kept in memory of a device, in 16 bytes.

use crate::api::DeviceType;
use crate::id_table::{IdTable, IdView};
use crate::partitions::PARTITIONS_MAX;

/// What a device is, and what it declared that it can move; 0 where it declared nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceLimits {
    pub charge_w: u32,
    pub discharge_w: u32,
    /// Where the battery's counters roll over, in 0.001 Wh.
    pub modulus_mwh: u64,
    /// Only a battery sends battery telemetry.
    pub device_type: DeviceType,
    /// Among how many Kafka partitions the device is placed; 0 where it came before any were added.
    pub partitions: u16,
}

#[derive(Debug)]
pub(crate) struct DeviceTable(IdTable<Packed>);

/// All devices as they are at this moment: no change comes in between while it is held.
///
/// Take one for a request's points together, and let go of it before anything waits. Whoever holds one
/// must not ask the snapshot for devices besides: behind a waiting change, that would wait for ever.
pub struct DeviceView<'a>(IdView<'a, Packed>);

#[derive(Clone, Copy, Debug)]
struct Packed {
    /// The modulus, which is under 2^50, with the partitions above it and the highest bit set for what is no
    /// battery.
    modulus_mwh: u64,
    charge_w: u32,
    discharge_w: u32,
}

const MODULUS_BITS: u32 = 50;
const MODULUS: u64 = (1 << MODULUS_BITS) - 1;
const IS_EV_CHARGER: u64 = 1 << 63;
const _: () = assert!((PARTITIONS_MAX as u64) < 1 << (63 - MODULUS_BITS));

const _: () = assert!(size_of::<Packed>() == 16);

impl DeviceTable {
    pub fn new() -> Self {
        Self(IdTable::new())
    }

    pub fn view(&self) -> DeviceView<'_> {
        DeviceView(self.0.view())
    }

    /// Sets the limits of a device, or removes it.
    pub fn set(&self, hash: u64, client_index: u32, device_id: &str, limits: Option<DeviceLimits>) {
        self.0.set(hash, client_index, device_id, limits.map(Packed::from));
    }
}

impl DeviceView<'_> {
    /// The limits of a client's device; `None` where the client has no such device.
    pub fn get(&self, hash: u64, client_index: u32, device_id: &str) -> Option<DeviceLimits> {
        self.0.get(hash, client_index, device_id).map(DeviceLimits::from)
    }

    /// To be called before several devices are looked up: their waits for memory then overlap.
    pub fn fetch(&self, hashes: impl Iterator<Item = u64>) {
        self.0.fetch(hashes);
    }

    /// The number of devices and the bytes they take.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.0.size()
    }
}

impl From<DeviceLimits> for Packed {
    fn from(limits: DeviceLimits) -> Self {
        let flag = match limits.device_type {
            DeviceType::Battery => 0,
            DeviceType::EvCharger => IS_EV_CHARGER,
        };
        let DeviceLimits { charge_w, discharge_w, modulus_mwh, partitions, .. } = limits;
        let partitions = u64::from(partitions) << MODULUS_BITS & !IS_EV_CHARGER;
        Self { modulus_mwh: modulus_mwh & MODULUS | partitions | flag, charge_w, discharge_w }
    }
}

impl From<Packed> for DeviceLimits {
    fn from(packed: Packed) -> Self {
        let device_type = match packed.modulus_mwh & IS_EV_CHARGER {
            0 => DeviceType::Battery,
            _ => DeviceType::EvCharger,
        };
        let Packed { modulus_mwh, charge_w, discharge_w } = packed;
        let partitions = ((modulus_mwh & !IS_EV_CHARGER) >> MODULUS_BITS) as u16;
        Self { charge_w, discharge_w, modulus_mwh: modulus_mwh & MODULUS, device_type, partitions }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_loses_nothing() {
        for device_type in DeviceType::ALL {
            for (modulus_mwh, partitions) in
                [(0, 0), (1, 24), (1_000_000_000_000_000, 0), (1_000_000_000_000_000, PARTITIONS_MAX as u16)]
            {
                let limits =
                    DeviceLimits { charge_w: u32::MAX, discharge_w: 0, modulus_mwh, device_type, partitions };
                assert_eq!(DeviceLimits::from(Packed::from(limits)), limits);
            }
        }
    }
}
