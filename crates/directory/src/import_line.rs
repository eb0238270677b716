//! One line of a device import: JSON text to a checked device, or the line, field and rule it breaks.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

use crate::api::DeviceType;
use crate::id::{check_client_id, check_device_id};

const LINE_BYTES_MAX: u64 = 64 * 1024;
/// The longest text of a site or a device.
pub const TEXT_BYTES_MAX: usize = 256;
pub const POWER_W_MAX: f64 = 10e6;
pub const CAPACITY_WH_MAX: f64 = 1e9;
const MODULUS_WH_MAX: f64 = 1e12;

/// A device as an import declares it. Its values have been checked.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportLine {
    pub(crate) client: String,
    pub(crate) device_id: String,
    pub(crate) site_id: Option<String>,
    pub(crate) device_type: DeviceType,
    pub(crate) manufacturer_name: Option<String>,
    pub(crate) product_name: Option<String>,
    pub(crate) serial_number: Option<String>,
    pub(crate) battery_capacity_wh: Option<f64>,
    pub(crate) battery_power_input_w: Option<f64>,
    pub(crate) battery_power_output_w: Option<f64>,
    pub(crate) counter_modulus_mwh: Option<i64>,
}

/// Why an import stopped. It names the line, and never repeats a value.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("line {line}: `{field}` {rule}")]
    Field { line: u64, field: String, rule: &'static str },
    #[error("line {line}, column {column}: not a JSON object")]
    Json { line: u64, column: usize },
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong { line: u64 },
    #[error("line {line} cannot be read")]
    Read { line: u64, source: io::Error },
}

/// Reads import lines one by one. Blank lines are skipped; lines are counted from 1.
pub fn parse_lines<R: BufRead>(reader: R) -> impl Iterator<Item = Result<ImportLine, ImportError>> {
    let mut lines = Lines { reader, buffer: Vec::new(), line: 0 };
    std::iter::from_fn(move || lines.next_device().transpose())
}

struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    line: u64,
}

impl<R: BufRead> Lines<R> {
    fn next_device(&mut self) -> Result<Option<ImportLine>, ImportError> {
        loop {
            self.line += 1;
            let line = self.line;
            self.buffer.clear();
            let mut bounded = self.reader.by_ref().take(LINE_BYTES_MAX + 1);
            let bytes = bounded
                .read_until(b'\n', &mut self.buffer)
                .map_err(|source| ImportError::Read { line, source })?;
            if bytes == 0 {
                return Ok(None);
            }
            if bytes as u64 > LINE_BYTES_MAX {
                return Err(ImportError::TooLong { line });
            }
            if !self.buffer.trim_ascii().is_empty() {
                return ImportLine::parse(&self.buffer, line).map(Some);
            }
        }
    }
}

impl ImportLine {
    fn parse(json: &[u8], line: u64) -> Result<Self, ImportError> {
        let fields: Map<String, Value> = serde_json::from_slice(json)
            .map_err(|error| ImportError::Json { line, column: error.column().max(1) })?;
        let mut fields = Fields { fields, line };
        let parsed = Self {
            client: fields.required("client", check_client_id)?,
            device_id: fields.required("device_id", check_device_id)?,
            site_id: fields.checked("site_id", |id| check_device_id(id).map_err(|e| e.0))?,
            device_type: fields.device_type()?,
            manufacturer_name: fields.checked("manufacturer_name", check_text)?,
            product_name: fields.checked("product_name", check_text)?,
            serial_number: fields.checked("serial_number", check_text)?,
            battery_capacity_wh: fields.positive(
                "battery_capacity_wh",
                CAPACITY_WH_MAX,
                "must be a number over 0, at most 1,000,000,000",
            )?,
            battery_power_input_w: fields.power("battery_power_input_w")?,
            battery_power_output_w: fields.power("battery_power_output_w")?,
            counter_modulus_mwh: fields.modulus()?,
        };
        match fields.fields.keys().next() {
            Some(unknown) => Err(fields.broken(unknown, "is not a known field")),
            None => Ok(parsed),
        }
    }
}

/// The fields of a line that have not been taken yet; what is left at the end is unknown.
struct Fields {
    fields: Map<String, Value>,
    line: u64,
}

impl Fields {
    fn broken(&self, field: &str, rule: &'static str) -> ImportError {
        ImportError::Field { line: self.line, field: field.to_owned(), rule }
    }

    fn text(&mut self, field: &str) -> Result<Option<String>, ImportError> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.broken(field, "must be a string")),
        }
    }

    fn checked(
        &mut self,
        field: &str,
        check: impl Fn(&str) -> Result<(), &'static str>,
    ) -> Result<Option<String>, ImportError> {
        let text = self.text(field)?;
        if let Some(text) = &text {
            check(text).map_err(|rule| self.broken(field, rule))?;
        }
        Ok(text)
    }

    fn required(
        &mut self,
        field: &str,
        check: impl Fn(&str) -> Result<(), crate::InvalidId>,
    ) -> Result<String, ImportError> {
        let text = self.checked(field, |id| check(id).map_err(|error| error.0))?;
        text.ok_or_else(|| self.broken(field, "is required"))
    }

    fn device_type(&mut self) -> Result<DeviceType, ImportError> {
        match self.text("type")?.as_deref() {
            None => Ok(DeviceType::Battery),
            Some(name) => name.parse().map_err(|rule| self.broken("type", rule)),
        }
    }

    fn positive(&mut self, field: &str, max: f64, rule: &'static str) -> Result<Option<f64>, ImportError> {
        match self.fields.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match value.as_f64() {
                Some(number) if number > 0.0 && number <= max => Ok(Some(number)),
                _ => Err(self.broken(field, rule)),
            },
        }
    }

    fn power(&mut self, field: &str) -> Result<Option<f64>, ImportError> {
        self.positive(field, POWER_W_MAX, "must be a number over 0, at most 10,000,000")
    }

    /// The modulus is counted in whole 0.001 Wh, as all energy is.
    fn modulus(&mut self) -> Result<Option<i64>, ImportError> {
        const FIELD: &str = "counter_modulus_wh";
        const RULE: &str = "must be a number over 0, at most 1,000,000,000,000, with at most 3 decimals";
        let Some(modulus_wh) = self.positive(FIELD, MODULUS_WH_MAX, RULE)? else {
            return Ok(None);
        };
        let modulus_mwh = (modulus_wh * 1e3).round();
        if modulus_mwh / 1e3 != modulus_wh {
            return Err(self.broken(FIELD, RULE));
        }
        Ok(Some(modulus_mwh as i64))
    }
}

pub(crate) fn check_text(text: &str) -> Result<(), &'static str> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        Err("must be at most 256 bytes without control characters")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Result<ImportLine, String> {
        let first =
            parse_lines(text.as_bytes()).find(Result::is_err).or_else(|| parse_lines(text.as_bytes()).next());
        first.expect("a line").map_err(|error| error.to_string())
    }

    #[test]
    fn a_full_line_and_a_bare_line() {
        let full = first(
            r#"{"client":"demo","site_id":"site-1","device_id":"bat-1","type":"EV_CHARGER",
            "manufacturer_name":"M","product_name":"P","serial_number":"S",
            "battery_power_input_w":5000,"battery_power_output_w":4600.5,"battery_capacity_wh":13500,
            "counter_modulus_wh":4294967.296}"#
                .replace('\n', " ")
                .as_str(),
        )
        .expect("valid");
        assert_eq!(full.counter_modulus_mwh, Some(4_294_967_296));
        assert_eq!(full.battery_power_output_w, Some(4600.5));
        assert_eq!(full.device_type, DeviceType::EvCharger);
        let bare = first(r#"{"client":"demo","device_id":"b","site_id":null}"#).expect("valid");
        assert_eq!((bare.device_type, bare.site_id), (DeviceType::Battery, None));
    }

    #[test]
    fn errors_name_line_field_and_rule() {
        let check = |line: &str, expected: &str| {
            let text = format!("{{\"client\":\"demo\",\"device_id\":\"b\"}}\n\n{line}");
            assert_eq!(first(&text).expect_err("refused"), expected);
        };
        check(r#"{"client":"demo"}"#, "line 3: `device_id` is required");
        check(r#"{"client":"demo","device_id":7}"#, "line 3: `device_id` must be a string");
        check(
            r#"{"client":"demo","device_id":"a\u0000"}"#,
            "line 3: `device_id` must be 1 to 128 bytes without control characters",
        );
        check(r#"{"client":"demo","device_id":"b","colour":"red"}"#, "line 3: `colour` is not a known field");
        for power in ["0", "-5", "1e8", "\"5\""] {
            check(
                &format!(r#"{{"client":"demo","device_id":"b","battery_power_input_w":{power}}}"#),
                "line 3: `battery_power_input_w` must be a number over 0, at most 10,000,000",
            );
        }
        check(
            r#"{"client":"demo","device_id":"b","counter_modulus_wh":0.0001}"#,
            "line 3: `counter_modulus_wh` must be a number over 0, at most 1,000,000,000,000, with at most 3 decimals",
        );
        check(
            r#"{"client":"demo","type":"WIND","device_id":"b"}"#,
            "line 3: `type` must be BATTERY or EV_CHARGER",
        );
        check("[1]", "line 3, column 1: not a JSON object");
        check(&" ".repeat(70_000), "line 3: longer than 65536 bytes");
    }
}
