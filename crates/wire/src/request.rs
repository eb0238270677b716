//! The body of a telemetry request: `{"telemetry": [point, …]}`, decoded and checked in one pass.

use std::borrow::Cow;

use wattline_model::{COUNTERS, Kind, Limits, Mode, Point, Quantities, Quantity, REQUIRED_ONLINE};

use crate::invalid::{Field, Invalid, Rule};
use crate::json::{Cursor, Key, Malformed, Starts};
use crate::time::parse_rfc3339_ms;

/// Points a request may have.
pub const POINTS_MAX: usize = 1_000;
pub const DEVICE_ID_BYTES_MAX: usize = 128;
pub const OEM_RAW_DATA_BYTES_MAX: usize = 8_192;
pub const DURATION_S_MAX: u32 = 86_400;

const DURATION_MS_MAX: u64 = DURATION_S_MAX as u64 * 1_000;
/// A point stands in the array that stands in the wrapper, so its members are this deep.
const POINT_DEPTH: u32 = 3;

/// The times a point may have: from the oldest to the newest, both included.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub oldest_ms: i64,
    pub newest_ms: i64,
}

/// Takes the points of a request one by one, in its order.
pub trait PointSink<'a> {
    fn point(&mut self, point: Result<Point<'a>, Invalid>);

    /// All points so far are void; they come again. It happens when the older shape gives its top-level
    /// `start_time` and `duration_s` after the points.
    fn restart(&mut self);
}

/// Why a whole body is refused; nothing of it may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is not well-formed JSON: {0}")]
    Malformed(#[from] Malformed),
    #[error("{path} {rule}")]
    Invalid { path: &'static str, rule: &'static str },
}

const fn invalid(path: &'static str, rule: &'static str) -> BodyError {
    BodyError::Invalid { path, rule }
}

/// Decodes bodies of one kind.
#[derive(Clone, Debug)]
pub struct Decoder {
    kind: Kind,
    keys: &'static [Key; FIELD_COUNT],
    /// The field that came after each field in the last point: gateways write their fields in one order, so
    /// the next key is compared with one candidate instead of being looked up.
    next: [u8; FIELD_COUNT + 1],
}

/// What the older shape may put beside the points; it applies to every point that lacks its own.
#[derive(Clone, Copy, Default)]
struct Defaults {
    time: Option<Result<i64, Rule>>,
    duration: Option<Result<u32, Rule>>,
}

/// The fields of a point by number: the quantities first, then these.
const FIELD_COUNT: usize = Quantity::COUNT + 7;
const TIME: usize = Quantity::COUNT;
const DURATION: usize = Quantity::COUNT + 1;
const DEVICE_ID: usize = Quantity::COUNT + 2;
const IS_ONLINE: usize = Quantity::COUNT + 3;
const IS_GRID_ONLINE: usize = Quantity::COUNT + 4;
const MODE: usize = Quantity::COUNT + 5;
const OEM_RAW_DATA: usize = Quantity::COUNT + 6;
/// Stands for the beginning of a point in `Decoder::next`.
const BEGIN: usize = FIELD_COUNT;

const fn field(number: usize, kind: Kind) -> Field {
    match number {
        TIME => Field::Time(kind),
        DURATION => Field::Duration,
        DEVICE_ID => Field::DeviceId,
        IS_ONLINE => Field::IsOnline,
        IS_GRID_ONLINE => Field::IsGridOnline,
        MODE => Field::Mode,
        OEM_RAW_DATA => Field::OemRawData,
        quantity => Field::Quantity(Quantity::ALL[quantity]),
    }
}

const fn keys(kind: Kind) -> [Key; FIELD_COUNT] {
    let mut keys = [Key::new(""); FIELD_COUNT];
    let mut number = 0;
    while number < FIELD_COUNT {
        keys[number] = Key::new(field(number, kind).name());
        number += 1;
    }
    keys
}

static INTERVAL_KEYS: [Key; FIELD_COUNT] = keys(Kind::Battery);
static READING_KEYS: [Key; FIELD_COUNT] = keys(Kind::BatteryCounter);

/// A reading has neither a start nor a duration: its field of that name is like any unknown one.
fn has_field(kind: Kind, number: usize) -> bool {
    number != DURATION || kind == Kind::Battery
}

/// The fields of a point of this kind; any other is ignored.
pub fn fields(kind: Kind) -> impl Iterator<Item = Field> {
    (0..FIELD_COUNT).filter(move |&number| has_field(kind, number)).map(move |number| field(number, kind))
}

impl Decoder {
    pub fn new(kind: Kind) -> Self {
        let mut next = [0; FIELD_COUNT + 1];
        for (number, next) in next.iter_mut().enumerate() {
            *next = ((number + 1) % FIELD_COUNT) as u8;
        }
        if kind == Kind::BatteryCounter {
            // A reading has no duration, so that field must never be a candidate.
            next[TIME] = DEVICE_ID as u8;
        }
        let keys = match kind {
            Kind::Battery => &INTERVAL_KEYS,
            Kind::BatteryCounter => &READING_KEYS,
        };
        Decoder { kind, keys, next }
    }

    /// Decodes one body and hands its points over. On an error, the points handed over are void too.
    pub fn decode<'a>(
        &mut self,
        body: &'a [u8],
        bounds: Bounds,
        sink: &mut impl PointSink<'a>,
    ) -> Result<(), BodyError> {
        let mut defaults = Defaults::default();
        let came_late = self
            .wrapper(body, bounds, &mut defaults, sink)
            .map_err(|refused| well_formed(body, &refused).err().map_or(refused, BodyError::Malformed))?;
        if came_late {
            sink.restart();
            self.wrapper(body, bounds, &mut defaults, sink)?;
        }
        Ok(())
    }

    /// Reads the wrapper. True when points lacked a default that was only found behind them.
    fn wrapper<'a>(
        &mut self,
        body: &'a [u8],
        bounds: Bounds,
        defaults: &mut Defaults,
        sink: &mut impl PointSink<'a>,
    ) -> Result<bool, BodyError> {
        const TELEMETRY: &str = "telemetry";
        let mut cursor = Cursor::new(body);
        if cursor.starts()? != Starts::Object {
            return Err(invalid("$", "must be an object with the array telemetry"));
        }
        cursor.expect(b'{', "expected an object")?;
        let mut had_telemetry = false;
        let mut lacked = Lacked::default();
        let mut came_late = false;
        let mut open = !cursor.closes(b'}');
        while open {
            cursor.open_key()?;
            let key = cursor.key()?;
            if key == TELEMETRY {
                if had_telemetry {
                    return Err(invalid(TELEMETRY, "must not be given twice"));
                }
                had_telemetry = true;
                lacked = self.points(&mut cursor, bounds, defaults, sink)?;
            } else if key == self.kind.time_field() {
                defaults.time = read_time(&mut cursor, 1)?;
                came_late |= lacked.time && defaults.time.is_some();
            } else if self.kind == Kind::Battery && key == Field::Duration.name() {
                defaults.duration = read_duration(&mut cursor, 1)?;
                came_late |= lacked.duration && defaults.duration.is_some();
            } else {
                cursor.skip_value(1)?;
            }
            open = cursor.more(b'}')?;
        }
        cursor.end()?;
        if !had_telemetry {
            return Err(invalid(TELEMETRY, "is required"));
        }
        Ok(came_late)
    }

    fn points<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        bounds: Bounds,
        defaults: &Defaults,
        sink: &mut impl PointSink<'a>,
    ) -> Result<Lacked, BodyError> {
        let mut lacked = Lacked::default();
        if cursor.starts()? != Starts::Array {
            return Err(invalid("telemetry", "must be an array"));
        }
        cursor.expect(b'[', "expected an array")?;
        let mut count = 0;
        let mut open = !cursor.closes(b']');
        while open {
            count += 1;
            if count > POINTS_MAX {
                return Err(invalid("telemetry", "must have at most 1000 points"));
            }
            let point = self.point(cursor, bounds, defaults, &mut lacked)?;
            sink.point(point);
            open = cursor.more(b']')?;
        }
        Ok(lacked)
    }

    /// Reads one element of the array: text that is not JSON is an error, a rule that is broken is not.
    fn point<'a>(
        &mut self,
        cursor: &mut Cursor<'a>,
        bounds: Bounds,
        defaults: &Defaults,
        lacked: &mut Lacked,
    ) -> Result<Result<Point<'a>, Invalid>, Malformed> {
        if cursor.starts()? != Starts::Object {
            cursor.skip_value(POINT_DEPTH - 1)?;
            return Ok(Err(Invalid { field: Field::Point, rule: Rule::Object }));
        }
        let mut draft = Draft::default();
        let mut seen = 0u32;
        let mut before = BEGIN;
        cursor.expect(b'{', "expected an object")?;
        let mut open = !cursor.closes(b'}');
        while open {
            cursor.open_key()?;
            if let Some(number) = self.field_key(cursor, &mut before)? {
                let twice = seen & (1 << number) != 0;
                seen |= 1 << number;
                let read = if twice {
                    cursor.skip_value(POINT_DEPTH)?;
                    Err(Rule::Twice)
                } else {
                    draft.read(number, cursor)?
                };
                if let (Err(rule), None) = (read, draft.invalid) {
                    draft.invalid = Some(Invalid { field: field(number, self.kind), rule });
                }
            } else {
                cursor.skip_value(POINT_DEPTH)?;
            }
            self.usual_quantities(cursor, &mut before, &mut seen, &mut draft.quantities);
            open = cursor.more(b'}')?;
        }
        Ok(draft.check(self.kind, bounds, defaults, lacked))
    }

    /// Takes the members that follow for as long as they are quantities, in the order of the last point, written as
    /// nearly everybody writes them, and nothing is wrong with them. What stops it is for the caller to read.
    ///
    /// Most of a point is such members. Where the next one begins is kept in a register here, and not in the cursor.
    fn usual_quantities(
        &self,
        cursor: &mut Cursor<'_>,
        before: &mut usize,
        seen: &mut u32,
        quantities: &mut Quantities,
    ) {
        let mut rest = cursor.rest();
        loop {
            let number = usize::from(self.next[*before]);
            let Some(&quantity) = Quantity::ALL.get(number) else { break };
            let Some((thousandths, behind)) = self.keys[number].usual_member(rest) else { break };
            if thousandths > quantity.max_thousandths() as u64 || *seen & (1 << number) != 0 {
                break;
            }
            quantities.set(quantity, thousandths as i64);
            *seen |= 1 << number;
            *before = number;
            rest = behind;
        }
        cursor.go_to(rest);
    }

    /// The number of the field whose key stands next, or none for a field that this kind does not have.
    #[inline]
    fn field_key(&mut self, cursor: &mut Cursor<'_>, before: &mut usize) -> Result<Option<usize>, Malformed> {
        let candidate = usize::from(self.next[*before]);
        if cursor.take_key(&self.keys[candidate]) {
            *before = candidate;
            return Ok(Some(candidate));
        }
        let key = cursor.key()?;
        let found = (0..FIELD_COUNT).find(|&number| field(number, self.kind).name() == key);
        let found = found.filter(|&number| has_field(self.kind, number));
        if let Some(number) = found {
            self.next[*before] = number as u8;
            *before = number;
        }
        Ok(found)
    }
}

/// Reading stops at what is refused. A body that is no text at all, or no JSON further on, is that first of all.
#[cold]
fn well_formed(body: &[u8], refused: &BodyError) -> Result<(), Malformed> {
    std::str::from_utf8(body)
        .map_err(|error| Malformed { offset: error.valid_up_to(), what: "invalid UTF-8" })?;
    if matches!(refused, BodyError::Invalid { .. }) {
        let mut cursor = Cursor::new(body);
        cursor.skip_value(0)?;
        cursor.end()?;
    }
    Ok(())
}

/// Whether any point lacked its own time or duration while there was no default for it.
#[derive(Clone, Copy, Default)]
struct Lacked {
    time: bool,
    duration: bool,
}

/// A point as far as it is read.
#[derive(Default)]
struct Draft<'a> {
    /// The first rule that a field breaks by itself.
    invalid: Option<Invalid>,
    device_id: Option<Cow<'a, str>>,
    time_ms: Option<i64>,
    duration_ms: Option<u32>,
    last_is_online: Option<bool>,
    last_is_grid_online: Option<bool>,
    last_mode: Option<Mode>,
    quantities: Quantities,
    oem_raw_data: Option<&'a str>,
}

/// A value that was read: the text was JSON, and the value keeps its field's rule or not.
type Read<T> = Result<Result<T, Rule>, Malformed>;

impl<'a> Draft<'a> {
    #[inline]
    fn read(&mut self, number: usize, cursor: &mut Cursor<'a>) -> Read<()> {
        let rule = match number {
            DEVICE_ID => read_device_id(cursor)?.map(|id| self.device_id = id),
            TIME => settle(read_time(cursor, POINT_DEPTH)?).map(|time| self.time_ms = time),
            DURATION => {
                settle(read_duration(cursor, POINT_DEPTH)?).map(|duration| self.duration_ms = duration)
            }
            IS_ONLINE => read_boolean(cursor, Rule::Boolean)?.map(|online| self.last_is_online = online),
            IS_GRID_ONLINE => {
                read_boolean(cursor, Rule::BooleanOrNull)?.map(|online| self.last_is_grid_online = online)
            }
            MODE => read_mode(cursor)?.map(|mode| self.last_mode = mode),
            OEM_RAW_DATA => read_raw_data(cursor)?.map(|text| self.oem_raw_data = text),
            _ => {
                let quantity = Quantity::ALL[number];
                read_quantity(cursor, quantity)?.map(|value| {
                    if let Some(value) = value {
                        self.quantities.set(quantity, value);
                    }
                })
            }
        };
        Ok(rule)
    }

    /// The rules between the fields, and what is missing.
    fn check(
        self,
        kind: Kind,
        bounds: Bounds,
        defaults: &Defaults,
        lacked: &mut Lacked,
    ) -> Result<Point<'a>, Invalid> {
        let breaks = |field, rule| Invalid { field, rule };
        let time_field = Field::Time(kind);
        if self.time_ms.is_none() && defaults.time.is_none() {
            lacked.time = true;
        }
        if kind == Kind::Battery && self.duration_ms.is_none() && defaults.duration.is_none() {
            lacked.duration = true;
        }
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let device_id = self.device_id.ok_or(breaks(Field::DeviceId, Rule::Required))?;
        let time = self.time_ms.map(Ok).or(defaults.time).unwrap_or(Err(Rule::Required));
        let time_ms = time.map_err(|rule| breaks(time_field, rule))?;
        if time_ms < bounds.oldest_ms {
            return Err(breaks(time_field, Rule::TooOld));
        }
        if time_ms > bounds.newest_ms {
            return Err(breaks(time_field, Rule::TooNew));
        }
        let duration_ms = match kind {
            Kind::BatteryCounter => 0,
            Kind::Battery => {
                let duration = self.duration_ms.map(Ok).or(defaults.duration).unwrap_or(Err(Rule::Required));
                duration.map_err(|rule| breaks(Field::Duration, rule))?
            }
        };
        let last_is_online = self.last_is_online.ok_or(breaks(Field::IsOnline, Rule::Required))?;
        if last_is_online {
            if let Some(&missing) = REQUIRED_ONLINE.iter().find(|&&quantity| !self.quantities.has(quantity)) {
                return Err(breaks(Field::Quantity(missing), Rule::RequiredOnline));
            }
            if self.last_is_grid_online.is_none() {
                return Err(breaks(Field::IsGridOnline, Rule::RequiredOnline));
            }
        } else if kind == Kind::BatteryCounter {
            let missing = COUNTERS.iter().find(|&&quantity| !self.quantities.has(quantity));
            let any = COUNTERS.iter().any(|&quantity| self.quantities.has(quantity));
            if let (Some(&missing), true) = (missing, any) {
                return Err(breaks(Field::Quantity(missing), Rule::AllCounters));
            }
        }
        Ok(Point {
            device_id,
            time_ms,
            duration_ms,
            last_is_online,
            last_is_grid_online: self.last_is_grid_online,
            last_mode: self.last_mode,
            quantities: self.quantities,
            oem_raw_data: self.oem_raw_data.map(Cow::Borrowed),
            limits: Limits::default(),
        })
    }
}

/// `null` reads as a field that is not there; a value reads as itself or as the rule it breaks.
fn settle<T>(read: Option<Result<T, Rule>>) -> Result<Option<T>, Rule> {
    read.transpose()
}

fn read_time(cursor: &mut Cursor<'_>, depth: u32) -> Result<Option<Result<i64, Rule>>, Malformed> {
    if cursor.take_null()? {
        return Ok(None);
    }
    if cursor.starts()? != Starts::String {
        cursor.skip_value(depth)?;
        return Ok(Some(Err(Rule::DateTime)));
    }
    let text = cursor.string_bytes()?;
    Ok(Some(parse_rfc3339_ms(&text).ok_or(Rule::DateTime)))
}

fn read_duration(cursor: &mut Cursor<'_>, depth: u32) -> Result<Option<Result<u32, Rule>>, Malformed> {
    if cursor.take_null()? {
        return Ok(None);
    }
    if cursor.starts()? != Starts::Number {
        cursor.skip_value(depth)?;
        return Ok(Some(Err(Rule::Number)));
    }
    let number = cursor.number()?;
    // A thousandth of a second is a millisecond.
    let duration = match number.thousandths {
        0 => Err(Rule::Positive),
        _ if number.negative => Err(Rule::Positive),
        milliseconds if milliseconds > DURATION_MS_MAX => Err(Rule::DurationAtMost),
        milliseconds => Ok(milliseconds as u32),
    };
    Ok(Some(duration))
}

fn read_device_id<'a>(cursor: &mut Cursor<'a>) -> Read<Option<Cow<'a, str>>> {
    if cursor.take_null()? {
        return Ok(Ok(None));
    }
    if cursor.starts()? != Starts::String {
        cursor.skip_value(POINT_DEPTH)?;
        return Ok(Err(Rule::Text));
    }
    let id = cursor.string()?;
    if id.is_empty() || id.len() > DEVICE_ID_BYTES_MAX {
        return Ok(Err(Rule::IdLength));
    }
    let has_control = if id.is_ascii() {
        id.bytes().any(|byte| byte.is_ascii_control())
    } else {
        id.chars().any(char::is_control)
    };
    Ok(if has_control { Err(Rule::IdControl) } else { Ok(Some(id)) })
}

fn read_boolean(cursor: &mut Cursor<'_>, rule: Rule) -> Read<Option<bool>> {
    Ok(match cursor.starts()? {
        Starts::True => Ok(Some(cursor.literal("true").map(|()| true)?)),
        Starts::False => Ok(Some(cursor.literal("false").map(|()| false)?)),
        Starts::Null => cursor.literal("null").map(|()| Ok(None))?,
        _ => {
            cursor.skip_value(POINT_DEPTH)?;
            Err(rule)
        }
    })
}

fn read_mode(cursor: &mut Cursor<'_>) -> Read<Option<Mode>> {
    if cursor.take_null()? {
        return Ok(Ok(None));
    }
    if cursor.starts()? != Starts::String {
        cursor.skip_value(POINT_DEPTH)?;
        return Ok(Err(Rule::OneMode));
    }
    let name = cursor.string_bytes()?;
    Ok(Mode::from_name(&name).map(Some).ok_or(Rule::OneMode))
}

fn read_raw_data<'a>(cursor: &mut Cursor<'a>) -> Read<Option<&'a str>> {
    if cursor.take_null()? {
        return Ok(Ok(None));
    }
    let is_object = cursor.starts()? == Starts::Object;
    let text = cursor.raw_value(POINT_DEPTH)?;
    Ok(if !is_object {
        Err(Rule::Object)
    } else if text.len() > OEM_RAW_DATA_BYTES_MAX {
        Err(Rule::RawDataLength)
    } else {
        Ok(Some(text))
    })
}

#[inline]
fn read_quantity(cursor: &mut Cursor<'_>, quantity: Quantity) -> Read<Option<i64>> {
    match cursor.take_short_number() {
        Some(thousandths) => Ok(within_bounds(false, thousandths, quantity)),
        None => read_any_quantity(cursor, quantity),
    }
}

fn read_any_quantity(cursor: &mut Cursor<'_>, quantity: Quantity) -> Read<Option<i64>> {
    match cursor.starts()? {
        Starts::Number => {
            let number = cursor.number()?;
            Ok(within_bounds(number.is_below_zero(), number.thousandths, quantity))
        }
        Starts::Null => cursor.literal("null").map(|()| Ok(None)),
        _ => {
            cursor.skip_value(POINT_DEPTH)?;
            Ok(Err(Rule::Number))
        }
    }
}

#[inline]
fn within_bounds(below_zero: bool, thousandths: u64, quantity: Quantity) -> Result<Option<i64>, Rule> {
    let above = thousandths > quantity.max_thousandths() as u64;
    match (below_zero, above, quantity.is_percentage()) {
        (false, false, _) => Ok(Some(thousandths as i64)),
        (_, _, true) => Err(Rule::Percentage),
        (true, _, false) => Err(Rule::NotNegative),
        (false, true, false) => Err(Rule::AtMost),
    }
}
