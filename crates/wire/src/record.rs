//! The Kafka record: of one request or of several, the points that go to one partition.
//!
//! It is a Protobuf message, published as `deploy/proto/telemetry.proto`. The bytes are written and read
//! here by hand, straight from and into points that borrow, because every point passes through both.
//!
//! What a request has for a partition is a message of its own, which `begin` and `push` write. Alone it is a record of
//! version 1, as records put aside are; `join` puts it into a record of version 2 with those of other requests.

use std::borrow::Cow;
use std::ops::Range;

use wattline_model::{Kind, Limits, Mode, Point, Quantities, Quantity};

/// The version of a record that is one request's message.
pub const VERSION_OF_ONE: u64 = 1;
/// The version of a record of several requests, and the newest one that is read.
pub const VERSION: u64 = 2;

/// What all points of a request share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub client_id: &'a str,
    pub request_id: &'a str,
    /// When the gateway took the request, by its clock.
    pub received_at_ms: i64,
}

/// A record, decoded; its points borrow from the bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Record<'a> {
    pub requests: Vec<Request<'a>>,
    /// The points of all requests, one request's behind the other's.
    pub points: Vec<Point<'a>>,
}

/// A request of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Request<'a> {
    pub header: Header<'a>,
    /// Which of the points are its own.
    pub points: Range<usize>,
}

impl<'a> Record<'a> {
    /// All points in their order, each with what its request says.
    pub fn points(&self) -> impl Iterator<Item = (&Header<'a>, &Point<'a>)> {
        let requests = self.requests.iter();
        requests.flat_map(|Request { header, points }| {
            self.points[points.clone()].iter().map(move |point| (header, point))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("record version {0} is not known here")]
    UnknownVersion(u64),
    #[error("not a telemetry record: {0}")]
    Undecodable(&'static str),
}

// The field numbers of the messages `Record` and `Telemetry`: none is in both but the version, so that what a record is
// can be seen at each of its fields.
const VERSION_FIELD: u32 = 1;
const CLIENT_ID: u32 = 2;
const RECEIVED_AT_MS: u32 = 3;
const REQUEST_ID: u32 = 4;
const POINTS: u32 = 5;
const REQUESTS: u32 = 6;

// The field numbers of the message `Point`. The quantities have a number each, from `QUANTITY_FIRST` on.
const DEVICE_ID: u32 = 1;
const TIME_MS: u32 = 2;
const DURATION_MS: u32 = 3;
const IS_ONLINE: u32 = 4;
const IS_GRID_ONLINE: u32 = 5;
const MODE: u32 = 6;
const QUANTITY_FIRST: u32 = 7;
const OEM_RAW_DATA: u32 = 20;
const LIMIT_BATTERY_CHARGE_W: u32 = 21;
const LIMIT_BATTERY_DISCHARGE_W: u32 = 22;
const LIMIT_HOME_W: u32 = 23;
const LIMIT_SOLAR_W: u32 = 24;
const COUNTER_MODULUS_WH: u32 = 25;

const WIRE_VARINT: u32 = 0;
const WIRE_64_BIT: u32 = 1;
const WIRE_BYTES: u32 = 2;
const WIRE_32_BIT: u32 = 5;

/// Begins the message of a request in an empty buffer.
pub fn begin(buffer: &mut Vec<u8>, header: &Header<'_>) {
    debug_assert!(buffer.is_empty());
    put_uint(buffer, VERSION_FIELD, VERSION_OF_ONE);
    put_bytes(buffer, CLIENT_ID, header.client_id.as_bytes());
    put_uint(buffer, RECEIVED_AT_MS, header.received_at_ms as u64);
    put_bytes(buffer, REQUEST_ID, header.request_id.as_bytes());
}

/// Adds the message of a request to a record, which begins with the first of them. All of them have at most `POINTS_MAX`
/// points.
pub fn join(record: &mut Vec<u8>, request: &[u8]) {
    record.reserve(2 * VARINT_BYTES_MAX + request.len());
    if record.is_empty() {
        put_uint(record, VERSION_FIELD, VERSION);
    }
    put_bytes(record, REQUESTS, request);
}

/// Adds a point to a message that was begun.
///
/// All but the two texts are put together aside, so that the length is known before anything is written.
pub fn push(buffer: &mut Vec<u8>, kind: Kind, point: &Point<'_>) {
    let mut numbers = Numbers::new();
    put_numbers(&mut numbers, kind, point);
    let device_id = point.device_id.as_bytes();
    let raw_data = point.oem_raw_data.as_deref().map(str::as_bytes);
    let length = bytes_field_length(DEVICE_ID, device_id)
        + numbers.length
        + raw_data.map_or(0, |text| bytes_field_length(OEM_RAW_DATA, text));
    buffer.reserve(2 * VARINT_BYTES_MAX + length);
    put_varint(buffer, u64::from(POINTS << 3 | WIRE_BYTES));
    put_varint(buffer, length as u64);
    put_bytes(buffer, DEVICE_ID, device_id);
    buffer.extend_from_slice(&numbers.bytes[..numbers.length]);
    if let Some(text) = raw_data {
        put_bytes(buffer, OEM_RAW_DATA, text);
    }
}

fn put_numbers(numbers: &mut Numbers, kind: Kind, point: &Point<'_>) {
    numbers.put(TIME_MS, point.time_ms as u64);
    if point.duration_ms != 0 {
        numbers.put(DURATION_MS, u64::from(point.duration_ms));
    }
    if point.last_is_online {
        numbers.put(IS_ONLINE, 1);
    }
    if let Some(online) = point.last_is_grid_online {
        numbers.put(IS_GRID_ONLINE, u64::from(online));
    }
    if let Some(mode) = point.last_mode {
        numbers.put(MODE, mode as u64);
    }
    for quantity in Quantity::ALL {
        if let Some(thousandths) = point.quantities.get(quantity) {
            numbers.put(QUANTITY_FIRST + quantity as u32, thousandths as u64);
        }
    }
    if kind == Kind::BatteryCounter {
        let limits = &point.limits;
        for (number, value) in [
            (LIMIT_BATTERY_CHARGE_W, u64::from(limits.battery_charge_w)),
            (LIMIT_BATTERY_DISCHARGE_W, u64::from(limits.battery_discharge_w)),
            (LIMIT_HOME_W, u64::from(limits.home_w)),
            (LIMIT_SOLAR_W, u64::from(limits.solar_w)),
            (COUNTER_MODULUS_WH, limits.modulus_mwh),
        ] {
            if value != 0 {
                numbers.put(number, value);
            }
        }
    }
}

/// The fields of a point that are numbers, in the wire format.
struct Numbers {
    bytes: [u8; Self::FIELDS_MAX * (TAG_BYTES_MAX + VARINT_BYTES_MAX)],
    length: usize,
}

impl Numbers {
    const FIELDS_MAX: usize = COUNTER_MODULUS_WH as usize;

    fn new() -> Self {
        Numbers { bytes: [0; _], length: 0 }
    }

    /// A tag and its value, written at once where they fit into eight bytes together.
    ///
    /// Nobody can foresee how long the next number is, and a branch that is foreseen wrongly costs more than the
    /// number: what stands behind the last of its bytes is for the next field to write over.
    #[inline(always)]
    fn put(&mut self, number: u32, value: u64) {
        let tag = u64::from(number << 3 | WIRE_VARINT);
        let (tag, tag_bytes) = if tag < 0x80 { (tag, 1) } else { (tag & 0x7f | 0x80 | tag >> 7 << 8, 2) };
        if value < SHORT_VARINT_END
            && let Some(place) = self.bytes[self.length..].first_chunk_mut()
        {
            let (varint, varint_bytes) = short_varint(value);
            *place = (tag | varint << (8 * tag_bytes)).to_le_bytes();
            self.length += tag_bytes + varint_bytes;
            return;
        }
        self.put_long(number, value);
    }

    #[cold]
    fn put_long(&mut self, number: u32, value: u64) {
        self.length += write_varint(&mut self.bytes[self.length..], u64::from(number << 3 | WIRE_VARINT));
        self.length += write_varint(&mut self.bytes[self.length..], value);
    }
}

/// What a field with bytes takes: its tag, its length, and the bytes.
fn bytes_field_length(number: u32, value: &[u8]) -> usize {
    varint_length(u64::from(number << 3)) + varint_length(value.len() as u64) + value.len()
}

fn varint_length(value: u64) -> usize {
    // Seven bits a byte, and one byte for zero.
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Hardly any point takes less in a record, so that room for so many is room for all.
pub const POINT_BYTES: usize = 72;

/// Decodes a whole record. Fields that are not known are passed over, as Protobuf has it.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, RecordError> {
    let mut points = Vec::with_capacity((bytes.len() / POINT_BYTES).min(crate::POINTS_MAX));
    let mut requests = Vec::new();
    decode_into(bytes, &mut points, |header, points| requests.push(Request { header, points }))?;
    Ok(Record { requests, points })
}

/// As `decode`; the points are put behind those that are there, and each request is told with the places of its own.
/// Where it is an error, no point is added, and what was told is void.
pub fn decode_into<'a>(
    bytes: &'a [u8],
    points: &mut Vec<Point<'a>>,
    request: impl FnMut(Header<'a>, Range<usize>),
) -> Result<(), RecordError> {
    let before = points.len();
    // In a variable of its own its length need not be read again for each point.
    let mut all = std::mem::take(points);
    let decoded = decode_behind(bytes, &mut all, request);
    if decoded.is_err() {
        all.truncate(before);
    }
    *points = all;
    decoded
}

fn decode_behind<'a>(
    bytes: &'a [u8],
    points: &mut Vec<Point<'a>>,
    mut request: impl FnMut(Header<'a>, Range<usize>),
) -> Result<(), RecordError> {
    // The version is the first field of each record that is written here, and may be anywhere.
    if version(bytes)? != VERSION_OF_ONE {
        return decode_requests(bytes, points, request);
    }
    let first = points.len();
    let header = decode_request(bytes, bytes.len(), points)?;
    request(header, first..points.len());
    Ok(())
}

/// Decodes the requests of a record that may have several.
fn decode_requests<'a>(
    bytes: &'a [u8],
    points: &mut Vec<Point<'a>>,
    mut request: impl FnMut(Header<'a>, Range<usize>),
) -> Result<(), RecordError> {
    let before = points.len();
    let mut reader = Reader { bytes };
    let mut is_empty = true;
    while let Some(field) = reader.field()? {
        let value = match (field.number, field.value) {
            (REQUESTS, Value::Bytes(value)) => value,
            (CLIENT_ID..=REQUESTS, _) => return Err(ANOTHER_TYPE_IN_RECORD),
            _ => continue,
        };
        let first = points.len();
        let rest = &bytes[bytes.len() - reader.bytes.len() - value.len()..];
        let header = decode_request(rest, value.len(), points)?;
        request(header, first..points.len());
        is_empty = false;
    }
    if is_empty {
        return Err(RecordError::Undecodable("no request"));
    }
    if points.len() - before > crate::POINTS_MAX {
        return Err(TOO_MANY_POINTS);
    }
    Ok(())
}

/// The version that a record, or the message of a request, says it has.
fn version(bytes: &[u8]) -> Result<u64, RecordError> {
    let mut reader = Reader { bytes };
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (VERSION_FIELD, Value::Uint(version @ VERSION_OF_ONE..=VERSION)) => return Ok(version),
            (VERSION_FIELD, Value::Uint(version)) => return Err(RecordError::UnknownVersion(version)),
            (VERSION_FIELD, _) => return Err(ANOTHER_TYPE_IN_RECORD),
            _ => {}
        }
    }
    Err(RecordError::Undecodable("the version is missing"))
}

/// Decodes the message of a request that the bytes begin with, which has so many of them.
fn decode_request<'a>(
    bytes: &'a [u8],
    length: usize,
    points: &mut Vec<Point<'a>>,
) -> Result<Header<'a>, RecordError> {
    let before = points.len();
    let mut reader = Reader { bytes: &bytes[..length] };
    let mut version = 0;
    let mut header = Header { client_id: "", request_id: "", received_at_ms: 0 };
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (VERSION_FIELD, Value::Uint(value)) => {
                version = value;
                if version != VERSION_OF_ONE {
                    return Err(RecordError::UnknownVersion(version));
                }
            }
            (CLIENT_ID, Value::Bytes(value)) => header.client_id = text(value)?,
            (RECEIVED_AT_MS, Value::Uint(value)) => header.received_at_ms = value as i64,
            (REQUEST_ID, Value::Bytes(value)) => header.request_id = text(value)?,
            (POINTS, Value::Bytes(value)) => {
                let rest = &bytes[length - reader.bytes.len() - value.len()..];
                points.push(decode_point(rest, value.len())?);
            }
            (VERSION_FIELD..=REQUESTS, _) => return Err(ANOTHER_TYPE_IN_RECORD),
            _ => {}
        }
    }
    if version == 0 {
        return Err(RecordError::Undecodable("the version is missing"));
    }
    if header.client_id.is_empty() {
        return Err(RecordError::Undecodable("the client is missing"));
    }
    if points.len() - before > crate::POINTS_MAX {
        return Err(TOO_MANY_POINTS);
    }
    Ok(header)
}

/// Decodes the point that the bytes begin with, which has so many of them. What stands behind it is read together with
/// its last numbers, but is no part of them.
#[inline(always)]
fn decode_point(bytes: &[u8], length: usize) -> Result<Point<'_>, RecordError> {
    let mut device_id = "";
    let mut oem_raw_data = None;
    let mut numbers = PointNumbers { values: [0; _], seen: 0 };
    let mut at = 0;
    while at < length {
        // All fields but two are numbers, most of them short, and those with the shorter tags come first.
        at = numbers.take_short::<1>(bytes, at, length);
        at = numbers.take_short::<2>(bytes, at, length);
        if at >= length {
            break;
        }
        let mut reader = Reader { bytes: &bytes[at..length] };
        let Some(field) = reader.field()? else { break };
        at = length - reader.bytes.len();
        match (field.number, field.value) {
            (DEVICE_ID, Value::Bytes(value)) => device_id = text(value)?,
            (OEM_RAW_DATA, Value::Bytes(value)) => oem_raw_data = Some(Cow::Borrowed(text(value)?)),
            (number @ DEVICE_ID..=COUNTER_MODULUS_WH, Value::Uint(value)) => {
                numbers.set(number as usize, value)
            }
            (DEVICE_ID..=COUNTER_MODULUS_WH, _) => return Err(ANOTHER_TYPE),
            _ => {}
        }
    }
    if at > length {
        return Err(CUT_OFF);
    }
    if device_id.is_empty() {
        return Err(RecordError::Undecodable("a point has no device"));
    }
    numbers.check()?;
    let number = |field: u32| numbers.values[field as usize];
    // `check` has seen that nothing is lost.
    let narrow = |field| number(field) as u32;
    Ok(Point {
        device_id: Cow::Borrowed(device_id),
        time_ms: number(TIME_MS) as i64,
        duration_ms: narrow(DURATION_MS),
        last_is_online: number(IS_ONLINE) != 0,
        last_is_grid_online: numbers.has(IS_GRID_ONLINE).then_some(number(IS_GRID_ONLINE) != 0),
        last_mode: Mode::from_number(number(MODE)),
        quantities: numbers.quantities(),
        oem_raw_data,
        limits: Limits {
            battery_charge_w: narrow(LIMIT_BATTERY_CHARGE_W),
            battery_discharge_w: narrow(LIMIT_BATTERY_DISCHARGE_W),
            home_w: narrow(LIMIT_HOME_W),
            solar_w: narrow(LIMIT_SOLAR_W),
            modulus_mwh: number(COUNTER_MODULUS_WH),
        },
    })
}

/// The fields of a point that are numbers, each at its field number, and 0 where a point has none. So a field is put
/// in its place whichever it is, and they are all looked at once.
struct PointNumbers {
    values: [u64; Self::FIELDS],
    seen: u32,
}

impl PointNumbers {
    /// With some that have no meaning, so that each that `short_field_at` gives has a place.
    const FIELDS: usize = 32;
    const QUANTITIES: usize = QUANTITY_FIRST as usize;

    /// Takes the short numbers that stand there one behind the other, and gives where they end.
    #[inline(always)]
    fn take_short<const TAG_BYTES: usize>(&mut self, bytes: &[u8], mut at: usize, length: usize) -> usize {
        while at < length
            && let Some((number, value, read)) = short_field_at::<TAG_BYTES>(bytes, at)
        {
            self.set(number, value);
            at += read;
        }
        at
    }

    #[inline(always)]
    fn set(&mut self, number: usize, value: u64) {
        self.values[number] = value;
        self.seen |= 1 << number;
    }

    fn has(&self, number: u32) -> bool {
        self.seen & 1 << number != 0
    }

    #[inline(always)]
    fn check(&self) -> Result<(), RecordError> {
        if self.seen & 1 != 0 {
            return Err(BAD_TAG);
        }
        if self.seen & (1 << DEVICE_ID | 1 << OEM_RAW_DATA) != 0 {
            return Err(ANOTHER_TYPE);
        }
        let narrow =
            [DURATION_MS, LIMIT_BATTERY_CHARGE_W, LIMIT_BATTERY_DISCHARGE_W, LIMIT_HOME_W, LIMIT_SOLAR_W];
        if narrow.iter().fold(0, |all, &field| all | self.values[field as usize]) > u64::from(u32::MAX) {
            return Err(RecordError::Undecodable("a number is too large"));
        }
        // The highest bit is set in what is too large, or in what is left of the largest.
        let mut over = 0;
        for (&value, max) in self.values[Self::QUANTITIES..].iter().zip(QUANTITY_MAX) {
            over |= value | max.wrapping_sub(value);
        }
        if over >> 63 != 0 {
            return Err(RecordError::Undecodable("a quantity is too large"));
        }
        Ok(())
    }

    #[inline(always)]
    fn quantities(&self) -> Quantities {
        let mut thousandths = [0; Quantity::COUNT];
        for (thousandths, &value) in thousandths.iter_mut().zip(&self.values[Self::QUANTITIES..]) {
            *thousandths = value as i64;
        }
        Quantities::new((self.seen >> QUANTITY_FIRST) as u16, thousandths)
    }
}

/// The largest that each quantity may be.
const QUANTITY_MAX: [u64; Quantity::COUNT] = {
    let mut max = [0; Quantity::COUNT];
    let mut at = 0;
    while at < max.len() {
        max[at] = Quantity::ALL[at].max_thousandths() as u64;
        at += 1;
    }
    max
};

const BAD_TAG: RecordError = RecordError::Undecodable("bad tag");
const CUT_OFF: RecordError = RecordError::Undecodable("cut off");
const TOO_MANY_POINTS: RecordError = RecordError::Undecodable("too many points");
const ANOTHER_TYPE_IN_RECORD: RecordError = RecordError::Undecodable("a field has another type");
const ANOTHER_TYPE: RecordError = RecordError::Undecodable("a field of a point has another type");

fn text(bytes: &[u8]) -> Result<&str, RecordError> {
    std::str::from_utf8(bytes).map_err(|_| RecordError::Undecodable("invalid UTF-8"))
}

struct Reader<'a> {
    bytes: &'a [u8],
}

struct Read<'a> {
    number: u32,
    value: Value<'a>,
}

enum Value<'a> {
    Uint(u64),
    Bytes(&'a [u8]),
    /// Eight or four bytes; no field of ours has such a value.
    Fixed,
}

impl<'a> Reader<'a> {
    #[inline(always)]
    fn field(&mut self) -> Result<Option<Read<'a>>, RecordError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&number| number > 0).ok_or(BAD_TAG)?;
        let value = match (tag & 7) as u32 {
            WIRE_VARINT => Value::Uint(self.varint()?),
            WIRE_BYTES => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            WIRE_64_BIT => self.take(8).map(|_| Value::Fixed)?,
            WIRE_32_BIT => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(RecordError::Undecodable("bad wire type")),
        };
        Ok(Some(Read { number, value }))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(CUT_OFF)?;
        self.bytes = rest;
        Ok(taken)
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, RecordError> {
        // Every tag here is one byte or two, and most lengths and flags are one.
        if let [first @ 0..0x80, rest @ ..] = self.bytes {
            self.bytes = rest;
            return Ok(u64::from(*first));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, RecordError> {
        let mut value = 0;
        for (at, &byte) in self.bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.bytes = &self.bytes[at + 1..];
                return Ok(value);
            }
        }
        Err(if self.bytes.len() < VARINT_BYTES_MAX {
            CUT_OFF
        } else {
            RecordError::Undecodable("bad number")
        })
    }
}

const VARINT_BYTES_MAX: usize = 10;
/// The field numbers here are below 2,048.
const TAG_BYTES_MAX: usize = 2;

const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
/// From here on a varint is longer than six bytes, which is what fits behind a tag.
const SHORT_VARINT_END: u64 = 1 << 42;

/// The bytes of a varint that has at most six, and how many it has: all groups of seven bits are put in their places
/// at once.
#[inline(always)]
fn short_varint(value: u64) -> (u64, usize) {
    let halves = (value & 0x0FFF_FFFF) | (value & 0x00FF_FFFF_F000_0000) << 4;
    let quarters = (halves & 0x0000_3FFF_0000_3FFF) | (halves & 0x0FFF_C000_0FFF_C000) << 2;
    let groups = (quarters & 0x007F_007F_007F_007F) | (quarters & 0x3F80_3F80_3F80_3F80) << 1;
    // A byte is continued where a later one has anything.
    let highest = (groups | 1).ilog2() & !7;
    (groups | HIGH_BITS & ((1 << highest) - 1), highest as usize / 8 + 1)
}

/// The value of a varint that these bytes begin with, and how many it has; none where it does not end in them.
#[inline(always)]
fn read_short_varint(word: u64, high_bits: u64) -> Option<(u64, usize)> {
    let ends = !word & high_bits;
    if ends == 0 {
        return None;
    }
    // All bits up to the first byte that is not continued.
    let groups = word & (ends ^ (ends - 1)) & !HIGH_BITS;
    // Of each two neighbours the higher one is brought down to the lower one: half of it is taken off, three quarters …
    let quarters = groups - ((groups & 0x7F00_7F00_7F00_7F00) >> 1);
    let halves = quarters - ((quarters & 0x3FFF_0000_3FFF_0000) >> 2) * 3;
    let value = halves - (halves >> 32) * 0xF000_0000;
    Some((value, ends.trailing_zeros() as usize / 8 + 1))
}

/// The number with a tag of so many bytes, one or two, that begins there: its field, its value, and how many bytes it has
/// with its tag. None where the next eight bytes do not begin with one, or do not have all of it.
#[inline(always)]
fn short_field_at<const TAG_BYTES: usize>(bytes: &[u8], at: usize) -> Option<(usize, u64, usize)> {
    let word = u64::from_le_bytes(*bytes.get(at..at + 8)?.first_chunk()?);
    // The tags of fields 0 to 15, and those of 16 to 31.
    let (mask, is, first) = if TAG_BYTES == 1 { (0x87, 0, 0) } else { (0xFF87, 0x0180, 16) };
    if word & mask != is {
        return None;
    }
    let number = first + (word >> 3 & 0xf) as usize;
    // What is shifted in would end a number that goes on behind the eight bytes.
    let (value, length) = read_short_varint(word >> (8 * TAG_BYTES), HIGH_BITS >> (8 * TAG_BYTES))?;
    Some((number, value, TAG_BYTES + length))
}

fn write_varint(buffer: &mut [u8], mut value: u64) -> usize {
    let mut length = 0;
    while value >= 0x80 {
        buffer[length] = value as u8 | 0x80;
        value >>= 7;
        length += 1;
    }
    buffer[length] = value as u8;
    length + 1
}

#[inline]
fn put_varint(buffer: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        buffer.push(value as u8);
        return;
    }
    let mut encoded = [0; VARINT_BYTES_MAX];
    let length = write_varint(&mut encoded, value);
    buffer.extend_from_slice(&encoded[..length]);
}

#[inline]
fn put_uint(buffer: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(buffer, u64::from(number << 3 | WIRE_VARINT));
    put_varint(buffer, value);
}

#[inline]
fn put_bytes(buffer: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(buffer, u64::from(number << 3 | WIRE_BYTES));
    put_varint(buffer, value.len() as u64);
    buffer.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of every length, and those on both sides of where a length ends.
    fn numbers() -> impl Iterator<Item = u64> {
        (0..u64::BITS).flat_map(|bits| {
            let low = 1u64 << bits;
            [low - 1, low, low + low / 3, low | low >> 1 | 1]
        })
    }

    #[test]
    fn a_number_is_the_same_at_once_as_byte_by_byte() {
        for value in numbers() {
            let mut bytes = [0; VARINT_BYTES_MAX];
            let length = write_varint(&mut bytes, value);
            assert_eq!(length, varint_length(value), "{value}");
            if value < SHORT_VARINT_END {
                let (word, short) = short_varint(value);
                assert_eq!((short, &word.to_le_bytes()[..short]), (length, &bytes[..length]), "{value}");
            }
            // Whatever follows it.
            for behind in [0, 0xFF] {
                let mut word = [behind; 8];
                let held = length.min(word.len());
                word[..held].copy_from_slice(&bytes[..held]);
                let read = read_short_varint(u64::from_le_bytes(word), HIGH_BITS);
                assert_eq!(read, (length <= word.len()).then_some((value, length)), "{value}");
            }
        }
    }

    #[test]
    fn a_field_is_the_same_at_once_as_byte_by_byte() {
        for value in numbers() {
            for number in [1, 15, 16, COUNTER_MODULUS_WH, 2_047] {
                let mut slowly = Vec::new();
                put_uint(&mut slowly, number, value);
                let mut field = Numbers::new();
                field.put(number, value);
                assert_eq!(&field.bytes[..field.length], slowly, "{number}: {value}");
            }
        }
    }
}
