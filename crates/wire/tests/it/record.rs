//! The bytes of the Kafka record: kept for every version, read back whole, and safe to read from anybody.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;
use wattline_model::{Kind, Limits, Mode, Point, Quantities, Quantity};
use wattline_wire::record::{self, Header, RecordError, Request};

use crate::points::fleet_body;
use crate::support::decode;

pub const HEADER: Header<'static> =
    Header { client_id: "demo", request_id: "01JDEMO-req", received_at_ms: 1_795_489_200_123 };

pub fn encode(kind: Kind, header: &Header<'_>, points: &[Point<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    record::begin(&mut bytes, header);
    for point in points {
        record::push(&mut bytes, kind, point);
    }
    bytes
}

pub fn bare(device_id: &str) -> Point<'_> {
    Point {
        device_id: Cow::Borrowed(device_id),
        time_ms: 0,
        duration_ms: 0,
        last_is_online: false,
        last_is_grid_online: None,
        last_mode: None,
        quantities: Quantities::default(),
        oem_raw_data: None,
        limits: Limits::default(),
    }
}

fn full(device_id: &str) -> Point<'_> {
    let mut quantities = Quantities::default();
    for (at, quantity) in Quantity::ALL.into_iter().enumerate() {
        quantities.set(quantity, 1_250_500 + at as i64);
    }
    for (at, percentage) in Quantity::ALL.into_iter().filter(|quantity| quantity.is_percentage()).enumerate()
    {
        quantities.set(percentage, 55_500 + at as i64);
    }
    Point {
        time_ms: 1_795_488_900_000,
        last_is_online: true,
        last_is_grid_online: Some(false),
        last_mode: Some(Mode::SelfConsumption),
        quantities,
        // Long enough for the point to need two bytes for its length.
        oem_raw_data: Some(Cow::Borrowed(
            r#"{"firmware": "3.1.4", "cells": [3.31, 3.32, 3.3], "name": "Küche"}"#,
        )),
        ..bare(device_id)
    }
}

fn golden_intervals() -> Vec<Point<'static>> {
    let mut largest = bare("größte");
    largest.time_ms = -1;
    largest.duration_ms = 86_400_000;
    for quantity in Quantity::ALL {
        largest.quantities.set(quantity, quantity.max_thousandths());
    }
    let mut zeros = bare("zeros");
    zeros.last_is_grid_online = Some(true);
    zeros.quantities.set(Quantity::EnergyCharge, 0);
    zeros.oem_raw_data = Some(Cow::Borrowed(""));
    vec![Point { duration_ms: 300_000, ..full("bat-000001") }, largest, zeros]
}

fn golden_counters() -> Vec<Point<'static>> {
    let limits = Limits {
        battery_charge_w: 5_000,
        battery_discharge_w: 4_999,
        home_w: 25_000,
        solar_w: 20_000,
        modulus_mwh: 4_294_967_296_000,
    };
    let largest = Limits {
        battery_charge_w: u32::MAX,
        battery_discharge_w: u32::MAX,
        home_w: u32::MAX,
        solar_w: u32::MAX,
        modulus_mwh: u64::MAX,
    };
    vec![
        Point { limits, ..full("bat-000002") },
        bare("offline"),
        Point { limits: largest, last_mode: Some(Mode::Savings), ..bare("largest") },
    ]
}

/// A record of these requests, each with these points.
pub fn joined(kind: Kind, headers: &[Header<'_>], points: &[Point<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for header in headers {
        record::join(&mut bytes, &encode(kind, header, points));
    }
    bytes
}

const ANOTHER: Header<'static> =
    Header { client_id: "größer", request_id: "", received_at_ms: 1_795_489_200_127 };

/// The bytes of a version never change: they are in topics. A changed file means a reader that breaks.
fn check_golden(file: &str, encoded: &[u8], headers: &[Header<'_>], points: &[Point<'_>]) {
    const VARIABLE: &str = "WATTLINE_REWRITE_GOLDEN_RECORDS";
    const WORDS: &str = "no record of this version is in any topic";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(file);
    if std::env::var_os(VARIABLE).is_some_and(|words| words == WORDS) {
        fs::write(&path, to_hex(encoded)).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let golden = from_hex(&text);
    let decoded = record::decode(&golden).unwrap_or_else(|error| panic!("{file} is not read: {error}"));
    let expected: Vec<_> =
        headers.iter().flat_map(|header| points.iter().map(move |point| (header, point))).collect();
    assert_eq!(decoded.points().collect::<Vec<_>>(), expected);
    assert_eq!(
        to_hex(encoded),
        text,
        "{file}: the bytes of a version changed. Records like the file's are in topics and are read for as long \
         as they are kept there: take a new version and a new file, and keep this one. Only where it is true, \
         set {VARIABLE}=\"{WORDS}\"."
    );
}

#[test]
fn golden_bytes_of_version_1() {
    let (intervals, counters) = (golden_intervals(), golden_counters());
    let bytes = encode(Kind::Battery, &HEADER, &intervals);
    check_golden("intervals-v1.hex", &bytes, &[HEADER], &intervals);
    let bytes = encode(Kind::BatteryCounter, &HEADER, &counters);
    check_golden("counters-v1.hex", &bytes, &[HEADER], &counters);
}

#[test]
fn golden_bytes_of_version_2() {
    let (intervals, counters) = (golden_intervals(), golden_counters());
    let bytes = joined(Kind::Battery, &[HEADER], &intervals);
    check_golden("intervals-v2.hex", &bytes, &[HEADER], &intervals);
    let bytes = joined(Kind::BatteryCounter, &[HEADER, ANOTHER], &counters);
    check_golden("counters-v2.hex", &bytes, &[HEADER, ANOTHER], &counters);
}

fn to_hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n")
        .collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

#[test]
fn what_is_no_record_is_told_apart_from_what_is_newer() {
    let record = encode(Kind::Battery, &HEADER, &golden_intervals());
    let undecodable = |what| Err(RecordError::Undecodable(what));
    let outcome = |bytes: &[u8]| record::decode(bytes).map(|record| record.points.len());

    assert_eq!(outcome(&record), Ok(3));
    assert_eq!(outcome(b""), undecodable("the version is missing"));
    assert_eq!(outcome(b"\x08\x01"), undecodable("the client is missing"));
    assert_eq!(outcome(b"\x08\x01\x12\x01c"), Ok(0));
    assert_eq!(outcome(b"\x08\x03\x12\x01c"), Err(RecordError::UnknownVersion(3)));
    assert_eq!(outcome(b"\x08\x03\xff\xff\xff"), Err(RecordError::UnknownVersion(3)));
    assert_eq!(outcome(b"\x08\x00\x12\x01c"), Err(RecordError::UnknownVersion(0)));
    assert_eq!(outcome(b"\x08\x01\x12\x01\xff"), undecodable("invalid UTF-8"));
    assert_eq!(outcome(b"\x08\x01\x12\x05c"), undecodable("cut off"));
    assert_eq!(outcome(b"\x08\x01\x10\x01"), undecodable("a field has another type"));
    assert_eq!(outcome(b"{\"telemetry\":[]}"), undecodable("bad wire type"));
    assert_eq!(outcome(b"\x08\x01\x12\x01c\x2a\x00"), undecodable("a point has no device"));
    assert_eq!(
        outcome(b"\x08\x01\x12\x01c\x2a\x0d\x0a\x01d\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        undecodable("a number is too large")
    );
    // A percentage of 100.001.
    assert_eq!(
        outcome(b"\x08\x01\x12\x01c\x2a\x08\x0a\x01d\x88\x01\xa1\x8d\x06"),
        undecodable("a quantity is too large")
    );
    // Fields of all types that are not known here are passed over, in the record and in a point.
    let unknown =
        b"\xf0\x06\x01\xf1\x06\x01\x02\x03\x04\x05\x06\x07\x08\xf2\x06\x02xx\xf5\x06\x01\x02\x03\x04";
    let mut point = unknown.to_vec();
    point.extend_from_slice(b"\x0a\x01d");
    let mut longer = [b"\x08\x01\x12\x01c".as_slice(), unknown, &[0x2a, point.len() as u8]].concat();
    longer.extend_from_slice(&point);
    assert_eq!(record::decode(&longer).unwrap().points, [bare("d")]);

    let too_many = encode(Kind::Battery, &HEADER, &vec![bare("d"); 1_001]);
    assert_eq!(outcome(&too_many), undecodable("too many points"));
}

#[test]
fn a_record_of_several_requests_is_read_whole_or_not_at_all() {
    let undecodable = |what| Err(RecordError::Undecodable(what));
    let outcome = |bytes: &[u8]| record::decode(bytes).map(|record| record.points.len());

    let all = joined(Kind::Battery, &[HEADER, ANOTHER], &vec![bare("d"); 500]);
    assert_eq!(outcome(&all), Ok(1_000));
    let too_many = joined(Kind::Battery, &[HEADER; 7], &vec![bare("d"); 143]);
    assert_eq!(outcome(&too_many), undecodable("too many points"));
    assert_eq!(outcome(&all[..all.len() - 1]), undecodable("cut off"));
    let second = |request: &[u8]| {
        let mut bytes = joined(Kind::Battery, &[HEADER], &golden_intervals());
        record::join(&mut bytes, request);
        outcome(&bytes)
    };
    assert_eq!(second(b"\x08\x01\x12\x01c"), Ok(3));
    assert_eq!(second(b"\x12\x01c"), undecodable("the version is missing"));
    assert_eq!(second(b"\x08\x01"), undecodable("the client is missing"));
    assert_eq!(second(b"\x08\x09\x12\x01c"), Err(RecordError::UnknownVersion(9)));
    // One in the other stands in no record.
    assert_eq!(second(&all), Err(RecordError::UnknownVersion(2)));
    assert_eq!(second(b"\x08\x01\x12\x01c\x32\x00"), undecodable("a field has another type"));

    assert_eq!(outcome(b"\x08\x02"), undecodable("no request"));
    assert_eq!(outcome(b"\x08\x02\x12\x01c"), undecodable("a field has another type"));
    assert_eq!(outcome(b"\x08\x02\x30\x01"), undecodable("a field has another type"));
    // Fields may come in any order, and those that are not known are passed over.
    let requests = &all[2..];
    assert_eq!(outcome(&[b"\xf0\x06\x01", requests, b"\x08\x02"].concat()), Ok(1_000));
    assert_eq!(outcome(requests), undecodable("the version is missing"));

    // What was there before stays.
    let mut points = vec![bare("before")];
    let mut requests = Vec::new();
    record::decode_into(&all, &mut points, |header, points| requests.push((header, points))).unwrap();
    assert_eq!(requests, [(HEADER, 1..501), (ANOTHER, 501..1_001)]);
    assert!(record::decode_into(&all[..all.len() - 1], &mut points, |_, _| ()).is_err());
    assert_eq!(points.len(), 1_001);
}

#[test]
fn a_typical_point_takes_160_bytes_at_most() {
    for (kind, fleet_kind) in [
        (Kind::Battery, wattline_fleet::fleet::Kind::Battery),
        (Kind::BatteryCounter, wattline_fleet::fleet::Kind::BatteryCounter),
    ] {
        let body = fleet_body(fleet_kind, 1_000);
        let points: Vec<Point<'_>> = decode(kind, &body)
            .unwrap()
            .into_iter()
            // The gateway stamps the limits of the device.
            .map(|point| Point { limits: golden_counters()[0].limits, ..point.unwrap() })
            .collect();
        let bytes = encode(kind, &HEADER, &points).len();
        assert!(bytes <= 160 * points.len(), "{kind:?}: {} bytes a point", bytes / points.len());
    }
}

pub fn any_point() -> impl Strategy<Value = Point<'static>> {
    let quantities = Quantity::ALL
        .map(|quantity| proptest::option::of(prop_oneof![Just(0), 0..=quantity.max_thousandths()]));
    let limits = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
    (
        ("\\PC{1,40}", any::<i64>(), any::<u32>(), any::<bool>(), any::<Option<bool>>()),
        (proptest::option::of(proptest::sample::select(&Mode::ALL)), quantities),
        (proptest::option::of("\\PC{0,200}"), limits),
    )
        .prop_map(
            |((device_id, time_ms, duration_ms, online, grid), (last_mode, values), (oem, limits))| {
                let mut quantities = Quantities::default();
                for (quantity, value) in Quantity::ALL.into_iter().zip(values) {
                    if let Some(value) = value {
                        quantities.set(quantity, value);
                    }
                }
                let (battery_charge_w, battery_discharge_w, home_w, solar_w, modulus_mwh) = limits;
                Point {
                    device_id: Cow::Owned(device_id),
                    time_ms,
                    duration_ms,
                    last_is_online: online,
                    last_is_grid_online: grid,
                    last_mode,
                    quantities,
                    oem_raw_data: oem.map(Cow::Owned),
                    limits: Limits { battery_charge_w, battery_discharge_w, home_w, solar_w, modulus_mwh },
                }
            },
        )
}

/// Bytes that decode are worth the same when they are written again.
fn check_any(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(record) = record::decode(bytes) {
        let mut again = Vec::new();
        for request in &record.requests {
            let points = &record.points[request.points.clone()];
            record::join(&mut again, &encode(Kind::BatteryCounter, &request.header, points));
        }
        prop_assert_eq!(record::decode(&again), Ok(record));
    }
    Ok(())
}

/// A point in a record, with nothing behind it and with more: numbers are read together with what follows them.
#[test]
fn what_is_wrong_with_a_point_is_named_whatever_stands_behind_it() {
    let decoded = |fields: &[u8], behind: &[u8]| {
        let point = [b"\x0a\x01d", fields].concat();
        let bytes = [b"\x08\x01\x12\x01c\x2a".as_slice(), &[point.len() as u8], &point, behind].concat();
        record::decode(&bytes).map(|record| record.points.len())
    };
    let cases: [(&[u8], _); 10] = [
        (b"\x00\x01", Err("bad tag")),
        (b"\x08\x01", Err("a field of a point has another type")),
        (b"\xa0\x01\x01", Err("a field of a point has another type")),
        (b"\x12\x01x", Err("a field of a point has another type")),
        (b"\x18\x80\x80\x80\x80\x10", Err("a number is too large")),
        (b"\xa8\x01\x80\x80\x80\x80\x10", Err("a number is too large")),
        (b"\x38\x81\x80\x9a\xa6\xea\xaf\xe3\x01", Err("a quantity is too large")),
        (b"\x10\x80", Err("cut off")),
        (b"\x10\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", Err("bad number")),
        // A field that is not known here, with a tag that one of ours could have.
        (b"\xd0\x01\x05\x10\x01", Ok(1)),
    ];
    for (fields, expected) in cases {
        let expected = expected.map_err(RecordError::Undecodable);
        assert_eq!(decoded(fields, b""), expected, "{fields:x?}");
        assert_eq!(decoded(fields, b"\xf2\x06\x10behindthepoint.."), expected, "{fields:x?} and more");
    }
}

proptest! {
    #[test]
    fn a_reading_comes_back_whole(
        client_id in "\\PC{1,20}", request_id in "\\PC{0,40}", received_at_ms in any::<i64>(),
        points in proptest::collection::vec(any_point(), 0..5), requests in 1..4usize,
    ) {
        let header = Header { client_id: &client_id, request_id: &request_id, received_at_ms };
        let one = encode(Kind::BatteryCounter, &header, &points);
        let record = record::decode(&one).unwrap();
        prop_assert_eq!(&record.requests, &[Request { header, points: 0..points.len() }]);
        prop_assert_eq!(&record.points, &points);

        let several = joined(Kind::BatteryCounter, &vec![header; requests], &points);
        let record = record::decode(&several).unwrap();
        let expected = vec![(&header, points.as_slice()); requests];
        let read = record.requests.iter().map(|of| (&of.header, &record.points[of.points.clone()]));
        prop_assert_eq!(read.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_interval_comes_back_without_the_limits(points in proptest::collection::vec(any_point(), 0..5)) {
        let bytes = encode(Kind::Battery, &HEADER, &points);
        let without: Vec<Point<'_>> =
            points.into_iter().map(|point| Point { limits: Limits::default(), ..point }).collect();
        prop_assert_eq!(record::decode(&bytes).unwrap().points, without);
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check_any(&bytes)?;
        check_any(&[b"\x08\x01\x12\x01c\x2a".as_slice(), &[bytes.len().min(127) as u8], &bytes].concat())?;
    }

    #[test]
    fn decoding_damaged_records_never_panics(
        points in proptest::collection::vec(any_point(), 1..3),
        changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in proptest::option::of(any::<Index>()), requests in 0..3usize,
    ) {
        let mut bytes = match requests {
            0 => encode(Kind::BatteryCounter, &HEADER, &points),
            _ => joined(Kind::BatteryCounter, &vec![HEADER; requests], &points),
        };
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        check_any(&bytes)?;
    }
}
