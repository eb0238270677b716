//! Readings of counters to the intervals between them, by a chain: as it is for a device that is late, repeats itself
//! or was looked up. Where readings come in their order the worker needs no chain, but everything else of this.

use anyhow::ensure;
use wattline_counters::{Chain, LastReadings, Link, Reading, pair};
use wattline_model::{Kind, Limits, Point};
use wattline_wire::device_hash;

use crate::material::{CLIENT, bodies, points};

/// The next reading of each device, where the one before is remembered.
pub struct Derive {
    previous: LastReadings,
    next: LastReadings,
    readings: Vec<(u128, Reading)>,
}

impl Derive {
    pub fn new(points: usize) -> anyhow::Result<Self> {
        let bodies = bodies(Kind::BatteryCounter, points, 2);
        let mut previous = LastReadings::new(2 * points);
        for (device, reading) in readings(&bodies[0])? {
            previous.put(device, (reading.time_ms, reading.counters));
        }
        let next = LastReadings::new(2 * points);
        let mut stage = Derive { previous, next, readings: readings(&bodies[1])? };
        ensure!(stage.run() > 0, "a device whose counters run has an interval with energy");
        Ok(stage)
    }

    /// How many energies the intervals have.
    pub fn run(&mut self) -> usize {
        let mut energies = 0;
        for (device, reading) in &self.readings {
            let before = self.previous.get(*device).map(|(time_ms, counters)| Link {
                reading: Reading { time_ms: *time_ms, counters: *counters, limits: Limits::default() },
                payload: (),
            });
            let mut chain = Chain::new(before.into_iter().collect());
            chain.insert(Link { reading: *reading, payload: () });
            for (previous, next) in chain.take_changed() {
                energies += pair(&previous.reading, &next.reading).energy_mwh.iter().flatten().count();
            }
            self.next.put(*device, (reading.time_ms, reading.counters));
        }
        energies
    }
}

fn readings(body: &[u8]) -> anyhow::Result<Vec<(u128, Reading)>> {
    let points = points(Kind::BatteryCounter, body)?;
    let of = |point: &Point<'_>| {
        let hash = u128::from(device_hash(CLIENT, &point.device_id));
        let counters = point.quantities.counters()?;
        Some((hash << 64 | hash, Reading { time_ms: point.time_ms, counters, limits: point.limits }))
    };
    // A device that is offline reports none.
    Ok(points.iter().filter_map(of).collect())
}
