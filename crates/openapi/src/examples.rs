//! Bodies as clients send them. A test reads each with the code that serves its endpoint.

use wattline_auth::policy::Native;
use wattline_model::{Kind, Mode, Quantity, REQUIRED_ONLINE};
use wattline_wire::Field;

use crate::tree::{Tree, map};

const DEVICE_ID: &str = "bat-000001";
const TIME: &str = "2026-11-24T04:10:00Z";
const DURATION_S: i32 = 300;

pub fn of(native: Native) -> Tree {
    match native {
        Native::TelemetryBattery => telemetry(Kind::Battery),
        Native::TelemetryBatteryCounter => telemetry(Kind::BatteryCounter),
        Native::Commission => map! { "site_with_battery" => value("A site with a battery", commission()) },
        Native::PatchSite => map! {
            "new_address" => value(
                "Change one field and empty another",
                map! { "street_address" => "2 Calle Luna", "company_name" => Tree::Null },
            ),
        },
        Native::PatchDevice => map! {
            "rated_power" => value(
                "Declare what the battery can move",
                map! {
                    "attributes" => map! { "battery_power_input_w" => 5000, "battery_power_output_w" => 5000 },
                },
            ),
        },
        Native::CreateSiteToken
        | Native::ListSites
        | Native::GetSite
        | Native::ListDevices
        | Native::GetDevice
        | Native::DeleteDevice => Tree::EMPTY,
    }
}

fn value(summary: &str, value: Tree) -> Tree {
    map! { "summary" => summary, "value" => value }
}

fn telemetry(kind: Kind) -> Tree {
    let body = |point: Tree| map! { "telemetry" => [point] };
    let own_time = |point: Tree| when(kind, point);
    let mut older = when(kind, Tree::EMPTY);
    older.push("telemetry", [online(Tree::EMPTY, kind)]);
    map! {
        "online" => value("A device that is online", body(online(own_time(Tree::EMPTY), kind))),
        "offline" => value("A device that is offline", body(device(own_time(Tree::EMPTY), false))),
        "older" => value("The older shape", older),
        "none" => value("No points", map! { "telemetry" => Tree::List(Vec::new()) }),
    }
}

/// Adds when it was.
fn when(kind: Kind, point: Tree) -> Tree {
    let point = point.with(Field::Time(kind).name(), TIME);
    match kind {
        Kind::Battery => point.with(Field::Duration.name(), DURATION_S),
        Kind::BatteryCounter => point,
    }
}

fn device(point: Tree, is_online: bool) -> Tree {
    point.with(Field::DeviceId.name(), DEVICE_ID).with(Field::IsOnline.name(), is_online)
}

fn online(point: Tree, kind: Kind) -> Tree {
    let mut point = device(point, true)
        .with(Field::IsGridOnline.name(), true)
        .with(Field::Mode.name(), Mode::Discharge.name());
    for quantity in REQUIRED_ONLINE.into_iter().chain([Quantity::StateOfCharge]) {
        point.push(quantity.name(), amount(quantity, kind));
    }
    point.with(Field::OemRawData.name(), map! { "firmware" => "4.2.1" })
}

/// A battery that gives 2.4 kW to a home while the sun gives a little.
fn amount(quantity: Quantity, kind: Kind) -> f64 {
    let is_counter = kind == Kind::BatteryCounter;
    match quantity {
        Quantity::EnergyCharge if is_counter => 4_210_750.0,
        Quantity::EnergyDischarge if is_counter => 3_918_200.125,
        Quantity::HomeEnergy if is_counter => 18_400_310.0,
        Quantity::SolarEnergy if is_counter => 9_731_044.5,
        Quantity::EnergyDischarge => 200.125,
        Quantity::HomeEnergy => 250.0,
        Quantity::SolarEnergy => 50.0,
        Quantity::PowerDischarge => 2_400.0,
        Quantity::StoredEnergy => 8_100.0,
        Quantity::CapacityEnergy => 13_500.0,
        Quantity::HomePower => 3_000.0,
        Quantity::SolarPower => 600.0,
        Quantity::StateOfCharge => 60.0,
        Quantity::StateOfHealth => 97.5,
        Quantity::BackupReserve => 20.0,
        Quantity::EnergyCharge | Quantity::PowerCharge => 0.0,
    }
}

fn commission() -> Tree {
    map! {
        "site" => map! {
            "id" => "site-1",
            "first_name" => "Ada",
            "last_name" => "Rivera",
            "email" => "ada@example.com",
            "state_code" => "PR",
            "city" => "San Juan",
            "zip_code" => "00901",
            "street_address" => "1 Calle Sol",
        },
        "devices" => [map! {
            "id" => DEVICE_ID,
            "type" => "BATTERY",
            "manufacturer_name" => "Example Energy",
            "product_name" => "Wall 13",
            "serial_number" => "EE-0001",
            "attributes" => map! {
                "battery_capacity_wh" => 13_500,
                "battery_power_input_w" => 5_000,
                "battery_power_output_w" => 5_000,
            },
            "install_date" => "2026-01-31",
        }],
        "can_auto_enroll" => false,
    }
}
