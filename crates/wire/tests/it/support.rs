//! The boundary of all tests about requests: a body goes in, and what became of it comes out as text.

use std::fmt::Write as _;

use expect_test::Expect;
use wattline_model::{Kind, Point, Quantity};
use wattline_wire::{BodyError, Bounds, Decoder, Invalid, PointSink};

/// 2026-11-24T03:00:00Z, with the bounds that the gateway has by default.
pub const NOW_MS: i64 = 1_795_489_200_000;
pub const BOUNDS: Bounds = Bounds { oldest_ms: NOW_MS - 35 * 86_400_000, newest_ms: NOW_MS + 5 * 60_000 };

#[derive(Default)]
pub struct Collected<'a> {
    pub points: Vec<Result<Point<'a>, Invalid>>,
    pub restarts: u32,
}

impl<'a> PointSink<'a> for Collected<'a> {
    fn point(&mut self, point: Result<Point<'a>, Invalid>) {
        self.points.push(point);
    }

    fn restart(&mut self) {
        self.points.clear();
        self.restarts += 1;
    }
}

pub fn decode_with<'a>(decoder: &mut Decoder, body: &'a [u8]) -> Result<Collected<'a>, BodyError> {
    let mut collected = Collected::default();
    decoder.decode(body, BOUNDS, &mut collected)?;
    assert!(collected.restarts <= 1, "the points come twice at most");
    Ok(collected)
}

pub fn decode(kind: Kind, body: &[u8]) -> Result<Vec<Result<Point<'_>, Invalid>>, BodyError> {
    decode_with(&mut Decoder::new(kind), body).map(|collected| collected.points)
}

/// What the body gives: a line for each point, or the reason why the whole of it is refused.
pub fn check(kind: Kind, body: impl AsRef<[u8]>, expect: Expect) {
    expect.assert_eq(&outcome(kind, body.as_ref()));
}

pub fn outcome(kind: Kind, body: &[u8]) -> String {
    match decode(kind, body) {
        Ok(points) if points.is_empty() => "no points\n".into(),
        Ok(points) => points.iter().map(|point| line(point) + "\n").collect(),
        Err(BodyError::Malformed(malformed)) => format!("400 {malformed}\n"),
        Err(error @ BodyError::Invalid { .. }) => format!("422 {error}\n"),
    }
}

pub fn line(point: &Result<Point<'_>, Invalid>) -> String {
    match point {
        Ok(point) => format!("OK {}", shown(point)),
        Err(invalid) => format!("FAILED {invalid}"),
    }
}

/// Everything that a point holds, in one line; thousandths as they are.
fn shown(point: &Point<'_>) -> String {
    let mut text = format!("{:?} {}", point.device_id, point.time_ms);
    if point.duration_ms != 0 {
        write!(text, "+{}", point.duration_ms).unwrap();
    }
    text += if point.last_is_online { " online" } else { " offline" };
    if let Some(online) = point.last_is_grid_online {
        text += if online { " grid" } else { " no-grid" };
    }
    if let Some(mode) = point.last_mode {
        write!(text, " {}", mode.name()).unwrap();
    }
    for quantity in Quantity::ALL {
        if let Some(value) = point.quantities.get(quantity) {
            write!(text, " {}={value}", quantity.name()).unwrap();
        }
    }
    if let Some(oem) = &point.oem_raw_data {
        write!(text, " oem_raw_data={oem}").unwrap();
    }
    text
}

/// A point under construction: the fields in their order, each with the text of its value.
#[derive(Clone)]
pub struct Draft(Vec<(String, String)>);

impl Draft {
    /// The shortest point that is accepted.
    pub fn offline(kind: Kind) -> Self {
        let mut draft = Draft(Vec::new());
        draft.set("device_id", r#""d""#).set(kind.time_field(), r#""2026-11-24T03:00:00Z""#);
        if kind == Kind::Battery {
            draft.set("duration_s", "300");
        }
        draft.set("last_is_online", "false");
        draft
    }

    /// The shortest point of a device that is online.
    pub fn online(kind: Kind) -> Self {
        let mut draft = Draft::offline(kind);
        draft.set("last_is_online", "true").set("last_is_grid_online", "true");
        for (at, quantity) in wattline_model::REQUIRED_ONLINE.iter().enumerate() {
            draft.set(quantity.name(), &at.to_string());
        }
        draft
    }

    /// Gives the field this value instead of the one it has; an empty text takes the field away.
    pub fn set(&mut self, field: &str, value: &str) -> &mut Self {
        let at = self.0.iter().position(|(name, _)| name == field);
        match at {
            Some(at) if value.is_empty() => drop(self.0.remove(at)),
            Some(at) => self.0[at].1 = value.into(),
            None if value.is_empty() => {}
            None => self.0.push((field.into(), value.into())),
        }
        self
    }

    pub fn text(&self) -> String {
        let members: Vec<String> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

pub fn wrapped(points: &[String]) -> String {
    format!("{{\"telemetry\":[{}]}}", points.join(","))
}

/// Puts each value in its field of the same point, all in one request, and shows what became of each.
pub fn check_fields(kind: Kind, base: &Draft, changes: &[(&str, &str)], expect: Expect) {
    let points: Vec<String> =
        changes.iter().map(|(field, value)| base.clone().set(field, value).text()).collect();
    let body = wrapped(&points);
    let points = decode(kind, body.as_bytes()).expect("every change is well-formed JSON");
    assert_eq!(points.len(), changes.len());
    let lines: String = changes
        .iter()
        .zip(&points)
        .map(|((field, value), point)| {
            let value = match *value {
                "" => "(absent)".into(),
                long if long.len() > 40 => format!("({} bytes)", long.len()),
                value => value.chars().map(visible).collect(),
            };
            let line = line(point);
            let line = match line.char_indices().nth(140) {
                Some((end, _)) => format!("{}…", &line[..end]),
                None => line,
            };
            format!("{field}: {value} -> {line}\n")
        })
        .collect();
    expect.assert_eq(&lines);
}

/// A character as it is, or by its number where one cannot see it.
fn visible(character: char) -> String {
    match character {
        '"' | '\\' | '\'' => character.into(),
        character => character.escape_debug().to_string(),
    }
}
