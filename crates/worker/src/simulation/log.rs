//! A partition's log: few devices, so that their readings meet, and every kind of record.

use wattline_model::{COUNTERS, Kind, Limits, Point, Quantities, Quantity};
use wattline_wire::record::{self, Header};

use super::world::Rng;

pub(super) struct Entry {
    pub offset: i64,
    pub time_ms: i64,
    pub value: Vec<u8>,
}

const BEGAN_MS: i64 = 1_790_000_000_000;
const STEP_MS: i64 = 300_000;

pub(super) fn generate(rng: &mut Rng, kind: Kind) -> Vec<Entry> {
    let devices: Vec<(String, String)> =
        (0..rng.below(5) + 1).map(|at| (format!("client-{}", at % 2), format!("bat-{}", at / 2))).collect();
    let mut slots = vec![0i64; devices.len()];
    let mut offset = 0;
    let mut log: Vec<Entry> = Vec::new();
    for at in 0..rng.below(60) + 5 {
        // Offsets may have gaps.
        offset += if rng.one_in(20) { 3 } else { 1 };
        let time_ms = BEGAN_MS + at as i64 * 1_000;
        let value = match rng.below(30) {
            0 => b"\xff\xff not a record".to_vec(),
            1 => vec![0x08, 0x09, 0x12, 0x01, b'c'],
            // A gateway's answer was lost, and the request came again.
            2 | 3 if !log.is_empty() => log[rng.below(log.len() as u64) as usize].value.clone(),
            2..=15 => request(rng, kind, &devices, &mut slots, time_ms),
            _ => {
                let mut value = Vec::new();
                for _ in 0..rng.below(3) + 1 {
                    record::join(&mut value, &request(rng, kind, &devices, &mut slots, time_ms));
                }
                value
            }
        };
        log.push(Entry { offset, time_ms, value });
    }
    log
}

fn request(
    rng: &mut Rng,
    kind: Kind,
    devices: &[(String, String)],
    slots: &mut [i64],
    received_at_ms: i64,
) -> Vec<u8> {
    let client = rng.below(2).min(devices.len() as u64 - 1);
    let of_client: Vec<usize> = (client as usize..devices.len()).step_by(2).collect();
    let mut value = Vec::new();
    let header = Header { client_id: &devices[of_client[0]].0, request_id: "r", received_at_ms };
    record::begin(&mut value, &header);
    for _ in 0..rng.below(5) + 1 {
        let device = of_client[rng.below(of_client.len() as u64) as usize];
        slots[device] += 1;
        // Now and then a late one, or one at a time that was there before.
        let slot = if rng.one_in(4) { slots[device] - rng.below(8) as i64 } else { slots[device] };
        let offline = rng.one_in(10);
        let mut quantities = Quantities::default();
        if !offline {
            // The counter follows from the time, but for the odd conflict, step back and reset.
            let wobble = if rng.one_in(8) { rng.below(4) as i64 * 250_000 } else { 0 };
            let base = if rng.one_in(40) { 0 } else { slot.max(0) * 120_000 + 5_000_000 };
            for (at, quantity) in COUNTERS.into_iter().enumerate() {
                quantities.set(quantity, base + wobble + at as i64);
            }
            quantities.set(Quantity::StateOfCharge, rng.below(100_000) as i64);
        }
        let point = Point {
            device_id: devices[device].1.as_str().into(),
            time_ms: BEGAN_MS + slot * STEP_MS,
            duration_ms: if kind == Kind::Battery { STEP_MS as u32 } else { 0 },
            last_is_online: !offline,
            last_is_grid_online: Some(true),
            last_mode: None,
            quantities,
            oem_raw_data: None,
            limits: match kind {
                Kind::Battery => Limits::default(),
                Kind::BatteryCounter => Limits {
                    battery_charge_w: 5_000,
                    battery_discharge_w: 5_000,
                    home_w: 20_000,
                    solar_w: 10_000,
                    modulus_mwh: 0,
                },
            },
        };
        record::push(&mut value, kind, &point);
    }
    value
}
