//! What `docs/api.md` tells a client is what the code does.

use wattline_model::{Kind, Quantity};
use wattline_wire::{Field, Invalid, Rule};

const API: &str = include_str!("../../../../docs/api.md");

/// A rule that is new does not compile here: it belongs into the list, and its row into the document.
fn is_listed(rule: Rule) -> bool {
    match rule {
        Rule::Object | Rule::Required | Rule::RequiredOnline | Rule::Twice | Rule::Number => true,
        Rule::NotNegative | Rule::Percentage | Rule::AtMost | Rule::Positive | Rule::DurationAtMost => true,
        Rule::DateTime | Rule::TooOld | Rule::TooNew | Rule::Boolean | Rule::BooleanOrNull => true,
        Rule::Text | Rule::IdLength | Rule::IdControl | Rule::OneMode => true,
        Rule::RawDataLength | Rule::AllCounters => true,
    }
}

const RULES: [Rule; 21] = [
    Rule::Object,
    Rule::Required,
    Rule::RequiredOnline,
    Rule::Twice,
    Rule::Number,
    Rule::NotNegative,
    Rule::Percentage,
    Rule::AtMost,
    Rule::Positive,
    Rule::DurationAtMost,
    Rule::DateTime,
    Rule::TooOld,
    Rule::TooNew,
    Rule::Boolean,
    Rule::BooleanOrNull,
    Rule::Text,
    Rule::IdLength,
    Rule::IdControl,
    Rule::OneMode,
    Rule::RawDataLength,
    Rule::AllCounters,
];

#[test]
fn every_message_has_its_row() {
    for rule in RULES {
        assert!(is_listed(rule));
        let message = Invalid { field: Field::DeviceId, rule }.to_string().replace("device_id", "…");
        let row = API.lines().find(|line| line.contains(&format!("`{message}`")));
        let row = row.unwrap_or_else(|| panic!("docs/api.md lacks the message {message}"));
        assert!(row.contains(&format!("| `{}` |", rule.name())), "the reason of {message} in {row}");
    }
}

#[test]
fn every_field_has_its_row() {
    let others = [
        Field::Time(Kind::Battery),
        Field::Time(Kind::BatteryCounter),
        Field::Duration,
        Field::DeviceId,
        Field::IsOnline,
        Field::IsGridOnline,
        Field::Mode,
        Field::OemRawData,
    ];
    for field in Quantity::ALL.map(Field::Quantity).into_iter().chain(others) {
        assert!(API.contains(&format!("\n| `{}` |", field.name())), "docs/api.md lacks {}", field.name());
    }
}
