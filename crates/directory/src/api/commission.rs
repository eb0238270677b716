//! A site with its devices, as they come into service together.

use std::collections::HashSet;

use super::device::NewDevice;
use super::json::{BodyError, Node};
use super::reader::{Object, Violations};
use super::site::NewSite;

/// The most devices of one commissioning.
pub const DEVICES_MAX: usize = 1_000;

/// A checked body of POST /v1/commission.
#[derive(Clone, Debug, PartialEq)]
pub struct Commission {
    pub site: NewSite,
    pub devices: Vec<NewDevice>,
    /// What the client wants of programs, for the service that has them.
    pub can_auto_enroll: bool,
}

impl Commission {
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let body = Node::parse(body)?;
        let mut violations = Violations::default();
        let commission =
            Object::of(&body, String::new(), &mut violations).and_then(|mut object| Self::read(&mut object));
        violations.or(commission)
    }

    fn read(object: &mut Object<'_>) -> Option<Self> {
        let site = object.required("site", Ok).and_then(|node| {
            let mut site = Object::of(node, "site".to_owned(), object.violations())?;
            NewSite::read(&mut site)
        });
        let site_id = site.as_ref().map(|site| &*site.id);
        let devices =
            object.required("devices", array).map(|nodes| devices(nodes, site_id, object.violations()));
        let can_auto_enroll = object.change("can_auto_enroll", |node| match node {
            Node::Bool(value) => Ok(*value),
            _ => Err("must be true, false or null"),
        });
        let can_auto_enroll = can_auto_enroll == super::Change::Set(true);
        Some(Self { site: site?, devices: devices?, can_auto_enroll })
    }
}

fn array(node: &Node) -> Result<&[Node], &'static str> {
    match node {
        Node::Array(nodes) if nodes.len() > DEVICES_MAX => Err("must be at most 1,000 devices"),
        Node::Array(nodes) => Ok(nodes),
        _ => Err("must be an array"),
    }
}

/// The devices that break no rule; the violations tell of the others.
fn devices(nodes: &[Node], site_id: Option<&str>, violations: &mut Violations) -> Vec<NewDevice> {
    let mut ids = HashSet::new();
    let mut devices = Vec::with_capacity(nodes.len());
    for (place, node) in nodes.iter().enumerate() {
        let path = format!("devices[{place}]");
        let device =
            Object::of(node, path, violations).and_then(|mut object| NewDevice::read(&mut object, site_id));
        if let Some(device) = device {
            if !ids.insert(device.id.clone()) {
                violations
                    .add(format!("devices[{place}].id"), "must not be another device's of this request");
            }
            devices.push(device);
        }
    }
    devices
}

#[cfg(test)]
mod tests;
