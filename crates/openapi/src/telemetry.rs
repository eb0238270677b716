//! The schemas of telemetry, from the field tables of `wire` and the quantities of `model`.

use wattline_model::{COUNTERS, Kind, Mode, Quantity, REQUIRED_ONLINE};
use wattline_wire::{DEVICE_ID_BYTES_MAX, DURATION_S_MAX, Field, OEM_RAW_DATA_BYTES_MAX, POINTS_MAX, fields};

use crate::components::NO_CONTROL;
use crate::endpoint::schema;
use crate::tree::{Tree, map};

/// The names of a kind's schemas.
struct Names {
    request: &'static str,
    current: &'static str,
    older: &'static str,
    point: &'static str,
    fields: &'static str,
}

const fn names(kind: Kind) -> Names {
    match kind {
        Kind::Battery => Names {
            request: "BatteryRequest",
            current: "BatteryPoints",
            older: "BatteryPointsOlder",
            point: "BatteryPoint",
            fields: "BatteryFields",
        },
        Kind::BatteryCounter => Names {
            request: "BatteryCounterRequest",
            current: "BatteryCounterReadings",
            older: "BatteryCounterReadingsOlder",
            point: "BatteryCounterReading",
            fields: "BatteryCounterFields",
        },
    }
}

pub fn schemas() -> Vec<(String, Tree)> {
    [Kind::Battery, Kind::BatteryCounter].into_iter().flat_map(of_kind).chain([answer()]).collect()
}

fn of_kind(kind: Kind) -> Vec<(String, Tree)> {
    let Names { request, current, older, point, fields } = names(kind);
    let own = when(kind);
    let body = map! { "anyOf" => [schema(current), schema(older)] };
    let new_shape = map! {
        "type" => "object",
        "required" => ["telemetry"],
        "properties" => map! { "telemetry" => points(point) },
    };
    let mut beside = Tree::EMPTY;
    for field in &own {
        let text = format!("For every point whose own `{}` is absent or null.", field.name());
        let schema =
            property(*field, kind).with("type", if *field == Field::Duration { "number" } else { "string" });
        beside.push(field.name(), schema.with("deprecated", true).with("description", text));
    }
    let names: Vec<&str> = own.iter().map(|field| field.name()).collect();
    let older_shape = map! {
        "type" => "object",
        "deprecated" => true,
        "description" => "The older shape: what a point lacks stands once for all beside the points.",
        "required" => [&names[..], &["telemetry"]].concat(),
        "properties" => beside.with("telemetry", points(fields)),
    };
    let given =
        own.iter().map(|field| (field.name().to_owned(), map! { "not" => map! { "type" => "null" } }));
    let whole_point = map! {
        "allOf" => [schema(fields)],
        "required" => names,
        "properties" => Tree::Map(given.collect()),
    };
    vec![
        (request.to_owned(), body),
        (current.to_owned(), new_shape),
        (older.to_owned(), older_shape),
        (point.to_owned(), whole_point),
        (fields.to_owned(), fields_of(kind)),
    ]
}

/// The fields that the older shape has beside the points.
fn when(kind: Kind) -> Vec<Field> {
    fields(kind).filter(|field| matches!(field, Field::Time(_) | Field::Duration)).collect()
}

fn points(point: &str) -> Tree {
    map! { "type" => "array", "maxItems" => POINTS_MAX, "items" => schema(point) }
}

/// All fields of a point, and the rules between them.
fn fields_of(kind: Kind) -> Tree {
    let mut all: Vec<Field> = fields(kind).collect();
    all.sort_by_key(|field| match field {
        Field::Quantity(_) => 1,
        Field::OemRawData => 2,
        _ => 0,
    });
    let properties = all.into_iter().map(|field| (field.name().to_owned(), property(field, kind))).collect();
    let named = |quantities: &[Quantity]| -> Vec<&str> { quantities.iter().map(|one| one.name()).collect() };
    let (mut online, counters) = (named(&REQUIRED_ONLINE), named(&COUNTERS));
    online.push(Field::IsGridOnline.name());
    let not_null = |names: &[&str]| {
        let member = |name: &&str| ((*name).to_owned(), map! { "not" => map! { "type" => "null" } });
        Tree::Map(names.iter().map(member).collect())
    };
    let all_null = || {
        let member = |name: &&str| ((*name).to_owned(), map! { "type" => "null" });
        Tree::Map(counters.iter().map(member).collect())
    };
    let is_online = map! {
        "properties" => map! { Field::IsOnline.name() => map! { "const" => true } },
        "required" => [Field::IsOnline.name()],
    };
    let mut description = format!(
        "While the device is online (`{}` is true) these are required and not null: {}. Of a device that is \
         offline any of them may be null or absent",
        Field::IsOnline.name(),
        online.join(", "),
    );
    description += match kind {
        Kind::Battery => ".",
        Kind::BatteryCounter => ", but of the four counters either all are given or all are null or absent.",
    };
    let mut fields = map! {
        "type" => "object",
        "description" => description,
        "required" => [Field::DeviceId.name(), Field::IsOnline.name()],
        "properties" => Tree::Map(properties),
        "if" => is_online,
        "then" => map! { "properties" => not_null(&online), "required" => online.clone() },
    };
    if kind == Kind::BatteryCounter {
        let given = map! { "properties" => not_null(&counters), "required" => counters.clone() };
        let none = map! { "properties" => all_null() };
        fields.push("else", map! { "anyOf" => [given, none] });
    }
    fields
}

fn property(field: Field, kind: Kind) -> Tree {
    match field {
        Field::Time(Kind::Battery) => time(
            "The start of the interval, RFC 3339 with any offset. By default it is at most 5 minutes ahead and 35 \
             days old, by the gateway's clock. Kept to the millisecond.",
        ),
        Field::Time(Kind::BatteryCounter) => time(
            "When the counters were read, RFC 3339 with any offset. By default it is at most 5 minutes ahead and \
             35 days old, by the gateway's clock. Kept to the millisecond.",
        ),
        Field::Duration => map! {
            "type" => ["number", "null"],
            "exclusiveMinimum" => 0,
            "maximum" => DURATION_S_MAX,
            "description" => "The length of the interval, in s. Kept to 0.001; less than half of that is none.",
        },
        Field::DeviceId => map! {
            "type" => "string",
            "minLength" => 1,
            "maxLength" => DEVICE_ID_BYTES_MAX,
            "pattern" => NO_CONTROL,
            "description" => format!(
                "The client's own id of the device: 1 to {DEVICE_ID_BYTES_MAX} bytes without control characters. \
                 The device has to be one of the client's batteries."
            ),
        },
        Field::IsOnline => map! {
            "type" => "boolean",
            "description" => "Whether the device was reachable; it decides which fields are required.",
        },
        Field::IsGridOnline => map! {
            "type" => ["boolean", "null"],
            "description" => "Whether the grid was there. Required while online.",
        },
        Field::Mode => {
            let modes = Mode::ALL.iter().map(|mode| Tree::from(mode.name())).chain([Tree::Null]);
            map! {
                "enum" => Tree::List(modes.collect()),
                "description" => "What the battery was doing. Optional.",
            }
        }
        Field::OemRawData => map! {
            "type" => ["object", "null"],
            "additionalProperties" => true,
            "description" => format!(
                "Whatever the manufacturer's interface gave. Optional; kept as the JSON text that was sent, of at \
                 most {OEM_RAW_DATA_BYTES_MAX} bytes."
            ),
        },
        Field::Quantity(quantity) => number(quantity, kind),
        // The element of the array has no name of its own in it.
        Field::Point => Tree::EMPTY,
    }
}

fn time(description: &str) -> Tree {
    map! { "type" => ["string", "null"], "format" => "date-time", "description" => description }
}

fn number(quantity: Quantity, kind: Kind) -> Tree {
    let rule = match () {
        () if quantity.is_deprecated() => "Deprecated, taken and kept.",
        () if REQUIRED_ONLINE.contains(&quantity) => "Required while online.",
        () => "Optional.",
    };
    let what = meaning(quantity, kind);
    let maximum = quantity.max_thousandths() / 1_000;
    let mut number = map! {
        "type" => ["number", "null"],
        "minimum" => 0,
        "maximum" => maximum,
        "description" => format!("{what}, in {}. {rule} Kept to 0.001.", quantity.unit()),
    };
    if quantity.is_deprecated() {
        number.push("deprecated", true);
    }
    number
}

fn meaning(quantity: Quantity, kind: Kind) -> &'static str {
    let is_counter = kind == Kind::BatteryCounter;
    match quantity {
        Quantity::EnergyCharge if is_counter => "Energy into the battery since it was made",
        Quantity::EnergyCharge => "Energy into the battery during the interval",
        Quantity::EnergyDischarge if is_counter => "Energy out of the battery since it was made",
        Quantity::EnergyDischarge => "Energy out of the battery during the interval",
        Quantity::HomeEnergy if is_counter => "Energy that the home has used since it is counted",
        Quantity::HomeEnergy => "Energy that the home used during the interval",
        Quantity::SolarEnergy if is_counter => "Energy that the sun has given since it is counted",
        Quantity::SolarEnergy => "Energy that the sun gave during the interval",
        Quantity::PowerCharge => "Power into the battery, last measured",
        Quantity::PowerDischarge => "Power out of the battery, last measured",
        Quantity::StoredEnergy => "Energy in the battery, last measured",
        Quantity::CapacityEnergy => "Energy that the battery can hold, last measured",
        Quantity::HomePower => "Power that the home takes, last measured",
        Quantity::SolarPower => "Power that the sun gives, last measured",
        Quantity::StateOfCharge => "Share of the capacity that is stored, last measured",
        Quantity::StateOfHealth => "Share of the first capacity that is left, last measured",
        Quantity::BackupReserve => "Share that is kept for an outage",
    }
}

/// The array of answers.
fn answer() -> (String, Tree) {
    let entry = |status: &str, message: Tree, description: &str| {
        map! {
            "type" => "object",
            "description" => description,
            "required" => ["status", "message"],
            "additionalProperties" => false,
            "properties" => map! { "status" => map! { "const" => status }, "message" => message },
        }
    };
    let ok = entry("OK", map! { "const" => "" }, "Kafka has the point, replicated as its topic demands.");
    let failed = entry(
        "FAILED",
        map! { "type" => "string", "minLength" => 1 },
        "Nothing of the point is stored, unless the message is `not confirmed; resend unchanged`. The message names \
         the field and the rule, and never repeats a value.",
    );
    let answer = map! {
        "type" => "array",
        "maxItems" => POINTS_MAX,
        "items" => map! { "oneOf" => [ok, failed] },
    };
    ("TelemetryAnswer".to_owned(), answer)
}
