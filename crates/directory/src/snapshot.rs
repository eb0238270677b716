//! The live view in memory that every request and every data point is checked against.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use wattline_auth::policy::Caller;
use wattline_auth::site_token::{self, MintError};
use wattline_auth::{Bearer, ClientToken, KeyId, Pepper, SiteToken, SiteTokenText, TokenHash};
use wattline_wire::device_hash;

use crate::device_table::{DeviceLimits, DeviceTable, DeviceView};
use crate::id_table::IdTable;
use crate::site_keys::SiteKeys;

/// Who is calling: what a request needs to know of its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHandle {
    /// The client's number in the directory, the same in every gateway.
    pub index: u32,
    pub id: Arc<str>,
    pub key_id: KeyId,
}

/// Who a bearer token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    Client(ClientHandle),
    /// The holder of a site token: the client whose site it is, by the client token it was made with.
    Site {
        client: ClientHandle,
        site_id: String,
    },
}

impl Identity {
    pub fn client(&self) -> &ClientHandle {
        match self {
            Self::Client(client) | Self::Site { client, .. } => client,
        }
    }

    /// What the policy asks of it.
    pub fn caller(&self) -> Caller<'_> {
        match self {
            Self::Client(_) => Caller::Client,
            Self::Site { site_id, .. } => Caller::Site(site_id),
        }
    }
}

/// A token that opens nothing. The caller is told none of this: it is for metrics and the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    /// The key id that the token named, where it is well-formed and, of a site token, verified.
    pub key_id: Option<KeyId>,
    /// The client, where the token proves it.
    pub client: Option<Arc<str>>,
}

impl Refusal {
    fn of(reason: &'static str, key_id: Option<KeyId>) -> Self {
        Self { reason, key_id, client: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MintSiteError {
    /// Or another client's.
    #[error("the client has no such site")]
    UnknownSite,
    #[error("no signing key can be used; `wattline key rotate` makes one under the current pepper")]
    NoSigningKey,
    #[error(transparent)]
    Mint(#[from] MintError),
}

/// How large the view is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotSize {
    pub tokens: usize,
    pub sites: usize,
    pub site_bytes: usize,
    pub devices: usize,
    pub device_bytes: usize,
}

#[derive(Clone)]
pub(crate) struct LiveToken {
    pub client_index: u32,
    pub client_id: Arc<str>,
    pub stored: (u16, TokenHash),
}

impl LiveToken {
    fn handle(&self, key_id: KeyId) -> ClientHandle {
        ClientHandle { index: self.client_index, id: Arc::clone(&self.client_id), key_id }
    }
}

pub(crate) type LiveTokens = HashMap<KeyId, LiveToken>;

/// The directory as it was a moment ago. Look-ups neither wait for the database nor allocate.
pub struct Snapshot {
    pepper: Pepper,
    pub(crate) tokens: ArcSwap<LiveTokens>,
    pub(crate) site_keys: ArcSwap<SiteKeys>,
    pub(crate) sites: IdTable<()>,
    pub(crate) devices: DeviceTable,
    started: Instant,
    /// Microseconds after `started` at which the view was last known to be the directory's state.
    as_of_us: AtomicU64,
    /// Told to those who wait for a change to be seen.
    advanced: Notify,
    /// Told to the follower, by those who have changed something.
    pub(crate) nudged: Notify,
    stale_max: Duration,
}

impl Snapshot {
    pub(crate) fn new(pepper: Pepper, stale_max: Duration) -> Self {
        Self {
            pepper,
            tokens: ArcSwap::default(),
            site_keys: ArcSwap::default(),
            sites: IdTable::new(),
            devices: DeviceTable::new(),
            started: Instant::now(),
            as_of_us: AtomicU64::new(0),
            advanced: Notify::new(),
            nudged: Notify::new(),
            stale_max,
        }
    }

    /// Who a token of either kind belongs to, at this time in seconds since 1970.
    pub fn identify(&self, token: &str, audience: &str, now_s: i64) -> Result<Identity, Refusal> {
        match Bearer::classify(token) {
            Bearer::Client(token) => match self.client_of(&token) {
                Some(client) => Ok(Identity::Client(client)),
                None => Err(Refusal::of("unknown_token", Some(token.key_id()))),
            },
            Bearer::Site(token) => self.identify_site(token, audience, now_s),
            Bearer::Malformed => Err(Refusal::of("malformed_token", None)),
        }
    }

    fn identify_site(
        &self,
        token: SiteTokenText<'_>,
        audience: &str,
        now_s: i64,
    ) -> Result<Identity, Refusal> {
        let keys = self.site_keys.load();
        let claims = site_token::verify(&keys.verifying, token.expose(), now_s, audience)
            .map_err(|error| Refusal::of(error.name(), None))?;
        let client = self
            .token_is_active(claims.key_id)
            .ok_or_else(|| Refusal::of("client_token_revoked", Some(claims.key_id)))?;
        if !self.site_belongs(&client, &claims.site) {
            let (key_id, client) = (Some(client.key_id), Some(client.id));
            return Err(Refusal { reason: "site_gone", key_id, client });
        }
        Ok(Identity::Site { client, site_id: claims.site })
    }

    fn client_of(&self, token: &ClientToken) -> Option<ClientHandle> {
        let key_id = token.key_id();
        let tokens = self.tokens.load();
        let live = tokens.get(&key_id);
        let is_right = self.pepper.verify(token, live.map(|live| live.stored));
        live.filter(|_| is_right).map(|live| live.handle(key_id))
    }

    /// The client of a client token that is active, by its key id: for who holds a site token made with it.
    pub fn token_is_active(&self, key_id: KeyId) -> Option<ClientHandle> {
        self.tokens.load().get(&key_id).map(|live| live.handle(key_id))
    }

    /// Makes the token that opens a client's site for an hour from this time.
    pub fn mint_site_token(
        &self,
        client: &ClientHandle,
        site_id: &str,
        audience: &str,
        now_s: i64,
    ) -> Result<SiteToken, MintSiteError> {
        if !self.site_belongs(client, site_id) {
            return Err(MintSiteError::UnknownSite);
        }
        let keys = self.site_keys.load();
        let key = keys.signer(now_s).ok_or(MintSiteError::NoSigningKey)?;
        Ok(site_token::mint(key, site_id, client.key_id, audience, now_s)?)
    }

    /// Whether a client has a site.
    pub fn site_belongs(&self, client: &ClientHandle, site_id: &str) -> bool {
        self.sites.view().get(device_hash(&client.id, site_id), client.index, site_id).is_some()
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
        let as_of = Duration::from_micros(self.as_of_us.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(as_of)
    }

    /// Whether the view may still be served from.
    pub fn is_fresh(&self) -> bool {
        self.age() <= self.stale_max
    }

    /// Has the view catch up with all changes before this call, so that who made one finds it again here.
    /// False where it takes longer than this: the directory has the change, and the view will.
    pub async fn caught_up(&self, timeout: Duration) -> bool {
        let now_us = self.moment_us(Instant::now());
        self.nudged.notify_one();
        let caught_up = async {
            loop {
                // Whoever asks first and listens then could miss the word.
                let advanced = self.advanced.notified();
                if self.as_of_us.load(Ordering::Relaxed) >= now_us {
                    return;
                }
                advanced.await;
            }
        };
        tokio::time::timeout(timeout, caught_up).await.is_ok()
    }

    pub fn size(&self) -> SnapshotSize {
        let (sites, site_bytes) = self.sites.view().size();
        let (devices, device_bytes) = self.devices().size();
        SnapshotSize { tokens: self.tokens.load().len(), sites, site_bytes, devices, device_bytes }
    }

    pub(crate) fn pepper(&self) -> &Pepper {
        &self.pepper
    }

    pub(crate) fn set_as_of(&self, as_of: Instant) {
        self.as_of_us.store(self.moment_us(as_of), Ordering::Relaxed);
        self.advanced.notify_waiters();
    }

    fn moment_us(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.started).as_micros() as u64
    }
}
