//! The products that the fleet is made of, and the line that commissions a device.

use serde::Serialize;

use super::device_id;

pub(super) struct Product {
    manufacturer_name: &'static str,
    product_name: &'static str,
    pub(super) power_input_w: u32,
    pub(super) power_output_w: u32,
    pub(super) capacity_wh: u32,
}

/// Each product can give up nine tenths of its capacity within 3.25 hours at three quarters of its
/// power: the evening's discharge relies on it (see `device.rs`).
pub(super) const PRODUCTS: [Product; 6] = [
    Product {
        manufacturer_name: "Alder Energy",
        product_name: "Hearth 13",
        power_input_w: 5_000,
        power_output_w: 5_000,
        capacity_wh: 13_500,
    },
    Product {
        manufacturer_name: "Alder Energy",
        product_name: "Hearth 16",
        power_input_w: 7_600,
        power_output_w: 7_600,
        capacity_wh: 16_000,
    },
    Product {
        manufacturer_name: "Borealis",
        product_name: "Stack 10",
        power_input_w: 3_800,
        power_output_w: 5_000,
        capacity_wh: 10_000,
    },
    Product {
        manufacturer_name: "Borealis",
        product_name: "Stack 20",
        power_input_w: 7_600,
        power_output_w: 10_000,
        capacity_wh: 20_000,
    },
    Product {
        manufacturer_name: "Cobalt & Sons",
        product_name: "Wall 5",
        power_input_w: 2_500,
        power_output_w: 2_500,
        capacity_wh: 5_000,
    },
    Product {
        manufacturer_name: "Dynamo Home",
        product_name: "D9",
        power_input_w: 3_840,
        power_output_w: 3_840,
        capacity_wh: 9_600,
    },
];

#[derive(Serialize)]
struct ImportLine<'a> {
    client: &'a str,
    site_id: String,
    device_id: String,
    manufacturer_name: &'static str,
    product_name: &'static str,
    battery_power_input_w: u32,
    battery_power_output_w: u32,
    battery_capacity_wh: u32,
    counter_modulus_wh: Option<u64>,
}

/// The JSON line, without its line end, that `wattline devices import` takes for one device.
/// Two devices share a site.
pub fn import_line(seed: u64, index: u32, client: &str) -> serde_json::Result<String> {
    let product = &PRODUCTS[super::device::product_of(seed, index)];
    serde_json::to_string(&ImportLine {
        client,
        site_id: format!("site-{:05}", index / 2 + 1),
        device_id: device_id(index),
        manufacturer_name: product.manufacturer_name,
        product_name: product.product_name,
        battery_power_input_w: product.power_input_w,
        battery_power_output_w: product.power_output_w,
        battery_capacity_wh: product.capacity_wh,
        counter_modulus_wh: None,
    })
}
