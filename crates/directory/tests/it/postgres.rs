//! A throw-away Postgres for the tests, on a socket in a temporary folder.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const READY_WITHIN: Duration = Duration::from_secs(60);
const DEBIAN_PROGRAMS: &str = "/usr/lib/postgresql";
const HOW_TO_INSTALL: &str =
    "Postgres is not installed, so its half of the tests is left out: apt-get install -y postgresql";

/// The cluster that all tests of this process share. It goes when the last of them ends.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    dir: TempDir,
    databases: AtomicU32,
    port: u16,
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

/// Of a cluster that listens on its socket only, the port is a part of the socket's name.
const SOCKET_PORT: u16 = 5432;

/// The shared cluster. None where Postgres is not installed, unless the tests are told that it has to be.
pub fn shared() -> Option<Arc<Cluster>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return Some(cluster);
    }
    let cluster = Arc::new(Cluster::start(programs()?, SOCKET_PORT, |_, _| {}));
    *shared = Arc::downgrade(&cluster);
    Some(cluster)
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
#[expect(clippy::print_stderr, reason = "who runs the tests should know what was left out")]
fn left_out() {
    let is_required = std::env::var("WATTLINE_TEST_POSTGRES").is_ok_and(|value| value == "required");
    assert!(!is_required, "{HOW_TO_INSTALL}");
    eprintln!("{HOW_TO_INSTALL}");
}

/// The newest version's programs, which Debian keeps out of the search path. None where Postgres is not installed,
/// unless the tests are told that it has to be.
pub fn programs() -> Option<PathBuf> {
    let programs = newest_programs();
    if programs.is_none() {
        left_out();
    }
    programs
}

fn newest_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN_PROGRAMS).ok()?.filter_map(Result::ok);
    let programs = versions.map(|version| version.path().join("bin"));
    programs.filter(|programs| programs.join("initdb").exists()).max()
}

impl Cluster {
    /// `adjust` has the folder of the data and the server's command before it starts.
    pub fn start(programs: PathBuf, port: u16, adjust: impl FnOnce(&Self, &mut Command)) -> Self {
        let dir = tempfile::Builder::new().prefix("wattline-pg-").tempdir().expect("a temporary folder");
        if is_root(dir.path()) {
            // Postgres refuses to run as root.
            run(Command::new("chown").arg("postgres:postgres").arg(dir.path()));
        }
        let mut cluster = Self { programs, dir, databases: AtomicU32::new(0), port, keeper: None };
        let mut initdb = cluster.program("initdb");
        initdb.args([
            "--no-sync",
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]);
        run(initdb.arg("--pgdata").arg(cluster.data()));
        let mut server = cluster.program("postgres");
        server.args(["-F", "-c", "listen_addresses=", "-c", "max_connections=200", "-k"]);
        server.arg(cluster.dir.path()).arg("-p").arg(port.to_string()).arg("-D").arg(cluster.data());
        adjust(&cluster, &mut server);
        let mut stop = cluster.program("pg_ctl");
        stop.args(["stop", "--mode=immediate", "--silent", "--pgdata"]).arg(cluster.data());
        let (sender, receiver) = channel();
        let keeper = std::thread::spawn(move || keep(server, stop, &receiver));
        cluster.keeper = Some((sender, keeper));
        cluster.wait_until_ready();
        cluster
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// One of Postgres' programs, as the user that owns the folder. It ends when the thread does that
    /// started it, so that a test process that is killed leaves nothing behind.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=KILL");
        if is_root(Path::new("/proc/self")) {
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        }
        command.arg(self.programs.join(name)).current_dir("/");
        command
    }

    /// One of Postgres' client programs, on this cluster.
    pub fn client(&self, name: &str) -> Command {
        let mut command = self.program(name);
        command.args(["--username=postgres", "--host"]).arg(self.dir.path());
        command.args(["--port", &self.port.to_string()]);
        command
    }

    fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.client("pg_isready").arg("--quiet").status().is_ok_and(|status| status.success()) {
            assert!(started.elapsed() < READY_WITHIN, "Postgres did not start in time");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Creates an empty database and returns its name.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        run(self.client("createdb").arg(&name));
        name
    }

    pub fn url(&self, database: &str) -> String {
        let socket = self.dir.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@localhost/{database}?host={socket}")
    }

    /// All that a database holds, as text.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let output = self.client("pg_dump").arg(database).output().expect("pg_dump runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((stop, keeper)) = self.keeper.take() {
            drop(stop);
            let _ = keeper.join();
        }
    }
}

/// Runs the server until it is told to stop. The thread lives as long as the server.
fn keep(mut server: Command, mut stop: Command, until: &Receiver<()>) {
    let mut server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("postgres runs");
    // Nobody sends anything: the other end goes.
    let _ = until.recv();
    if !stop.status().is_ok_and(|status| status.success()) {
        let _ = server.kill();
    }
    let _ = server.wait();
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn is_root(path: &Path) -> bool {
    std::fs::metadata(path).expect("a folder of this process").uid() == 0
}
