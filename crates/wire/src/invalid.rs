use std::fmt;

use wattline_model::{Kind, Mode, Quantity};

/// A field of a point, by its public name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The array element itself.
    Point,
    Time(Kind),
    Duration,
    DeviceId,
    IsOnline,
    IsGridOnline,
    Mode,
    OemRawData,
    Quantity(Quantity),
}

impl Field {
    pub const fn name(self) -> &'static str {
        match self {
            Field::Point => "point",
            Field::Time(kind) => kind.time_field(),
            Field::Duration => "duration_s",
            Field::DeviceId => "device_id",
            Field::IsOnline => "last_is_online",
            Field::IsGridOnline => "last_is_grid_online",
            Field::Mode => "last_mode",
            Field::OemRawData => "oem_raw_data",
            Field::Quantity(quantity) => quantity.name(),
        }
    }
}

/// The rule that a field breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    Object,
    Required,
    RequiredOnline,
    Twice,
    Number,
    NotNegative,
    Percentage,
    AtMost,
    Positive,
    DurationAtMost,
    DateTime,
    TooOld,
    TooNew,
    Boolean,
    BooleanOrNull,
    Text,
    IdLength,
    IdControl,
    OneMode,
    RawDataLength,
    AllCounters,
}

impl Rule {
    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::Object => "not_an_object",
            Rule::Required => "missing",
            Rule::RequiredOnline => "missing_while_online",
            Rule::Twice => "given_twice",
            Rule::Number => "not_a_number",
            Rule::NotNegative => "negative",
            Rule::Percentage => "not_a_percentage",
            Rule::AtMost => "too_large",
            Rule::Positive => "not_positive",
            Rule::DurationAtMost => "duration_too_long",
            Rule::DateTime => "not_a_date_time",
            Rule::TooOld => "too_old",
            Rule::TooNew => "too_new",
            Rule::Boolean | Rule::BooleanOrNull => "not_a_boolean",
            Rule::Text => "not_a_string",
            Rule::IdLength => "id_length",
            Rule::IdControl => "id_control_characters",
            Rule::OneMode => "unknown_mode",
            Rule::RawDataLength => "raw_data_too_long",
            Rule::AllCounters => "counters_incomplete",
        }
    }
}

/// Why a point is refused: the field and the rule. It never holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    pub field: Field,
    pub rule: Rule,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.field.name();
        match self.rule {
            Rule::Object => write!(f, "{name} must be an object"),
            Rule::Required => write!(f, "{name} is required"),
            Rule::RequiredOnline => write!(f, "{name} is required when last_is_online is true"),
            Rule::Twice => write!(f, "{name} must not be given twice"),
            Rule::Number => write!(f, "{name} must be a number"),
            Rule::NotNegative => write!(f, "{name} must be at least 0"),
            Rule::Percentage => write!(f, "{name} must be from 0 to 100"),
            Rule::AtMost => write!(f, "{name} must be at most 1000000000000"),
            Rule::Positive => write!(f, "{name} must be more than 0; the resolution is 0.001"),
            Rule::DurationAtMost => write!(f, "{name} must be at most 86400"),
            Rule::DateTime => write!(f, "{name} must be an RFC 3339 date-time"),
            Rule::TooOld => write!(f, "{name} is too far in the past"),
            Rule::TooNew => write!(f, "{name} is too far in the future"),
            Rule::Boolean => write!(f, "{name} must be true or false"),
            Rule::BooleanOrNull => write!(f, "{name} must be true, false or null"),
            Rule::Text => write!(f, "{name} must be a string"),
            Rule::IdLength => write!(f, "{name} must have from 1 to 128 bytes"),
            Rule::IdControl => write!(f, "{name} must not have control characters"),
            Rule::OneMode => {
                write!(f, "{name} must be null or one of ")?;
                for (at, mode) in Mode::ALL.iter().enumerate() {
                    write!(f, "{}{}", if at == 0 { "" } else { ", " }, mode.name())?;
                }
                Ok(())
            }
            Rule::RawDataLength => write!(f, "{name} must have at most 8192 bytes"),
            Rule::AllCounters => {
                write!(f, "{name} must be given with the other three counters, or all four null")
            }
        }
    }
}
