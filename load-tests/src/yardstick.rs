//! What decoding and a gateway are held against: the same bodies into structs that borrow, and no rule checked.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub struct Telemetry<'a> {
    #[serde(borrow)]
    pub telemetry: Vec<Point<'a>>,
}

/// A point of either kind.
#[derive(Debug, Deserialize)]
pub struct Point<'a> {
    pub timestamp: Option<&'a str>,
    pub start_time: Option<&'a str>,
    pub duration_s: Option<f64>,
    pub device_id: &'a str,
    pub last_is_online: bool,
    pub last_mode: Option<&'a str>,
    pub battery_last_power_charge_w: Option<f64>,
    pub battery_last_power_discharge_w: Option<f64>,
    pub battery_total_energy_charge_wh: Option<f64>,
    pub battery_total_energy_discharge_wh: Option<f64>,
    pub battery_last_stored_energy_wh: Option<f64>,
    pub battery_last_capacity_energy_wh: Option<f64>,
    pub last_is_grid_online: Option<bool>,
    pub home_total_energy_wh: Option<f64>,
    pub home_last_power_w: Option<f64>,
    pub solar_total_energy_wh: Option<f64>,
    pub solar_last_power_w: Option<f64>,
    pub battery_last_state_of_charge_percentage: Option<f64>,
    pub battery_last_state_of_health_percentage: Option<f64>,
    pub battery_last_backup_reserve_percentage: Option<f64>,
}
