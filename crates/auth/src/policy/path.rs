//! From a method and a path to a row of the table, with the path's parameters decoded.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{ENDPOINTS, Endpoint, Method, TELEMETRY_BATTERY, TELEMETRY_BATTERY_COUNTER};

const PARAMS_MAX: usize = 2;
const TELEMETRY_BATTERY_ROW: usize = 4;
const TELEMETRY_BATTERY_COUNTER_ROW: usize = 5;

/// A request's row, and what its path names.
#[derive(Clone, Debug)]
pub struct Matched<'a> {
    pub endpoint: &'static Endpoint,
    params: [Cow<'a, str>; PARAMS_MAX],
}

/// No row has this path, or not with this method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoute {
    Path,
    Method { allow: Allow },
}

/// The methods that a path takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allow(u8);

impl Allow {
    fn add(&mut self, method: Method) {
        self.0 |= 1 << method as u8;
    }

    /// The value of the header `Allow`.
    pub const fn header(self) -> &'static str {
        // By the bits of GET, POST, PATCH and DELETE, the lowest first.
        const HEADERS: [&str; 16] = [
            "",
            "GET",
            "POST",
            "GET, POST",
            "PATCH",
            "GET, PATCH",
            "POST, PATCH",
            "GET, POST, PATCH",
            "DELETE",
            "GET, DELETE",
            "POST, DELETE",
            "GET, POST, DELETE",
            "PATCH, DELETE",
            "GET, PATCH, DELETE",
            "POST, PATCH, DELETE",
            "GET, POST, PATCH, DELETE",
        ];
        HEADERS[self.0 as usize & 15]
    }
}

/// Finds the row of a request. The path is the one of the request line, without its query.
///
/// A path is split first and decoded then, so an encoded slash belongs to an id. What cannot be an id
/// finds no row: an empty segment, broken percent-encoding, bytes that are not UTF-8, and the segments `.`
/// and `..`, which clients, proxies and upstreams take for steps of the path.
pub fn route<'a>(method: &str, path: &'a str) -> Result<Matched<'a>, NoRoute> {
    // Nearly every request is one of these two, and has nothing to decode.
    let telemetry = match path {
        TELEMETRY_BATTERY => Some(&ENDPOINTS[TELEMETRY_BATTERY_ROW]),
        TELEMETRY_BATTERY_COUNTER => Some(&ENDPOINTS[TELEMETRY_BATTERY_COUNTER_ROW]),
        _ => None,
    };
    if let Some(endpoint) = telemetry
        && endpoint.method.name() == method
    {
        return Ok(Matched { endpoint, params: Default::default() });
    }
    let method = Method::from_name(method);
    let mut allow = Allow::default();
    for endpoint in &ENDPOINTS {
        let Some(params) = params_of(endpoint.template, path) else { continue };
        if method == Some(endpoint.method) {
            return Ok(Matched { endpoint, params });
        }
        allow.add(endpoint.method);
    }
    Err(if allow == Allow::default() { NoRoute::Path } else { NoRoute::Method { allow } })
}

/// The decoded parameters of a path that the template fits.
fn params_of<'a>(template: &str, path: &'a str) -> Option<[Cow<'a, str>; PARAMS_MAX]> {
    let mut params = <[Cow<'a, str>; PARAMS_MAX]>::default();
    let mut places = params.iter_mut();
    let mut segments = path.split('/');
    for expected in template.split('/') {
        let segment = segments.next()?;
        if expected.starts_with('{') {
            *places.next()? = decode(segment)?;
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(params)
}

/// A segment without its percent-encoding, where it can be an id.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    let decoded = if segment.contains('%') {
        let mut bytes = Vec::with_capacity(segment.len());
        let mut rest = segment.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                bytes.push((high << 4 | low) as u8);
            } else {
                bytes.push(byte);
            }
        }
        Cow::Owned(String::from_utf8(bytes).ok()?)
    } else {
        Cow::Borrowed(segment)
    };
    (!matches!(&*decoded, "" | "." | "..")).then_some(decoded)
}

impl Matched<'_> {
    /// The parameter with this name, decoded.
    pub fn param(&self, name: &str) -> Option<&str> {
        let names = self.endpoint.template.split('/').filter_map(|part| part.strip_prefix('{'));
        let place = names.map(|part| part.trim_end_matches('}')).position(|known| known == name)?;
        Some(&self.params[place])
    }

    pub fn site_id(&self) -> Option<&str> {
        self.param("siteId")
    }

    pub fn device_id(&self) -> Option<&str> {
        self.param("deviceId")
    }

    /// The path in one canonical form, for an upstream: what was checked here is what it will read, however
    /// the caller spelled it.
    pub fn canonical_path(&self) -> String {
        let mut path = String::with_capacity(self.endpoint.template.len());
        let mut params = self.params.iter();
        for (place, part) in self.endpoint.template.split('/').enumerate() {
            if place > 0 {
                path.push('/');
            }
            if part.starts_with('{') {
                params.next().into_iter().for_each(|param| path.push_str(&percent_encoded(param)));
            } else {
                path.push_str(part);
            }
        }
        path
    }
}

/// All but the unreserved characters of RFC 3986 percent-encoded.
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
