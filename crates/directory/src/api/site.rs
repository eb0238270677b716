//! A site.

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::Change;
use super::json::{BodyError, Node};
use super::reader::{self, Object, Violations};
use crate::import_line::check_text;

/// The 50 states and Puerto Rico.
pub const STATE_CODES: [&str; 51] = [
    "AK", "AL", "AR", "AZ", "CA", "CO", "CT", "DE", "FL", "GA", "HI", "IA", "ID", "IL", "IN", "KS", "KY",
    "LA", "MA", "MD", "ME", "MI", "MN", "MO", "MS", "MT", "NC", "ND", "NE", "NH", "NJ", "NM", "NV", "NY",
    "OH", "OK", "OR", "PA", "PR", "RI", "SC", "SD", "TN", "TX", "UT", "VA", "VT", "WA", "WI", "WV", "WY",
];

/// A text field of a site, which may be null. Its name is also that of its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextField {
    pub name: &'static str,
    pub rule: TextRule,
    pub is_deprecated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextRule {
    /// At most 256 bytes without control characters.
    Text,
    Email,
    StateCode,
}

const fn field(name: &'static str, rule: TextRule) -> TextField {
    TextField { name, rule, is_deprecated: false }
}

/// All fields of a site but its id and its times.
pub const SITE_FIELDS: [TextField; 10] = [
    field("first_name", TextRule::Text),
    field("last_name", TextRule::Text),
    field("email", TextRule::Email),
    field("state_code", TextRule::StateCode),
    field("city", TextRule::Text),
    field("zip_code", TextRule::Text),
    field("street_address", TextRule::Text),
    field("street_address2", TextRule::Text),
    field("company_name", TextRule::Text),
    TextField { name: "service_account_id", rule: TextRule::Text, is_deprecated: true },
];

impl TextRule {
    fn read(self, node: &Node) -> Result<String, &'static str> {
        let text = reader::text(node)?;
        check_text(text)?;
        match self {
            Self::Text => {}
            Self::Email => check_email(text)?,
            Self::StateCode if STATE_CODES.contains(&text) => {}
            Self::StateCode => return Err("must be the two letters of one of the 50 states or PR"),
        }
        Ok(text.to_owned())
    }
}

/// Only what every address has; whether one exists, nobody but its mail server knows.
fn check_email(text: &str) -> Result<(), &'static str> {
    let is_address = text.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(char::is_whitespace)
    });
    if is_address { Ok(()) } else { Err("must be an e-mail address") }
}

/// The values of [`SITE_FIELDS`], in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteDetails(pub(crate) [Option<String>; SITE_FIELDS.len()]);

impl SiteDetails {
    /// The value of the field with this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let place = SITE_FIELDS.iter().position(|field| field.name == name)?;
        self.0[place].as_deref()
    }
}

/// A site as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub id: String,
    pub details: SiteDetails,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl Serialize for Site {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(SITE_FIELDS.len() + 3))?;
        map.serialize_entry("id", &self.id)?;
        for (field, value) in SITE_FIELDS.iter().zip(&self.details.0) {
            map.serialize_entry(field.name, value)?;
        }
        map.serialize_entry("created_at", &self.created_at.to_string())?;
        map.serialize_entry("updated_at", &self.updated_at.to_string())?;
        map.end()
    }
}

/// A site as it is commissioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSite {
    pub id: String,
    pub details: SiteDetails,
}

impl NewSite {
    pub(crate) fn read(object: &mut Object<'_>) -> Option<Self> {
        let id = object.required("id", reader::id);
        let mut details = SiteDetails::default();
        SiteChange::read(object).apply(&mut details);
        Some(Self { id: id?, details })
    }
}

/// What a PATCH of a site sent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteChange([Change<String>; SITE_FIELDS.len()]);

impl SiteChange {
    /// Reads the body of a PATCH of this site. `id` may be sent as it is; the times are not the client's
    /// to set, and what is sent for them is ignored.
    pub fn parse(body: &[u8], site_id: &str) -> Result<Self, BodyError> {
        let body = Node::parse(body)?;
        let mut violations = Violations::default();
        let change = Object::of(&body, String::new(), &mut violations).map(|mut object| {
            object.fixed("id", site_id);
            Self::read(&mut object)
        });
        violations.or(change)
    }

    fn read(object: &mut Object<'_>) -> Self {
        Self(SITE_FIELDS.map(|field| object.change(field.name, |node| field.rule.read(node))))
    }

    pub(crate) fn apply(self, details: &mut SiteDetails) {
        for (change, value) in self.0.into_iter().zip(&mut details.0) {
            change.apply(value);
        }
    }
}
