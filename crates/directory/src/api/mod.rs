//! Sites and devices as the API shows and takes them: shapes, fields and rules.
//!
//! A field that is not known is ignored, as public APIs do, so that a client that is newer than this server
//! goes on working. What breaks a rule is refused as a whole, and every rule that is broken is named, up to
//! [`VIOLATIONS_MAX`]. A change (PATCH) holds what was sent: an absent field stays, a null empties it.

mod commission;
mod device;
mod json;
mod reader;
mod site;

pub use crate::id::ID_BYTES_MAX;
pub use crate::import_line::{CAPACITY_WH_MAX, POWER_W_MAX, TEXT_BYTES_MAX};
pub use commission::{Commission, DEVICES_MAX};
pub use device::{Device, DeviceChange, DeviceDetails, DeviceType, NewDevice};
pub use json::BodyError;
pub use reader::{VIOLATIONS_MAX, Violation};
pub use site::{NewSite, SITE_FIELDS, STATE_CODES, Site, SiteChange, SiteDetails, TextField, TextRule};

/// What a change does to one field.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T> Change<T> {
    pub(crate) fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }
}
