//! The batteries.

use serde_json::json;

/// How a battery tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    Intervals,
    Counters,
    /// Its maker's cloud sends the one, a gateway in the house the other.
    Both,
}

pub(crate) struct Device {
    pub client: &'static str,
    pub site: Option<&'static str>,
    pub id: &'static str,
    pub manufacturer: &'static str,
    pub product: &'static str,
    pub capacity_wh: i64,
    pub power_w: u32,
    pub solar_peak_w: i64,
    pub home_base_w: i64,
    /// Where the battery counters roll over.
    pub modulus_wh: Option<i64>,
    pub reports: Reports,
}

#[rustfmt::skip]
pub(crate) const DEVICES: [Device; 10] = [
    device("sunrise", Some("oak"),  "oak-1",   "Ampere", 5_200, 420, Reports::Intervals),
    device("sunrise", Some("oak"),  "oak-2",   "Ampere", 3_900, 350, Reports::Intervals),
    device("sunrise", Some("elm"),  "elm-1",   "Ampere", 4_800, 510, Reports::Intervals),
    device("sunrise", Some("ash"),  "ash-1",   "Volta",  6_700, 640, Reports::Intervals),
    device("sunrise", Some("fir"),  "fir-1",   "Volta",  5_900, 380, Reports::Both),
    device("sunrise", Some("yew"),  "yew-1",   "Volta",  7_400, 560, Reports::Intervals),
    device("harbor",  Some("pier"), "pier-1",  "Ampere", 4_500, 450, Reports::Counters),
    device("harbor",  Some("quay"), "quay-1",  "Volta",  6_100, 390, Reports::Counters),
    device("harbor",  Some("dock"), "dock-1",  "Joule",  3_600, 300, Reports::Counters),
    device("harbor",  None,         "loose-1", "Joule",  4_100, 480, Reports::Counters),
];

const fn device(
    client: &'static str,
    site: Option<&'static str>,
    id: &'static str,
    manufacturer: &'static str,
    solar_peak_w: i64,
    home_base_w: i64,
    reports: Reports,
) -> Device {
    let (product, capacity_wh, power_w) = match manufacturer.as_bytes() {
        b"Ampere" => ("A10", 10_000, 5_000),
        b"Volta" => ("V15", 15_000, 7_000),
        _ => ("J5", 5_000, 3_000),
    };
    let modulus_wh = match id.as_bytes() {
        b"dock-1" => Some(100_000),
        _ => None,
    };
    Device {
        client,
        site,
        id,
        manufacturer,
        product,
        capacity_wh,
        power_w,
        solar_peak_w,
        home_base_w,
        modulus_wh,
        reports,
    }
}

/// The batteries as lines for `wattline devices import`.
pub fn device_lines() -> impl Iterator<Item = String> {
    DEVICES.iter().map(|device| {
        json!({
            "client": device.client,
            "site_id": device.site,
            "device_id": device.id,
            "manufacturer_name": device.manufacturer,
            "product_name": device.product,
            "battery_capacity_wh": device.capacity_wh,
            "battery_power_input_w": device.power_w,
            "battery_power_output_w": device.power_w,
            "counter_modulus_wh": device.modulus_wh,
        })
        .to_string()
    })
}
