//! Who may send what: clients, their tokens, sites and devices, in SQL and in a live snapshot.
//!
//! [`Directory`] owns the database, [`Snapshot`] is the view in memory that requests are checked
//! against, and [`Follower`] keeps the one like the other. This crate must not know HTTP or Kafka,
//! and never sees a token again after it was created.

mod audit;
mod changes;
mod clock;
mod database;
mod device_table;
mod devices;
mod follower;
mod id;
mod import_line;
mod snapshot;
mod tokens;

pub use audit::{AuditAction, AuditRow};
pub use database::Directory;
pub use device_table::{DeviceLimits, DeviceView};
pub use devices::ImportReport;
pub use follower::{FollowSettings, Follower};
pub use id::{InvalidId, check_client_id, check_device_id};
pub use import_line::{ImportError, ImportLine, parse_lines};
pub use snapshot::{AuthError, ClientHandle, Snapshot, SnapshotSize};
pub use tokens::TokenRow;
