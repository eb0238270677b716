//! The schemas of sites, devices and site tokens.

use wattline_directory::api::{
    CAPACITY_WH_MAX, DEVICES_MAX, DeviceType, ID_BYTES_MAX, POWER_W_MAX, SITE_FIELDS, STATE_CODES,
    TEXT_BYTES_MAX, TextRule,
};

use crate::components::{NO_CONTROL, NO_CONTROL_CLASS};
use crate::endpoint::schema;
use crate::tree::{Tree, map};

pub fn schemas() -> Vec<(String, Tree)> {
    let schemas = [
        ("Id", id()),
        ("Text", text()),
        ("Site", shown(site_fields(), "A site.", &["id"])),
        ("NewSite", new_site()),
        ("SiteChange", map! { "type" => "object", "properties" => site_fields() }),
        ("Device", shown(device_fields(), "A device.", &["id", "site_id"])),
        ("NewDevice", new_device()),
        ("DeviceChange", map! { "type" => "object", "properties" => device_fields() }),
        ("DeviceAttributes", attributes()),
        ("DeviceConfiguration", configuration()),
        ("Commission", commission()),
        ("Commissioned", commissioned()),
        ("SiteToken", site_token()),
    ];
    schemas.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

fn id() -> Tree {
    map! {
        "type" => "string",
        "minLength" => 1,
        "maxLength" => ID_BYTES_MAX,
        "pattern" => NO_CONTROL,
        "description" => format!(
            "The client's own id: 1 to {ID_BYTES_MAX} bytes without control characters. Two clients may use the \
             same, and never see each other's."
        ),
    }
}

fn text() -> Tree {
    map! {
        "type" => ["string", "null"],
        "maxLength" => TEXT_BYTES_MAX,
        "pattern" => NO_CONTROL,
        "description" => format!("At most {TEXT_BYTES_MAX} bytes without control characters."),
    }
}

fn moment() -> Tree {
    map! { "type" => "string", "format" => "date-time", "readOnly" => true }
}

/// A thing as it is answered: its ids, its fields and its times, all of them always there.
fn shown(fields: Tree, description: &str, ids: &[&str]) -> Tree {
    let mut properties = Tree::Map(ids.iter().map(|name| ((*name).to_owned(), schema("Id"))).collect());
    for (name, field) in fields.members() {
        properties.push(name, field.clone());
    }
    properties.push("created_at", moment());
    properties.push("updated_at", moment());
    let names: Vec<&str> = properties.members().iter().map(|(name, _)| name.as_str()).collect();
    map! {
        "type" => "object",
        "description" => description,
        "required" => names,
        "properties" => properties.clone(),
    }
}

fn site_fields() -> Tree {
    let fields = SITE_FIELDS.iter().map(|field| {
        let mut schema = match field.rule {
            TextRule::Text => schema("Text"),
            TextRule::Email => map! {
                "type" => ["string", "null"],
                "maxLength" => TEXT_BYTES_MAX,
                "pattern" => format!("^[^@\\s{NO_CONTROL_CLASS}]+@[^@\\s{NO_CONTROL_CLASS}]+$"),
                "description" => format!("An e-mail address of at most {TEXT_BYTES_MAX} bytes."),
            },
            TextRule::StateCode => {
                let codes = STATE_CODES.iter().map(|code| Tree::from(*code)).chain([Tree::Null]);
                map! {
                    "enum" => Tree::List(codes.collect()),
                    "description" => "The two letters of one of the 50 states or PR.",
                }
            }
        };
        if field.is_deprecated {
            schema.push("deprecated", true);
        }
        (field.name.to_owned(), schema)
    });
    Tree::Map(fields.collect())
}

fn new_site() -> Tree {
    let mut properties = map! { "id" => schema("Id") };
    for (name, field) in site_fields().members() {
        properties.push(name, field.clone());
    }
    map! { "type" => "object", "required" => ["id"], "properties" => properties }
}

/// All of a device but its ids and its times.
fn device_fields() -> Tree {
    map! {
        "manufacturer_name" => schema("Text"),
        "product_name" => schema("Text"),
        "serial_number" => schema("Text"),
        "type" => map! {
            "enum" => DeviceType::ALL.map(DeviceType::name),
            "description" => "Only a battery sends battery telemetry.",
        },
        "attributes" => schema("DeviceAttributes"),
        "configuration" => schema("DeviceConfiguration"),
        "install_date" => map! {
            "anyOf" => [
                map! { "type" => "string", "format" => "date" },
                map! { "type" => "string", "format" => "date-time" },
                map! { "type" => "null" },
            ],
            "description" => "RFC 3339; kept as it was sent.",
        },
    }
}

fn new_device() -> Tree {
    let mut properties = map! { "id" => schema("Id") };
    for (name, field) in device_fields().members() {
        properties.push(name, field.clone());
    }
    map! {
        "type" => "object",
        "description" => "`site_id` may be sent too, where it is the id of the site that is commissioned.",
        "required" => ["id", "type"],
        "properties" => properties,
    }
}

fn number(maximum: f64, description: &str) -> Tree {
    map! {
        "type" => ["number", "null"],
        "minimum" => 0,
        "maximum" => maximum,
        "description" => description,
    }
}

fn attributes() -> Tree {
    map! {
        "type" => ["object", "null"],
        "properties" => map! {
            "battery_capacity_wh" => number(CAPACITY_WH_MAX, "In Wh."),
            "battery_power_input_w" =>
                number(POWER_W_MAX, "How much the battery can take, in W. Counters that grow faster are implausible."),
            "battery_power_output_w" =>
                number(POWER_W_MAX, "How much the battery can give, in W. Counters that grow faster are implausible."),
        },
    }
}

fn configuration() -> Tree {
    map! {
        "type" => ["object", "null"],
        "deprecated" => true,
        "properties" => map! { "reserve_percentage" => number(100.0, "In %.").with("deprecated", true) },
    }
}

fn commission() -> Tree {
    map! {
        "type" => "object",
        "required" => ["site", "devices"],
        "properties" => map! {
            "site" => schema("NewSite"),
            "devices" => map! {
                "type" => "array",
                "maxItems" => DEVICES_MAX,
                "items" => schema("NewDevice"),
                "description" => "No two of them with one id.",
            },
            "can_auto_enroll" => map! {
                "type" => ["boolean", "null"],
                "description" => "For programs; there are none yet.",
            },
        },
    }
}

fn commissioned() -> Tree {
    map! {
        "type" => "object",
        "required" => ["programs", "enrollment"],
        "properties" => map! {
            "programs" => map! {
                "type" => "array",
                "items" => map! { "type" => "object" },
                "description" => "Empty while no programs exist.",
            },
            "enrollment" => map! {
                "type" => ["object", "null"],
                "description" => "Null while no programs exist.",
            },
        },
    }
}

fn site_token() -> Tree {
    map! {
        "type" => "object",
        "required" => ["site_access_token", "expires_at"],
        "properties" => map! {
            "site_access_token" => map! {
                "type" => "string",
                "pattern" => "^v4\\.public\\.",
                "description" => "A secret; it is not stored.",
            },
            "expires_at" => map! {
                "type" => "string",
                "format" => "date-time",
                "description" => "One hour ahead.",
            },
        },
    }
}
