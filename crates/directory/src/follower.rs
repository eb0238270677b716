//! Keeps the snapshot like the directory: a first load, then polls for what changed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::task::JoinHandle;
use wattline_auth::{KeyId, Pepper};
use wattline_wire::device_hash;

use crate::changes::{ClientChange, DeviceChange, SiteChange, TokenChange};
use crate::clock::now_ms;
use crate::database::Directory;
use crate::site_keys::SiteKeys;
use crate::snapshot::{LiveToken, LiveTokens, Snapshot};

/// Rows of one read: small enough to be no hiccup for the requests beside it.
const PAGE_ROWS: i64 = 4_000;
/// A read that takes longer counts as failed.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Polls that fail come at longer and longer intervals, up to this, without end: the snapshot's age
/// tells when it is no longer to be served from.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub struct FollowSettings {
    pub poll_interval: Duration,
    /// How old the snapshot may become before it is no longer fresh.
    pub stale_max: Duration,
}

impl Default for FollowSettings {
    fn default() -> Self {
        Self { poll_interval: Duration::from_millis(250), stale_max: Duration::from_secs(60) }
    }
}

/// A task that follows the directory. It ends when this is dropped.
pub struct Follower {
    snapshot: Arc<Snapshot>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Loads all there is, then follows. An error of the first load is returned.
    pub async fn start(
        directory: Directory,
        pepper: Pepper,
        settings: FollowSettings,
    ) -> anyhow::Result<Self> {
        let snapshot = Arc::new(Snapshot::new(pepper, settings.stale_max));
        let mut cursor = Cursor::default();
        cursor.catch_up(&directory, &snapshot).await.context("cannot load the directory")?;
        let size = snapshot.size();
        tracing::info!(
            size.tokens,
            size.sites,
            size.site_bytes,
            size.devices,
            size.device_bytes,
            "directory loaded"
        );
        let following = Arc::clone(&snapshot);
        let task = tokio::spawn(async move {
            follow(&directory, &following, cursor, settings.poll_interval).await;
        });
        Ok(Self { snapshot, task })
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(directory: &Directory, snapshot: &Snapshot, mut cursor: Cursor, poll_interval: Duration) {
    let mut wait = poll_interval;
    let mut is_failing = false;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = snapshot.nudged.notified(), if !is_failing => {}
        }
        match cursor.catch_up(directory, snapshot).await {
            Ok(()) => {
                if is_failing {
                    tracing::info!("the directory can be read again");
                }
                is_failing = false;
                wait = poll_interval;
            }
            Err(error) => {
                if !is_failing {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot read the directory; serving the last snapshot"
                    );
                }
                is_failing = true;
                wait = (wait * 2).clamp(poll_interval, RETRY_INTERVAL_MAX.max(poll_interval));
            }
        }
    }
}

/// How far each table has been read, and the clients' names. A failure leaves it where it was.
#[derive(Default)]
struct Cursor {
    clients_seq: i64,
    tokens_seq: i64,
    keys_seq: i64,
    sites_seq: i64,
    devices_seq: i64,
    /// Tokens that end by themselves, and when.
    endings: Vec<(i64, KeyId)>,
    clients: Clients,
}

impl Cursor {
    /// Reads all changes up to the present one.
    async fn catch_up(&mut self, directory: &Directory, snapshot: &Snapshot) -> anyhow::Result<()> {
        self.end_tokens(snapshot, now_ms());
        let as_of = Instant::now();
        let upto = within(directory.last_seq()).await?;
        let seen = self.tokens_seq.max(self.devices_seq);
        // A restored backup would hide whatever comes under the numbers seen already.
        ensure!(upto >= seen, "the directory is older than the snapshot; restart this gateway");
        if upto > seen {
            self.read_clients(directory).await?;
            self.read_tokens(directory, snapshot, upto).await?;
            self.read_keys(directory, snapshot).await?;
            // Together, since there are millions of both when a gateway starts.
            let Self { clients, sites_seq, devices_seq, .. } = self;
            tokio::try_join!(
                read_sites(directory, snapshot, clients, sites_seq, upto),
                read_devices(directory, snapshot, clients, devices_seq, upto),
            )?;
        }
        snapshot.set_as_of(as_of);
        Ok(())
    }

    /// Takes out the rotated tokens whose time has come, whether or not the directory can be read.
    fn end_tokens(&mut self, snapshot: &Snapshot, now_ms: i64) {
        if self.endings.iter().all(|(at_ms, _)| *at_ms > now_ms) {
            return;
        }
        let mut tokens = LiveTokens::clone(&snapshot.tokens.load());
        self.endings.retain(|(at_ms, key_id)| {
            let has_ended = *at_ms <= now_ms;
            if has_ended {
                tokens.remove(key_id);
            }
            !has_ended
        });
        snapshot.tokens.store(Arc::new(tokens));
    }

    /// Signing keys are few, so all are read when one has changed.
    async fn read_keys(&mut self, directory: &Directory, snapshot: &Snapshot) -> anyhow::Result<()> {
        let seq = within(directory.signing_keys_seq()).await?;
        if seq > self.keys_seq {
            let rows = within(directory.list_signing_keys()).await?;
            snapshot.site_keys.store(Arc::new(SiteKeys::new(&rows, snapshot.pepper())));
            self.keys_seq = seq;
        }
        Ok(())
    }

    /// Reads clients past the present change too: a row read later must not lack its client.
    async fn read_clients(&mut self, directory: &Directory) -> anyhow::Result<()> {
        loop {
            let page = within(directory.client_changes(self.clients_seq, PAGE_ROWS)).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            self.clients_seq = last.seq;
            let named = |change: ClientChange| (change.client_no, Arc::from(change.client_id));
            self.clients.extend(page.into_iter().map(named));
        }
    }

    /// Tokens are few, so a changed map takes the place of the old one and look-ups never lock.
    async fn read_tokens(
        &mut self,
        directory: &Directory,
        snapshot: &Snapshot,
        upto: i64,
    ) -> anyhow::Result<()> {
        let mut changed: Option<LiveTokens> = None;
        let mut after = self.tokens_seq;
        loop {
            let page = within(directory.token_changes(after, upto, PAGE_ROWS)).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = last.seq;
            let tokens = changed.get_or_insert_with(|| LiveTokens::clone(&snapshot.tokens.load()));
            for change in page {
                self.apply_token(tokens, snapshot, change)?;
            }
        }
        if let Some(tokens) = changed {
            snapshot.tokens.store(Arc::new(tokens));
        }
        self.tokens_seq = upto;
        Ok(())
    }

    fn apply_token(
        &mut self,
        tokens: &mut LiveTokens,
        snapshot: &Snapshot,
        change: TokenChange,
    ) -> anyhow::Result<()> {
        let TokenChange { key_id, stored, .. } = change;
        if let Some(at_ms) = change.revoked_at_ms {
            if at_ms <= now_ms() {
                tokens.remove(&key_id);
                return Ok(());
            }
            self.endings.push((at_ms, key_id));
        }
        if !snapshot.pepper().has_version(stored.0) {
            tracing::warn!(%key_id, version = stored.0, "the pepper lacks the version of this token, which stays refused");
        }
        let client_id = Arc::clone(self.client(change.client_no)?);
        let client_index = change.client_no;
        tokens.insert(key_id, LiveToken { client_index, client_id, stored });
        Ok(())
    }

    fn client(&self, client_no: u32) -> anyhow::Result<&Arc<str>> {
        name_of(&self.clients, client_no)
    }
}

type Clients = HashMap<u32, Arc<str>>;

fn name_of(clients: &Clients, client_no: u32) -> anyhow::Result<&Arc<str>> {
    clients.get(&client_no).with_context(|| format!("client number {client_no} is missing"))
}

async fn read_sites(
    directory: &Directory,
    snapshot: &Snapshot,
    clients: &Clients,
    after: &mut i64,
    upto: i64,
) -> anyhow::Result<()> {
    loop {
        let page = within(directory.site_changes(*after, upto, PAGE_ROWS)).await?;
        let Some(last) = page.last() else {
            *after = upto;
            return Ok(());
        };
        for SiteChange { client_no, site_id, is_deleted, .. } in &page {
            let hash = device_hash(name_of(clients, *client_no)?, site_id);
            snapshot.sites.set(hash, *client_no, site_id, (!is_deleted).then_some(()));
        }
        *after = last.seq;
    }
}

async fn read_devices(
    directory: &Directory,
    snapshot: &Snapshot,
    clients: &Clients,
    after: &mut i64,
    upto: i64,
) -> anyhow::Result<()> {
    loop {
        let page = within(directory.device_changes(*after, upto, PAGE_ROWS)).await?;
        let Some(last) = page.last() else {
            *after = upto;
            return Ok(());
        };
        for DeviceChange { client_no, device_id, limits, .. } in &page {
            let hash = device_hash(name_of(clients, *client_no)?, device_id);
            snapshot.devices.set(hash, *client_no, device_id, *limits);
        }
        *after = last.seq;
    }
}

async fn within<T>(read: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(READ_TIMEOUT, read).await.context("the directory did not answer in time")?
}
