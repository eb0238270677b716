//! The live view in memory that every request and every data point is checked against.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use wattline_auth::{ClientToken, KeyId, Pepper, TokenHash};
use wattline_wire::device_hash;

use crate::device_table::{DeviceLimits, DeviceTable, DeviceView};

/// Who is calling: what a request needs to know of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandle {
    /// The client's number in the directory, the same in every gateway.
    pub index: u32,
    pub id: Arc<str>,
    pub key_id: KeyId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    #[error("malformed token")]
    Malformed,
    /// Unknown, revoked, or a wrong secret: nobody is told which.
    #[error("token refused")]
    Refused,
}

/// How large the view is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotSize {
    pub tokens: usize,
    pub devices: usize,
    pub device_bytes: usize,
}

#[derive(Clone)]
pub(crate) struct LiveToken {
    pub client_index: u32,
    pub client_id: Arc<str>,
    pub stored: (u16, TokenHash),
}

pub(crate) type LiveTokens = HashMap<KeyId, LiveToken>;

/// The directory as it was a moment ago. Look-ups neither wait for the database nor allocate.
pub struct Snapshot {
    pepper: Pepper,
    pub(crate) tokens: ArcSwap<LiveTokens>,
    pub(crate) devices: DeviceTable,
    started: Instant,
    /// Milliseconds after `started` at which the view was last known to be the directory's state.
    as_of_ms: AtomicU64,
    stale_max: Duration,
}

impl Snapshot {
    pub(crate) fn new(pepper: Pepper, stale_max: Duration) -> Self {
        Self {
            pepper,
            tokens: ArcSwap::default(),
            devices: DeviceTable::new(),
            started: Instant::now(),
            as_of_ms: AtomicU64::new(0),
            stale_max,
        }
    }

    /// The client that a token belongs to.
    pub fn authenticate(&self, token: &str) -> Result<ClientHandle, AuthError> {
        let token = ClientToken::parse(token).map_err(|_| AuthError::Malformed)?;
        let key_id = token.key_id();
        let tokens = self.tokens.load();
        let live = tokens.get(&key_id);
        let is_right = self.pepper.verify(&token, live.map(|live| live.stored));
        match live {
            Some(live) if is_right => {
                Ok(ClientHandle { index: live.client_index, id: Arc::clone(&live.client_id), key_id })
            }
            _ => Err(AuthError::Refused),
        }
    }

    /// The devices, for the look-ups of one request.
    pub fn devices(&self) -> DeviceView<'_> {
        self.devices.view()
    }

    /// The limits of a client's device; `None` where the client has no such device.
    pub fn device(&self, client: &ClientHandle, device_id: &str) -> Option<DeviceLimits> {
        self.devices().get(device_hash(&client.id, device_id), client.index, device_id)
    }

    /// How long ago the view was known to be the directory's state.
    pub fn age(&self) -> Duration {
        let as_of = Duration::from_millis(self.as_of_ms.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(as_of)
    }

    /// Whether the view may still be served from.
    pub fn is_fresh(&self) -> bool {
        self.age() <= self.stale_max
    }

    pub fn size(&self) -> SnapshotSize {
        let (devices, device_bytes) = self.devices().size();
        SnapshotSize { tokens: self.tokens.load().len(), devices, device_bytes }
    }

    pub(crate) fn has_pepper(&self, version: u16) -> bool {
        self.pepper.has_version(version)
    }

    pub(crate) fn set_as_of(&self, as_of: Instant) {
        let as_of_ms = as_of.saturating_duration_since(self.started).as_millis();
        self.as_of_ms.store(as_of_ms as u64, Ordering::Relaxed);
    }
}
