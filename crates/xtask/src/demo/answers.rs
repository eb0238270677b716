//! Three answers an analyst would ask for.

use std::time::Duration;

use crate::http;

const QUERY_TIMEOUT: Duration = Duration::from_secs(60);

const QUESTIONS: [(&str, &str); 3] = [
    (
        "Energy by hour, the last 24 of them (kWh)",
        "SELECT toStartOfHour(start_time) AS hour,
                uniqExact(device_id) AS devices,
                count() AS intervals,
                round(sum(battery_total_energy_charge_wh) / 1000, 1) AS charged,
                round(sum(battery_total_energy_discharge_wh) / 1000, 1) AS discharged,
                round(sum(solar_total_energy_wh) / 1000, 1) AS solar,
                round(sum(home_total_energy_wh) / 1000, 1) AS home
         FROM intervals_latest
         GROUP BY hour ORDER BY hour DESC LIMIT 24
         FORMAT PrettyCompactMonoBlock",
    ),
    (
        "The latest state of one device",
        "SELECT device_id, end_time, last_is_online AS online, last_mode AS mode,
                battery_last_state_of_charge_percentage AS charge_percent,
                battery_last_stored_energy_wh AS stored_wh,
                battery_last_power_discharge_w AS discharge_w,
                solar_last_power_w AS solar_w,
                home_last_power_w AS home_w
         FROM intervals_latest
         WHERE device_id = (SELECT min(device_id) FROM intervals WHERE last_is_online)
         ORDER BY end_time DESC LIMIT 1
         FORMAT PrettyCompactMonoBlock",
    ),
    (
        "The five largest dischargers",
        "SELECT device_id,
                round(sum(battery_total_energy_discharge_wh) / 1000, 2) AS discharged_kwh,
                max(battery_last_power_discharge_w) AS discharge_w_max,
                min(start_time) AS since,
                max(end_time) AS until
         FROM intervals_latest
         GROUP BY device_id ORDER BY discharged_kwh DESC, device_id LIMIT 5
         FORMAT PrettyCompactMonoBlock",
    ),
];

pub fn print(clickhouse: &str) -> anyhow::Result<()> {
    let url = format!("{clickhouse}/?database=wattline&output_format_pretty_row_numbers=0");
    for (question, query) in QUESTIONS {
        println!("{question}\n{}", http::post(&url, query, QUERY_TIMEOUT)?);
    }
    Ok(())
}
