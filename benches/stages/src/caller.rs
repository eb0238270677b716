//! Who calls, and whose the devices are, by the snapshot of a directory in memory.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use wattline_auth::Pepper;
use wattline_directory::{ClientHandle, Directory, FollowSettings, Follower, Snapshot, parse_lines};
use wattline_fleet::fleet;
use wattline_wire::device_hash;

use crate::material::{CLIENT, SEED};

const DEVICES: u32 = 1_000;

/// A client's token is checked.
pub struct Token {
    snapshot: Arc<Snapshot>,
    token: String,
}

impl Token {
    pub fn new() -> anyhow::Result<Self> {
        let (snapshot, token) = snapshot()?;
        let stage = Token { snapshot, token };
        ensure!(stage.run().is_some(), "the token is the client's");
        Ok(stage)
    }

    pub fn run(&self) -> Option<u32> {
        // Neither the audience nor the time matters to a token of a client.
        let identity = self.snapshot.identify(&self.token, "", 0).ok()?;
        Some(identity.client().index)
    }
}

/// The devices of a request are looked up.
pub struct LookUp {
    snapshot: Arc<Snapshot>,
    client: ClientHandle,
    devices: Vec<String>,
}

impl LookUp {
    pub fn new(points: usize) -> anyhow::Result<Self> {
        let (snapshot, token) = snapshot()?;
        let identity = snapshot.identify(&token, "", 0).ok().context("the token is the client's")?;
        let devices = (0..points as u32).map(|at| fleet::device_id(at % DEVICES)).collect();
        let stage = LookUp { client: identity.client().clone(), devices, snapshot };
        ensure!(stage.run() == points, "the devices are the client's");
        Ok(stage)
    }

    pub fn run(&self) -> usize {
        let view = self.snapshot.devices();
        let is_known =
            |id: &&String| view.get(device_hash(&self.client.id, id), self.client.index, id).is_some();
        self.devices.iter().filter(is_known).count()
    }
}

fn snapshot() -> anyhow::Result<(Arc<Snapshot>, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pepper: Pepper = "the-secret-of-a-bench".parse()?;
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite:{}", folder.path().join("directory.sqlite").display());
        let directory = Directory::open(&url).await?;
        directory.migrate().await?;
        let token = directory.create_token(CLIENT, "bench", true, &pepper).await?;
        let lines: Vec<String> =
            (0..DEVICES).map(|at| fleet::import_line(SEED, at, CLIENT)).collect::<Result<_, _>>()?;
        directory.import_devices(parse_lines(lines.join("\n").as_bytes())).await?;
        let follower = Follower::start(directory, pepper, FollowSettings::default()).await?;
        Ok((follower.snapshot(), token.expose().to_owned()))
    })
}
