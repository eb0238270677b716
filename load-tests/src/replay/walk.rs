//! Points from devices all over a fleet, each device's in the order of time.

use anyhow::bail;
use bytes::Bytes;

use crate::fleet::{Batch, Device, INTERVAL_S, Kind};

/// The devices that are met one after another lie far apart, and none comes again before all were met.
pub struct Walk {
    seed: u64,
    devices: u32,
    first_s: u32,
    now_s: u32,
    rings: Vec<Ring>,
    /// How many bodies were made.
    made: usize,
}

struct Ring {
    kind: Kind,
    /// The index of the first device, and the distance to the next.
    first: u32,
    step: u32,
    /// None where a device was not met yet.
    devices: Vec<Option<Device>>,
    stride: u64,
    met: u64,
}

impl Walk {
    /// With both kinds, devices are of the kind that they have in the fleet; with one, all are of that kind.
    pub fn new(seed: u64, devices: u32, kinds: &[Kind], now_s: u32, hours_back: u32) -> Self {
        let rings = kinds
            .iter()
            .map(|kind| {
                let (first, step) = if kinds.len() > 1 { (*kind as u32, 2) } else { (0, 1) };
                let count = (devices - first).div_ceil(step);
                Ring {
                    kind: *kind,
                    first,
                    step,
                    devices: vec![None; count as usize],
                    stride: stride(u64::from(count)),
                    met: 0,
                }
            })
            .collect();
        let first_s = now_s.saturating_sub(hours_back * 3_600) / INTERVAL_S * INTERVAL_S;
        Self { seed, devices, first_s, now_s, rings, made: 0 }
    }

    pub fn devices(&self) -> u32 {
        self.devices
    }

    pub fn bodies(&mut self, bodies: usize, points: usize) -> anyhow::Result<Vec<(Kind, Bytes)>> {
        (0..bodies).map(|_| self.body(points)).collect()
    }

    fn body(&mut self, points: usize) -> anyhow::Result<(Kind, Bytes)> {
        let rings = self.rings.len();
        let ring = &mut self.rings[self.made % rings];
        self.made += 1;
        let mut batch = Batch::new(ring.kind, points);
        for _ in 0..points {
            let place = (ring.met.wrapping_mul(ring.stride) % ring.devices.len() as u64) as usize;
            ring.met += 1;
            let index = ring.first + place as u32 * ring.step;
            let device =
                ring.devices[place].get_or_insert_with(|| Device::drawn(self.seed, index, self.first_s));
            if device.next_end_s() > self.now_s {
                bail!(
                    "the devices have no more to report up to the present: more of them, or more hours back"
                );
            }
            batch.push(&device.advance(), None);
        }
        batch.finish();
        Ok((ring.kind, batch.body()))
    }
}

/// Near the golden section of the count, and without a common divisor with it.
fn stride(count: u64) -> u64 {
    let section = (count as f64 * 0.618) as u64;
    (section.max(1)..).find(|stride| divisor(*stride, count) == 1).unwrap_or(1)
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    /// In one turn each device is met once, in the next each with its next interval.
    #[test]
    fn every_device_is_met_in_turn_and_moves_on() {
        const NOW_S: u32 = 1_795_478_400;
        for kinds in [&Kind::ALL[..], &[Kind::BatteryCounter]] {
            let mut walk = Walk::new(7, 60, kinds, NOW_S, 2);
            let mut times = BTreeMap::<String, Vec<String>>::new();
            for (kind, body) in walk.bodies(60 / 10 * 3, 10).expect("time is left") {
                let time = if kind == Kind::Battery { "start_time" } else { "timestamp" };
                let body: Value = serde_json::from_slice(&body).expect("JSON");
                for point in body["telemetry"].as_array().expect("points") {
                    let text = |field: &str| point[field].as_str().expect("text")[..16].trim_end().to_owned();
                    let id = point["device_id"].as_str().expect("an id").to_owned();
                    times.entry(id).or_default().push(text(time));
                }
            }
            assert_eq!(times.len(), 60);
            for (id, times) in times {
                assert_eq!(times.len(), 3, "{id}");
                assert!(times.is_sorted() && times[0] != times[1], "{id}: {times:?}");
            }
            assert!(walk.bodies(60 / 10 * 22, 10).is_err(), "two hours are over");
        }
    }
}
