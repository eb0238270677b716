//! A directory of its own for each test, on either database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use wattline_auth::policy::Caller;
use wattline_auth::{ClientToken, Pepper};
use wattline_directory::{
    ClientHandle, Directory, FollowSettings, Follower, ImportReport, Snapshot, parse_lines,
};

use crate::postgres::{self, Cluster};

/// What a change may take to reach a gateway.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

pub struct Bench {
    pub directory: Directory,
    pub pepper: Pepper,
    pub url: String,
    place: Place,
}

enum Place {
    Folder(TempDir),
    Database(Arc<Cluster>, String),
}

/// Makes two tests of each function that takes a bench: one for each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::bench::Bench::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                if let Some(bench) = crate::bench::Bench::postgres().await {
                    super::$name(bench).await;
                }
            })*
        }
    };
}
pub(crate) use on_both;

impl Bench {
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/wattline.db", dir.path().display());
        Self::at(url, Place::Folder(dir)).await
    }

    pub async fn postgres() -> Option<Self> {
        let cluster = postgres::shared()?;
        let database = cluster.create_database();
        let url = cluster.url(&database);
        Some(Self::at(url, Place::Database(cluster, database)).await)
    }

    async fn at(url: String, place: Place) -> Self {
        let directory = Directory::open(&url).await.expect("opens");
        directory.migrate().await.expect("migrates");
        let pepper = "a-secret-for-the-tests".parse().expect("a pepper");
        Self { directory, pepper, url, place }
    }

    pub async fn token(&self, client: &str) -> ClientToken {
        self.directory.create_token(client, "test", true, &self.pepper).await.expect("a token")
    }

    pub async fn import(&self, lines: &str) -> ImportReport {
        self.directory.import_devices(parse_lines(lines.as_bytes())).await.expect("imports")
    }

    pub async fn follow(&self) -> Follower {
        let settings = FollowSettings::default();
        Follower::start(self.directory.clone(), self.pepper.clone(), settings).await.expect("loads")
    }

    /// Whether these bytes are anywhere in what is at rest.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let holds = |rest: Vec<u8>| rest.windows(bytes.len()).any(|window| window == bytes);
        match &self.place {
            Place::Folder(dir) => std::fs::read_dir(dir.path())
                .expect("a folder")
                .any(|file| holds(std::fs::read(file.expect("a file").path()).expect("readable"))),
            Place::Database(cluster, database) => holds(cluster.dump(database)),
        }
    }
}

/// The client of a client token, or why it is refused. Neither the time nor the audience matters to one.
pub fn authenticate(snapshot: &Snapshot, token: &str) -> Result<ClientHandle, &'static str> {
    let identity = snapshot.identify(token, "", 0).map_err(|refusal| refusal.reason)?;
    assert_eq!(identity.caller(), Caller::Client);
    Ok(identity.client().clone())
}

pub fn caller(snapshot: &Snapshot, token: &ClientToken) -> ClientHandle {
    authenticate(snapshot, token.expose()).expect("a known token")
}

pub async fn seen(what: &str, is_seen: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_seen() {
        assert!(started.elapsed() < SEEN_WITHIN, "not seen in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
