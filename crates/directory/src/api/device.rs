//! A device.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

use super::Change;
use super::json::{BodyError, Node};
use super::reader::{self, Object, Violations};
use crate::import_line::{CAPACITY_WH_MAX, POWER_W_MAX, check_text};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeviceType {
    #[default]
    Battery,
    /// It takes part in programs, but sends no battery telemetry.
    EvCharger,
}

impl DeviceType {
    pub const ALL: [Self; 2] = [Self::Battery, Self::EvCharger];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Battery => "BATTERY",
            Self::EvCharger => "EV_CHARGER",
        }
    }
}

impl FromStr for DeviceType {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, &'static str> {
        let known = Self::ALL.into_iter().find(|known| known.name() == name);
        known.ok_or("must be BATTERY or EV_CHARGER")
    }
}

/// All of a device but its ids and its times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceDetails {
    pub device_type: DeviceType,
    pub manufacturer_name: Option<String>,
    pub product_name: Option<String>,
    pub serial_number: Option<String>,
    /// A date, or a date and time, as it was sent.
    pub install_date: Option<String>,
    pub battery_capacity_wh: Option<f64>,
    pub battery_power_input_w: Option<f64>,
    pub battery_power_output_w: Option<f64>,
    pub reserve_percentage: Option<f64>,
}

/// A device as it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    pub id: String,
    pub site_id: String,
    pub details: DeviceDetails,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

#[derive(Serialize)]
struct DeviceJson<'a> {
    id: &'a str,
    site_id: &'a str,
    manufacturer_name: Option<&'a str>,
    product_name: Option<&'a str>,
    serial_number: Option<&'a str>,
    r#type: DeviceType,
    attributes: AttributesJson,
    configuration: ConfigurationJson,
    install_date: Option<&'a str>,
    created_at: String,
    updated_at: String,
}

#[derive(Serialize)]
struct AttributesJson {
    battery_capacity_wh: Option<f64>,
    battery_power_input_w: Option<f64>,
    battery_power_output_w: Option<f64>,
}

#[derive(Serialize)]
struct ConfigurationJson {
    reserve_percentage: Option<f64>,
}

impl Serialize for Device {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let details = &self.details;
        let json = DeviceJson {
            id: &self.id,
            site_id: &self.site_id,
            manufacturer_name: details.manufacturer_name.as_deref(),
            product_name: details.product_name.as_deref(),
            serial_number: details.serial_number.as_deref(),
            r#type: details.device_type,
            attributes: AttributesJson {
                battery_capacity_wh: details.battery_capacity_wh,
                battery_power_input_w: details.battery_power_input_w,
                battery_power_output_w: details.battery_power_output_w,
            },
            configuration: ConfigurationJson { reserve_percentage: details.reserve_percentage },
            install_date: details.install_date.as_deref(),
            created_at: self.created_at.to_string(),
            updated_at: self.updated_at.to_string(),
        };
        json.serialize(serializer)
    }
}

/// A device as it is commissioned.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDevice {
    pub id: String,
    pub details: DeviceDetails,
}

impl NewDevice {
    /// `site_id` may be left out; where it is sent, it has to be the site that is commissioned.
    pub(crate) fn read(object: &mut Object<'_>, site_id: Option<&str>) -> Option<Self> {
        let id = object.required("id", reader::id);
        if let Some(site_id) = site_id {
            object.fixed("site_id", site_id);
        }
        let device_type = object.required("type", device_type);
        let mut details = DeviceDetails::default();
        DeviceChange::read(object).apply(&mut details);
        Some(Self { id: id?, details: DeviceDetails { device_type: device_type?, ..details } })
    }
}

/// What a PATCH of a device sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceChange {
    device_type: Option<DeviceType>,
    manufacturer_name: Change<String>,
    product_name: Change<String>,
    serial_number: Change<String>,
    install_date: Change<String>,
    battery_capacity_wh: Change<f64>,
    battery_power_input_w: Change<f64>,
    battery_power_output_w: Change<f64>,
    reserve_percentage: Change<f64>,
}

impl DeviceChange {
    /// Reads the body of a PATCH of this device. `id` and `site_id` may be sent as they are; the times are
    /// not the client's to set, and what is sent for them is ignored.
    pub fn parse(body: &[u8], site_id: &str, device_id: &str) -> Result<Self, BodyError> {
        let body = Node::parse(body)?;
        let mut violations = Violations::default();
        let change = Object::of(&body, String::new(), &mut violations).map(|mut object| {
            object.fixed("id", device_id);
            object.fixed("site_id", site_id);
            let device_type = match object.change("type", device_type) {
                Change::Set(device_type) => Some(device_type),
                Change::Keep => None,
                Change::Clear => {
                    object.broken("type", "must be BATTERY or EV_CHARGER");
                    None
                }
            };
            Self { device_type, ..Self::read(&mut object) }
        });
        violations.or(change)
    }

    /// Everything but the type, which is not optional where a device is new.
    fn read(object: &mut Object<'_>) -> Self {
        let mut change = Self {
            manufacturer_name: object.change("manufacturer_name", text),
            product_name: object.change("product_name", text),
            serial_number: object.change("serial_number", text),
            install_date: object.change("install_date", date),
            ..Self::default()
        };
        nested(object, "attributes", |attributes| match attributes {
            Some(attributes) => {
                change.battery_capacity_wh = attributes.change("battery_capacity_wh", capacity_wh);
                change.battery_power_input_w = attributes.change("battery_power_input_w", power_w);
                change.battery_power_output_w = attributes.change("battery_power_output_w", power_w);
            }
            None => {
                change.battery_capacity_wh = Change::Clear;
                change.battery_power_input_w = Change::Clear;
                change.battery_power_output_w = Change::Clear;
            }
        });
        nested(object, "configuration", |configuration| {
            change.reserve_percentage = match configuration {
                Some(configuration) => configuration.change("reserve_percentage", percentage),
                None => Change::Clear,
            };
        });
        change
    }

    pub(crate) fn apply(self, details: &mut DeviceDetails) {
        details.device_type = self.device_type.unwrap_or(details.device_type);
        self.manufacturer_name.apply(&mut details.manufacturer_name);
        self.product_name.apply(&mut details.product_name);
        self.serial_number.apply(&mut details.serial_number);
        self.install_date.apply(&mut details.install_date);
        self.battery_capacity_wh.apply(&mut details.battery_capacity_wh);
        self.battery_power_input_w.apply(&mut details.battery_power_input_w);
        self.battery_power_output_w.apply(&mut details.battery_power_output_w);
        self.reserve_percentage.apply(&mut details.reserve_percentage);
    }
}

/// Reads the object in a field; none stands for a null, which empties all that is in it.
fn nested(object: &mut Object<'_>, field: &str, read: impl FnOnce(Option<&mut Object<'_>>)) {
    let path = object.path_of(field);
    match object.change(field, Ok) {
        Change::Keep => {}
        Change::Clear => read(None),
        Change::Set(node) => {
            if let Some(mut inner) = Object::of(node, path, object.violations()) {
                read(Some(&mut inner));
            }
        }
    }
}

fn device_type(node: &Node) -> Result<DeviceType, &'static str> {
    reader::text(node)?.parse()
}

fn text(node: &Node) -> Result<String, &'static str> {
    let text = reader::text(node)?;
    check_text(text)?;
    Ok(text.to_owned())
}

fn date(node: &Node) -> Result<String, &'static str> {
    let date = text(node)?;
    let is_date = date.parse::<Timestamp>().is_ok() || (date.len() == 10 && date.parse::<Date>().is_ok());
    if is_date { Ok(date) } else { Err("must be an RFC 3339 date, or date and time") }
}

fn capacity_wh(node: &Node) -> Result<f64, &'static str> {
    reader::number(node, CAPACITY_WH_MAX, "must be a number from 0 to 1,000,000,000")
}

fn power_w(node: &Node) -> Result<f64, &'static str> {
    reader::number(node, POWER_W_MAX, "must be a number from 0 to 10,000,000")
}

fn percentage(node: &Node) -> Result<f64, &'static str> {
    reader::number(node, 100.0, "must be a number from 0 to 100")
}
