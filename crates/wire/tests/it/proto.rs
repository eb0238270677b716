//! Others read the topics by `deploy/proto/telemetry.proto`: it says what we write, and a Protobuf library
//! that follows it understands us, and we it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message as _;
use wattline_model::{Kind, Limits, Mode, Point, Quantities, Quantity};
use wattline_wire::record::{self, VERSION, VERSION_OF_ONE};

use crate::record::{HEADER, any_point, bare, encode, joined};

const PUBLISHED: &str = include_str!("../../../../deploy/proto/telemetry.proto");

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(message, repeated, tag = "6")]
    requests: Vec<Telemetry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Telemetry {
    #[prost(uint64, tag = "1")]
    version: u64,
    #[prost(string, tag = "2")]
    client_id: String,
    #[prost(uint64, tag = "3")]
    received_at_ms: u64,
    #[prost(string, tag = "4")]
    request_id: String,
    #[prost(message, repeated, tag = "5")]
    points: Vec<PointMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PointMessage {
    #[prost(string, tag = "1")]
    device_id: String,
    #[prost(int64, tag = "2")]
    time_ms: i64,
    #[prost(uint32, tag = "3")]
    duration_ms: u32,
    #[prost(bool, tag = "4")]
    last_is_online: bool,
    #[prost(bool, optional, tag = "5")]
    last_is_grid_online: Option<bool>,
    #[prost(enumeration = "ModeMessage", tag = "6")]
    last_mode: i32,
    #[prost(uint64, optional, tag = "7")]
    battery_total_energy_charge_wh: Option<u64>,
    #[prost(uint64, optional, tag = "8")]
    battery_total_energy_discharge_wh: Option<u64>,
    #[prost(uint64, optional, tag = "9")]
    home_total_energy_wh: Option<u64>,
    #[prost(uint64, optional, tag = "10")]
    solar_total_energy_wh: Option<u64>,
    #[prost(uint64, optional, tag = "11")]
    battery_last_power_charge_w: Option<u64>,
    #[prost(uint64, optional, tag = "12")]
    battery_last_power_discharge_w: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    battery_last_stored_energy_wh: Option<u64>,
    #[prost(uint64, optional, tag = "14")]
    battery_last_capacity_energy_wh: Option<u64>,
    #[prost(uint64, optional, tag = "15")]
    home_last_power_w: Option<u64>,
    #[prost(uint64, optional, tag = "16")]
    solar_last_power_w: Option<u64>,
    #[prost(uint64, optional, tag = "17")]
    battery_last_state_of_charge_percentage: Option<u64>,
    #[prost(uint64, optional, tag = "18")]
    battery_last_state_of_health_percentage: Option<u64>,
    #[prost(uint64, optional, tag = "19")]
    battery_last_backup_reserve_percentage: Option<u64>,
    #[prost(string, optional, tag = "20")]
    oem_raw_data: Option<String>,
    #[prost(uint32, tag = "21")]
    limit_battery_charge_w: u32,
    #[prost(uint32, tag = "22")]
    limit_battery_discharge_w: u32,
    #[prost(uint32, tag = "23")]
    limit_home_w: u32,
    #[prost(uint32, tag = "24")]
    limit_solar_w: u32,
    #[prost(uint64, tag = "25")]
    counter_modulus_wh: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum ModeMessage {
    ModeUnspecified = 0,
    Charge = 1,
    Discharge = 2,
    Standby = 3,
    Backup = 4,
    SelfConsumption = 5,
    Savings = 6,
}

impl PointMessage {
    fn of(point: &Point<'_>) -> Self {
        let quantity = |quantity: Quantity| point.quantities.get(quantity).map(|value| value as u64);
        PointMessage {
            device_id: point.device_id.to_string(),
            time_ms: point.time_ms,
            duration_ms: point.duration_ms,
            last_is_online: point.last_is_online,
            last_is_grid_online: point.last_is_grid_online,
            last_mode: match point.last_mode {
                None => ModeMessage::ModeUnspecified,
                Some(Mode::Charge) => ModeMessage::Charge,
                Some(Mode::Discharge) => ModeMessage::Discharge,
                Some(Mode::Standby) => ModeMessage::Standby,
                Some(Mode::Backup) => ModeMessage::Backup,
                Some(Mode::SelfConsumption) => ModeMessage::SelfConsumption,
                Some(Mode::Savings) => ModeMessage::Savings,
            } as i32,
            battery_total_energy_charge_wh: quantity(Quantity::EnergyCharge),
            battery_total_energy_discharge_wh: quantity(Quantity::EnergyDischarge),
            home_total_energy_wh: quantity(Quantity::HomeEnergy),
            solar_total_energy_wh: quantity(Quantity::SolarEnergy),
            battery_last_power_charge_w: quantity(Quantity::PowerCharge),
            battery_last_power_discharge_w: quantity(Quantity::PowerDischarge),
            battery_last_stored_energy_wh: quantity(Quantity::StoredEnergy),
            battery_last_capacity_energy_wh: quantity(Quantity::CapacityEnergy),
            home_last_power_w: quantity(Quantity::HomePower),
            solar_last_power_w: quantity(Quantity::SolarPower),
            battery_last_state_of_charge_percentage: quantity(Quantity::StateOfCharge),
            battery_last_state_of_health_percentage: quantity(Quantity::StateOfHealth),
            battery_last_backup_reserve_percentage: quantity(Quantity::BackupReserve),
            oem_raw_data: point.oem_raw_data.as_ref().map(ToString::to_string),
            limit_battery_charge_w: point.limits.battery_charge_w,
            limit_battery_discharge_w: point.limits.battery_discharge_w,
            limit_home_w: point.limits.home_w,
            limit_solar_w: point.limits.solar_w,
            counter_modulus_wh: point.limits.modulus_mwh,
        }
    }
}

fn telemetry(points: &[Point<'_>]) -> Telemetry {
    Telemetry {
        version: VERSION_OF_ONE,
        client_id: HEADER.client_id.into(),
        received_at_ms: HEADER.received_at_ms as u64,
        request_id: HEADER.request_id.into(),
        points: points.iter().map(PointMessage::of).collect(),
    }
}

proptest! {
    #[test]
    fn a_protobuf_library_reads_our_records_and_we_read_its(
        points in proptest::collection::vec(any_point(), 0..4),
    ) {
        let message = telemetry(&points);
        let ours = encode(Kind::BatteryCounter, &HEADER, &points);
        prop_assert_eq!(&Telemetry::decode(ours.as_slice()).unwrap(), &message);

        let theirs = message.encode_to_vec();
        let record = record::decode(&theirs).unwrap();
        prop_assert_eq!(record.requests[0].header, HEADER);
        prop_assert_eq!(&record.points, &points);

        let message = Record { version: VERSION, requests: vec![message; 2] };
        let ours = joined(Kind::BatteryCounter, &[HEADER; 2], &points);
        prop_assert_eq!(&Record::decode(ours.as_slice()).unwrap(), &message);

        let theirs = message.encode_to_vec();
        let record = record::decode(&theirs).unwrap();
        prop_assert_eq!(record.requests.len(), 2);
        prop_assert_eq!(record.points, [points.clone(), points].concat());
    }
}

/// A member of a message or of an enum, as the published file has it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Member {
    label: String,
    kind: String,
    number: u32,
}

/// The members of each message and enum by name. The file keeps to one declaration a line.
fn published() -> BTreeMap<String, BTreeMap<String, Member>> {
    let mut all = BTreeMap::<String, BTreeMap<String, Member>>::new();
    let mut inside: Option<String> = None;
    for line in PUBLISHED.lines() {
        let line = line.split("//").next().unwrap().trim();
        let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
        match (words.as_slice(), &inside) {
            ([] | ["syntax", ..] | ["package", ..], None) | ([], Some(_)) => {}
            (["message" | "enum", name, "{"], None) => {
                all.entry((*name).into()).or_default();
                inside = Some((*name).into());
            }
            (["}"], Some(_)) => inside = None,
            ([rest @ .., name, "=", number], Some(of)) => {
                let (label, kind) = match rest {
                    [] => ("", ""),
                    [kind] => ("", *kind),
                    [label, kind] => (*label, *kind),
                    _ => panic!("not understood: {line}"),
                };
                let number = number.parse().unwrap();
                let members = all.get_mut(of).unwrap();
                assert!(members.values().all(|member| member.number != number), "{number} is there twice");
                let member = Member { label: label.into(), kind: kind.into(), number };
                assert!(members.insert((*name).into(), member).is_none(), "{name} is there twice");
            }
            _ => panic!("not understood: {line}"),
        }
    }
    assert_eq!(inside, None);
    all
}

/// The field numbers in a message of ours, each with its bytes or its number: read without our own reader.
fn fields(mut bytes: &[u8]) -> Vec<(u32, Result<u64, Vec<u8>>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = prost::encoding::decode_varint(&mut bytes).unwrap();
        let value = prost::encoding::decode_varint(&mut bytes).unwrap();
        let value = match tag & 7 {
            0 => Ok(value),
            2 => {
                let (taken, rest) = bytes.split_at(value as usize);
                bytes = rest;
                Err(taken.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push(((tag >> 3) as u32, value));
    }
    fields
}

/// A point that has, beside its device and time, the field of this name alone, and its value in the record.
fn with_only(name: &str) -> (Point<'static>, Result<u64, Vec<u8>>) {
    let point = Point { time_ms: 1, ..bare("d") };
    let limits = |limits: Limits| Point { limits, ..bare("d") };
    if let Some(quantity) = Quantity::ALL.into_iter().find(|quantity| quantity.name() == name) {
        let mut quantities = Quantities::default();
        quantities.set(quantity, 77_001);
        return (Point { quantities, ..point }, Ok(77_001));
    }
    let none = Limits::default();
    match name {
        "device_id" => (point, Err(b"d".to_vec())),
        "time_ms" => (point, Ok(1)),
        "duration_ms" => (Point { duration_ms: 300_000, ..point }, Ok(300_000)),
        "last_is_online" => (Point { last_is_online: true, ..point }, Ok(1)),
        "last_is_grid_online" => (Point { last_is_grid_online: Some(false), ..point }, Ok(0)),
        "last_mode" => (Point { last_mode: Some(Mode::Standby), ..point }, Ok(Mode::Standby as u64)),
        "oem_raw_data" => (Point { oem_raw_data: Some(Cow::Borrowed("{}")), ..point }, Err(b"{}".to_vec())),
        "limit_battery_charge_w" => (limits(Limits { battery_charge_w: 5, ..none }), Ok(5)),
        "limit_battery_discharge_w" => (limits(Limits { battery_discharge_w: 6, ..none }), Ok(6)),
        "limit_home_w" => (limits(Limits { home_w: 7, ..none }), Ok(7)),
        "limit_solar_w" => (limits(Limits { solar_w: 8, ..none }), Ok(8)),
        "counter_modulus_wh" => (limits(Limits { modulus_mwh: 9, ..none }), Ok(9)),
        _ => panic!("the published file has a field that is not written: {name}"),
    }
}

#[test]
fn the_published_file_says_what_is_written() {
    let published = published();
    assert_eq!(published.keys().collect::<Vec<_>>(), ["Mode", "Point", "Record", "Telemetry"]);

    for (name, member) in &published["Point"] {
        let (point, value) = with_only(name);
        let mut bytes = encode(Kind::BatteryCounter, &HEADER, &[point]);
        let Some((5, Err(point))) = fields(&bytes).pop() else { panic!("no point") };
        bytes.clear();
        let written = fields(&point);
        assert!(written.contains(&(member.number, value.clone())), "{name} = {}: {written:?}", member.number);
        let beside = written.iter().filter(|(number, _)| ![1, 2, member.number].contains(number)).count();
        assert_eq!(beside, 0, "{name}: {written:?}");
        let is_text = value.is_err();
        assert_eq!(member.kind == "string", is_text, "{name}");
    }
    // Nothing is written that is not published: a point with everything has as many fields.
    let highest = published["Point"].values().map(|member| member.number).max();
    assert_eq!((published["Point"].len(), highest), (Quantity::COUNT + 12, Some(25)));

    let header: Vec<(u32, Result<u64, Vec<u8>>)> = fields(&encode(Kind::Battery, &HEADER, &[bare("d")]));
    for (name, value) in [
        ("version", Ok(VERSION_OF_ONE)),
        ("client_id", Err(HEADER.client_id.into())),
        ("received_at_ms", Ok(HEADER.received_at_ms as u64)),
        ("request_id", Err(HEADER.request_id.into())),
    ] {
        assert!(header.contains(&(published["Telemetry"][name].number, value)), "{name}");
    }
    assert_eq!((header.len(), published["Telemetry"].len()), (5, 5));
    let points = &published["Telemetry"]["points"];
    assert_eq!((points.label.as_str(), points.kind.as_str(), points.number), ("repeated", "Point", 5));

    let record = fields(&joined(Kind::Battery, &[HEADER], &[bare("d")]));
    let request = encode(Kind::Battery, &HEADER, &[bare("d")]);
    let [version, requests] = ["version", "requests"].map(|name| &published["Record"][name]);
    assert_eq!(record, [(version.number, Ok(VERSION)), (requests.number, Err(request))]);
    assert_eq!(published["Record"].len(), 2);
    assert_eq!((requests.label.as_str(), requests.kind.as_str()), ("repeated", "Telemetry"));

    let mut modes: Vec<(&str, u32)> = Mode::ALL.iter().map(|mode| (mode.name(), *mode as u32)).collect();
    modes.push(("MODE_UNSPECIFIED", 0));
    modes.sort_unstable();
    let members: Vec<(&str, u32)> =
        published["Mode"].iter().map(|(name, member)| (name.as_str(), member.number)).collect();
    assert_eq!(members, modes);
}

/// A field that may be missing is told from one that is zero only where the file says `optional`.
#[test]
fn fields_that_may_be_missing_are_optional_in_the_published_file() {
    let optional = |name: &str| {
        Quantity::ALL.iter().any(|quantity| quantity.name() == name)
            || name == "last_is_grid_online"
            || name == "oem_raw_data"
    };
    for (name, member) in &published()["Point"] {
        assert_eq!(member.label == "optional", optional(name), "{name}");
    }
}
