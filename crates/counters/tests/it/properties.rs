use proptest::prelude::*;
use wattline_counters::Reading;
use wattline_model::{Limits, Quality};

use crate::naive::{Device, intervals, reading};

const LIMITS: Limits = Limits {
    battery_charge_w: 5_000,
    battery_discharge_w: 5_000,
    home_w: 20_000,
    solar_w: 10_000,
    modulus_mwh: 0,
};

/// Readings of one device: times that collide often, counters that rise, fall, jump and conflict.
fn readings() -> impl Strategy<Value = Vec<Reading>> {
    let counter = prop_oneof![0..5_000_000i64, 0..2_000i64, 1_000_000_000..1_000_000_100i64];
    let one = (0..40i64, [counter.clone(), counter.clone(), counter.clone(), counter], 0..2u64).prop_map(
        |(slot, counters, modulus)| {
            let limits = Limits { modulus_mwh: modulus * 1_000_000_000, ..LIMITS };
            reading(1_790_000_000_000 + slot * 300_000, counters, limits)
        },
    );
    // The limits of two readings at one time that are otherwise the same are the same device's.
    prop::collection::vec(one, 0..40).prop_map(|mut all| {
        let modulus_mwh = all.first().map_or(0, |first| first.limits.modulus_mwh);
        all.iter_mut().for_each(|reading| reading.limits.modulus_mwh = modulus_mwh);
        all
    })
}

/// A device whose counters only rise, within its limits, at the slots that are given.
fn clean(slots: &[i64], steps: &[i64]) -> Vec<Reading> {
    let mut total = 0;
    slots
        .iter()
        .zip(steps)
        .map(|(slot, step)| {
            total += step;
            reading(1_790_000_000_000 + slot * 300_000, [total; 4], LIMITS)
        })
        .collect()
}

fn in_batches(readings: &[Reading], sizes: &[usize]) -> Device {
    let mut device = Device::default();
    let mut rest = readings;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(1, |size| (*size).clamp(1, rest.len()));
        device.batch(&rest[..size]);
        rest = &rest[size..];
    }
    device
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_batching_give_the_intervals_from_scratch(
        (all, shuffled) in readings().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        sizes in prop::collection::vec(1..7usize, 1..5),
    ) {
        let want = intervals(&all);
        prop_assert_eq!(in_batches(&all, &[usize::MAX]).table.intervals(), want.clone());
        prop_assert_eq!(in_batches(&shuffled, &sizes).table.intervals(), want);
    }

    #[test]
    fn resending_any_part_changes_nothing(
        all in readings(), again in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        sizes in prop::collection::vec(1..7usize, 1..5),
    ) {
        let mut device = in_batches(&all, &sizes);
        let before = device.table.intervals();
        let kept = intervals(&all);
        prop_assert_eq!(&before, &kept);
        let rows_before = device.table.rows_emitted;
        if !all.is_empty() {
            let resent: Vec<_> = again.iter().map(|index| *index.get(&all)).collect();
            device.batch(&resent);
        }
        prop_assert_eq!(device.table.rows_emitted, rows_before);
        prop_assert_eq!(device.table.intervals(), before);
    }

    #[test]
    fn rows_tile(all in readings(), sizes in prop::collection::vec(1..7usize, 1..5)) {
        let rows = in_batches(&all, &sizes).table.intervals();
        for two in rows.windows(2) {
            prop_assert_eq!(two[0].end_ms, two[1].start_ms);
        }
    }

    #[test]
    fn energies_telescope_where_no_energy_is_guessed(
        all in readings(), sizes in prop::collection::vec(1..7usize, 1..5),
    ) {
        let rows = in_batches(&all, &sizes).table.intervals();
        for counter in 0..4 {
            let exact = rows.iter().all(|row| matches!(row.quality[counter], Quality::Valid | Quality::Jitter));
            if exact && !rows.is_empty() {
                let at = |time_ms: i64| {
                    all.iter().filter(|reading| reading.time_ms == time_ms).map(|reading| reading.counters).max()
                };
                let first = at(rows[0].start_ms).unwrap()[counter];
                let last = at(rows[rows.len() - 1].end_ms).unwrap()[counter];
                let sum: i64 = rows.iter().map(|row| row.energy_mwh[counter].unwrap()).sum();
                prop_assert_eq!(sum, last - first);
            }
        }
    }

    #[test]
    fn a_late_reading_in_a_clean_chain_costs_two_rows(
        steps in prop::collection::vec(0..400_000i64, 3..60), late in any::<prop::sample::Index>(),
    ) {
        let slots: Vec<i64> = (0..steps.len() as i64).collect();
        let mut all = clean(&slots, &steps);
        let whole = all.clone();
        // Neither the first nor the last one is late: those cost one row.
        let late = all.remove(1 + late.index(all.len() - 2));
        let mut device = in_batches(&all, &[4]);
        let before = device.table.rows_emitted;
        device.batch(&[late]);
        prop_assert_eq!(device.table.rows_emitted, before + 2);
        prop_assert_eq!(device.table.intervals(), intervals(&whole));
    }

    #[test]
    fn replay_from_any_older_position_gives_the_same_table(
        all in readings(), from in any::<prop::sample::Index>(),
    ) {
        let mut device = in_batches(&all, &[3]);
        let want = device.table.intervals();
        if !all.is_empty() {
            for reading in &all[from.index(all.len())..] {
                device.batch(&[*reading]);
            }
        }
        prop_assert_eq!(device.table.intervals(), want);
    }
}
