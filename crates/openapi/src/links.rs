//! How one answer leads to the next request.

use wattline_auth::policy::Native;

use crate::tree::{Tree, map};

pub fn add(native: Native, response: Tree) -> Tree {
    let links = of(native);
    if links.members().is_empty() { response } else { response.with("links", links) }
}

fn of(native: Native) -> Tree {
    const PATH_SITE: &str = "$request.path.siteId";
    const PATH_DEVICE: &str = "$request.path.deviceId";
    match native {
        Native::Commission => {
            const SITE: &str = "$request.body#/site/id";
            const DEVICE: &str = "$request.body#/devices/0/id";
            map! {
                "SiteToken" => to_site("create_site_token", SITE),
                "Site" => to_site("get_site", SITE),
                "ChangedSite" => to_site("update_site", SITE),
                "Devices" => to_site("list_devices", SITE),
                "Device" => to_device("get_device", SITE, DEVICE),
                "ChangedDevice" => to_device("update_device", SITE, DEVICE),
                "DeletedDevice" => to_device("delete_device", SITE, DEVICE),
            }
        }
        Native::ListSites => {
            const FIRST: &str = "$response.body#/0/id";
            map! { "SiteToken" => to_site("create_site_token", FIRST), "Site" => to_site("get_site", FIRST) }
        }
        Native::ListDevices => {
            const FIRST: &str = "$response.body#/0/id";
            map! {
                "Device" => to_device("get_device", PATH_SITE, FIRST),
                "DeletedDevice" => to_device("delete_device", PATH_SITE, FIRST),
            }
        }
        Native::GetSite => map! { "Devices" => to_site("list_devices", PATH_SITE) },
        Native::PatchSite => map! { "Site" => to_site("get_site", PATH_SITE) },
        Native::GetDevice => map! {
            "ChangedDevice" => to_device("update_device", PATH_SITE, PATH_DEVICE),
            "DeletedDevice" => to_device("delete_device", PATH_SITE, PATH_DEVICE),
        },
        Native::PatchDevice | Native::DeleteDevice => {
            map! { "Device" => to_device("get_device", PATH_SITE, PATH_DEVICE) }
        }
        Native::CreateSiteToken => map! { "Site" => to_site("get_site", PATH_SITE) },
        Native::TelemetryBattery | Native::TelemetryBatteryCounter => Tree::EMPTY,
    }
}

fn to_site(operation: &str, site: &str) -> Tree {
    map! { "operationId" => operation, "parameters" => map! { "siteId" => site } }
}

fn to_device(operation: &str, site: &str, device: &str) -> Tree {
    map! { "operationId" => operation, "parameters" => map! { "siteId" => site, "deviceId" => device } }
}
