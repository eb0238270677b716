//! A directory of its own for each test, on either database, with portals in front of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wattline_auth::{ClientToken, InviteSecret, KeyId, Pepper};
use wattline_directory::{AuditRow, Directory};
use wattline_portal::{Portal, Settings};

use crate::browser::Browser;
use crate::postgres::{self, Cluster};

/// What the portals are told that browsers call them.
pub const ORIGIN: &str = "https://portal.example.com";
pub const SESSION_TIME: Duration = Duration::from_secs(3_600);
const LINK_TIME: Duration = Duration::from_secs(3_600);

pub struct Bench {
    runtime: Runtime,
    pub directory: Directory,
    pepper: Pepper,
    url: String,
    place: Place,
}

enum Place {
    Folder(TempDir),
    Database(Arc<Cluster>, String),
}

/// A portal that serves. It stops when it is dropped, or when it is told to.
pub struct Running {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// Makes two tests of each function that takes a bench: one for each database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&crate::bench::Bench::sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(bench) = crate::bench::Bench::postgres() {
                    super::$name(&bench);
                }
            })*
        }
    };
}
pub(crate) use on_both;

impl Bench {
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/wattline.db", dir.path().display());
        Self::at(url, Place::Folder(dir))
    }

    pub fn postgres() -> Option<Self> {
        let cluster = postgres::shared()?;
        let database = cluster.create_database();
        let url = cluster.url(&database);
        Some(Self::at(url, Place::Database(cluster, database)))
    }

    fn at(url: String, place: Place) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let directory = runtime.block_on(async {
            let directory = Directory::open(&url).await.expect("opens");
            directory.migrate().await.expect("migrates");
            directory
        });
        let pepper = "a-secret-for-the-tests".parse().expect("a pepper");
        Self { runtime, directory, pepper, url, place }
    }

    /// A portal with connections of its own to the directory, behind something that speaks TLS.
    pub fn portal(&self, session_time: Duration) -> Running {
        self.serve(session_time, |_| ORIGIN.to_owned())
    }

    /// A portal as a browser of this machine reaches it.
    pub fn local_portal(&self) -> Running {
        self.serve(SESSION_TIME, |address| format!("http://{address}"))
    }

    fn serve(&self, session_time: Duration, origin: impl FnOnce(SocketAddr) -> String) -> Running {
        let (stop, stopped) = oneshot::channel();
        self.runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let settings =
                Settings { public_url: origin(address).parse().expect("a public URL"), session_time };
            let directory = Directory::open(&self.url).await.expect("opens");
            let portal = Arc::new(Portal::new(settings, directory, self.pepper.clone()));
            assert_eq!(portal.ready(), Ok(()));
            let served = tokio::spawn(portal.run(listener, async move { stopped.await.unwrap_or(()) }));
            Running { address, stop, served }
        })
    }

    /// Stops a portal and waits until it has.
    pub fn stop(&self, portal: Running) {
        portal.stop.send(()).expect("it serves");
        let ended = async { tokio::time::timeout(Duration::from_secs(30), portal.served).await };
        self.runtime.block_on(ended).expect("it stops in time").expect("it does not panic");
    }

    pub fn invite(&self, client: &str) -> InviteSecret {
        self.invite_for(client, LINK_TIME)
    }

    pub fn invite_for(&self, client: &str, valid_for: Duration) -> InviteSecret {
        let invite = async {
            self.directory.create_client(client).await?;
            self.directory.invite_to_portal(client, valid_for, &self.pepper).await
        };
        self.runtime.block_on(invite).expect("invites").expect("the client is there").secret
    }

    /// A browser in which somebody of the client is signed in.
    pub fn signed_in(&self, portal: &Running, client: &str) -> Browser {
        let link = format!("/sign-in/{}", self.invite(client).expose());
        let mut browser = Browser::new(portal.address);
        assert_eq!(browser.get(&link).status, 303);
        let answer = browser.press("/sign-in", &[]);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{answer:?}");
        browser
    }

    pub fn operators_token(&self, client: &str) -> ClientToken {
        let token = self.directory.create_token(client, "made by hand", true, &self.pepper);
        self.runtime.block_on(token).expect("a token")
    }

    pub fn is_active(&self, key_id: KeyId) -> bool {
        let tokens = self.runtime.block_on(self.directory.list_tokens()).expect("lists");
        tokens.iter().any(|token| token.key_id == key_id && token.is_active())
    }

    pub fn token_count(&self) -> usize {
        self.runtime.block_on(self.directory.list_tokens()).expect("lists").len()
    }

    pub fn trail(&self) -> Vec<AuditRow> {
        self.runtime.block_on(self.directory.audit_trail(100)).expect("reads")
    }

    /// Makes the directory unreadable.
    pub fn damage(&self) {
        let Place::Folder(dir) = &self.place else { panic!("only a file can be damaged") };
        for file in std::fs::read_dir(dir.path()).expect("a folder") {
            std::fs::write(file.expect("a file").path(), [b'x'; 65_536]).expect("writable");
        }
    }

    /// Whether these bytes are anywhere in what is at rest.
    pub fn holds(&self, text: &str) -> bool {
        let holds = |rest: Vec<u8>| rest.windows(text.len()).any(|window| window == text.as_bytes());
        match &self.place {
            Place::Folder(dir) => std::fs::read_dir(dir.path())
                .expect("a folder")
                .any(|file| holds(std::fs::read(file.expect("a file").path()).expect("readable"))),
            Place::Database(cluster, database) => holds(cluster.dump(database)),
        }
    }
}

/// Asks until the answer is yes, and fails with `what` where it is not in time.
#[track_caller]
pub fn until(what: &str, within: Duration, mut ask: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < within, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
