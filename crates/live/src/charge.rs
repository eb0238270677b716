//! The state of charge of each battery as it was last known, counted in steps of ten per cent.

use anyhow::Context as _;
use serde::Serialize;

/// A battery that has been silent for longer is in none of the steps. A day and an hour: a simulated fleet posts
/// a day that is over.
const KNOWN_FOR_HOURS: u32 = 25;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Charge {
    /// Batteries from 0 to under 10 %, and so on; 100 % is in the last.
    pub(crate) steps: [u64; 10],
    /// Those whose last state says nothing of it, as when they are offline.
    pub(crate) unknown: u64,
}

/// The names are arguments of the person who starts the page; quotes are not theirs to give.
pub(crate) fn query(database: &str, client: &str) -> String {
    let (database, client) = (database.replace('`', ""), client.replace(['\'', '\\'], ""));
    format!(
        "SELECT if(percent IS NULL, -1, toInt8(least(floor(percent / 10), 9))) AS step, count()
         FROM (SELECT coalesce(battery_last_state_of_charge_percentage,
                               battery_last_stored_energy_wh * 100 / nullIf(battery_last_capacity_energy_wh, 0)) AS percent
               FROM `{database}`.device_states(since = now64(3, 'UTC') - INTERVAL {KNOWN_FOR_HOURS} HOUR,
                                               until = now64(3, 'UTC') + INTERVAL 1 HOUR)
               WHERE client_id = '{client}')
         GROUP BY step ORDER BY step FORMAT TabSeparated"
    )
}

pub(crate) fn read(answer: &str) -> anyhow::Result<Charge> {
    let mut charge = Charge::default();
    for line in answer.lines() {
        let (step, count) = line.split_once('\t').context("a step and a count")?;
        let (step, count): (i8, u64) = (step.parse().context("a step")?, count.parse().context("a count")?);
        match usize::try_from(step) {
            Ok(step) => *charge.steps.get_mut(step).context("a step of ten")? += count,
            Err(_) => charge.unknown += count,
        }
    }
    Ok(charge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_counted_by_steps() {
        let charge = read("-1\t4\n0\t1\n9\t7\n").expect("an answer");
        assert_eq!(charge, Charge { steps: [1, 0, 0, 0, 0, 0, 0, 0, 0, 7], unknown: 4 });
        assert!(read("10\t1\n").is_err());
    }
}
