//! Who may send what: clients, their tokens, sites and devices, in SQL and in a live snapshot.
//!
//! [`Directory`] owns the database, [`Snapshot`] is the view in memory that requests are checked
//! against, and [`Follower`] keeps the one like the other. This crate must not know HTTP or Kafka,
//! and never sees a token again after it was created.

pub mod api;
mod audit;
mod audit_log;
mod changes;
mod clients;
mod clock;
mod commissioning;
mod database;
mod device_list;
mod device_table;
mod devices;
mod follower;
mod id;
mod id_table;
mod import_line;
mod partitions;
mod portal;
mod portal_tokens;
mod signing_keys;
mod site_devices;
mod site_keys;
mod sites;
mod snapshot;
mod sql;
mod tokens;
mod uses;

pub use audit::{AuditAction, AuditRow};
pub use audit_log::{AuditEvent, AuditLog};
pub use clients::ClientRow;
pub use commissioning::CommissionError;
pub use database::Directory;
pub use device_list::ListedDevice;
pub use device_table::{DeviceLimits, DeviceView};
pub use devices::ImportReport;
pub use follower::{FollowSettings, Follower};
pub use id::{InvalidId, check_client_id, check_device_id};
pub use import_line::{ImportError, ImportLine, parse_lines};
pub use partitions::{PARTITIONS_MAX, Partitions};
pub use portal::{PortalGuest, PortalInvite, PortalSession};
pub use portal_tokens::{
    PORTAL_ACTIVE_TOKENS_MAX, PORTAL_LISTED_TOKENS_MAX, PORTAL_TOKENS_A_DAY_MAX, PortalTokenError,
};
pub use signing_keys::SigningKeyRow;
pub use site_devices::DEVICES_OF_SITE_MAX;
pub use sites::SITES_PAGE_MAX;
pub use snapshot::{ClientHandle, Identity, MintSiteError, Refusal, Snapshot, SnapshotSize};
pub use tokens::TokenRow;
pub use uses::Uses;
