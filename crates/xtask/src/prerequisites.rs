//! What must be on the machine besides Rust: found, installed by apt-get where that is allowed, and
//! otherwise named in one line to copy.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::bail;

use crate::process;

const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);
const JAVA_VERSION_MIN: u32 = 17;

struct Tool {
    name: &'static str,
    /// Debian packages that bring it.
    packages: &'static [&'static str],
    is_there: fn() -> bool,
}

const C_COMPILER: Tool =
    Tool { name: "a C compiler", packages: &["gcc", "libc6-dev"], is_there: || version_of("cc") };

/// To compile librdkafka and the C parts of other crates.
const BUILD: &[Tool] = &[
    C_COMPILER,
    Tool { name: "a C++ compiler", packages: &["g++"], is_there: || version_of("c++") },
    Tool { name: "make", packages: &["make"], is_there: || version_of("make") },
    Tool { name: "pkg-config", packages: &["pkg-config"], is_there: || version_of("pkg-config") },
    Tool { name: "OpenSSL headers", packages: &["libssl-dev"], is_there: || has_library("openssl") },
    Tool { name: "zlib headers", packages: &["zlib1g-dev"], is_there: || has_library("zlib") },
];

const KAFKA: &[Tool] = &[
    Tool { name: "Java 17 or later", packages: &["default-jre-headless"], is_there: has_java },
    Tool { name: "Maven", packages: &["maven"], is_there: || version_of("mvn") },
];

const CLICKHOUSE: &[Tool] = &[Tool {
    name: "Python 3.9 or later with venv",
    packages: &["python3", "python3-venv"],
    is_there: has_python,
}];

/// For the half of the directory's tests that is about Postgres.
const POSTGRES: &[Tool] =
    &[Tool { name: "PostgreSQL's server", packages: &["postgresql"], is_there: has_postgres }];

/// For the backup of a directory in SQLite.
const SQLITE: &[Tool] =
    &[Tool { name: "SQLite's shell", packages: &["sqlite3"], is_there: || version_of("sqlite3") }];

/// For the portal in a browser.
const CHROMIUM: &[Tool] = &[
    Tool { name: "Chromium", packages: &["chromium"], is_there: || version_of("chromium") },
    Tool { name: "ChromeDriver", packages: &["chromium-driver"], is_there: || version_of("chromedriver") },
];

/// For the rules, the dashboards, and the units of systemd.
const MONITORING: &[Tool] = &[
    Tool { name: "Prometheus", packages: &["prometheus"], is_there: || version_of("promtool") },
    Tool {
        name: "Prometheus' node exporter",
        packages: &["prometheus-node-exporter"],
        is_there: || version_of("prometheus-node-exporter"),
    },
    Tool { name: "systemd-analyze", packages: &["systemd"], is_there: || version_of("systemd-analyze") },
];

/// For the counts of instructions.
const VALGRIND: &[Tool] =
    &[Tool { name: "Valgrind", packages: &["valgrind", "libc6-dbg"], is_there: || version_of("valgrind") }];

pub fn for_build() -> anyhow::Result<()> {
    ensure(BUILD)
}

/// For the libraries that faults put before the C library. A build needs it too, but not every run is one.
pub fn for_shims() -> anyhow::Result<()> {
    ensure(&[C_COMPILER])
}

pub fn for_kafka() -> anyhow::Result<()> {
    ensure(KAFKA)
}

pub fn for_clickhouse() -> anyhow::Result<()> {
    ensure(CLICKHOUSE)
}

pub fn for_postgres() -> anyhow::Result<()> {
    ensure(POSTGRES)
}

pub fn for_backups() -> anyhow::Result<()> {
    ensure(SQLITE)
}

pub fn for_chromium() -> anyhow::Result<()> {
    ensure(CHROMIUM)
}

pub fn for_monitoring() -> anyhow::Result<()> {
    ensure(MONITORING)
}

pub fn for_instructions() -> anyhow::Result<()> {
    ensure(VALGRIND)
}

fn ensure(tools: &[Tool]) -> anyhow::Result<()> {
    let missing = missing(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
    let names = names.join(", ");
    let packages: Vec<&str> = missing.iter().flat_map(|tool| tool.packages).copied().collect();
    if !process::succeeds("apt-get", &["--version"]) {
        bail!("not on this machine: {names}. Install them as your system does and run this again");
    }
    if !rustix::process::geteuid().is_root() {
        bail!(
            "not on this machine: {names}. Install with\n  sudo apt-get install -y {}\nand run this again",
            packages.join(" ")
        );
    }
    println!("Installing {names}: apt-get install {}", packages.join(" "));
    apt_get(&["update", "-qq"])?;
    let install = ["install", "-y", "-qq", "--no-install-recommends"];
    apt_get(&[&install[..], &packages].concat())?;
    match self::missing(tools).first() {
        Some(tool) => bail!("{} is still missing after its installation", tool.name),
        None => Ok(()),
    }
}

fn missing(tools: &[Tool]) -> Vec<&Tool> {
    tools.iter().filter(|tool| !(tool.is_there)()).collect()
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null());
    process::run_within(INSTALL_DEADLINE, &mut command)
}

fn version_of(program: &str) -> bool {
    process::succeeds(program, &["--version"])
}

fn has_library(name: &str) -> bool {
    process::succeeds("pkg-config", &["--exists", name])
}

fn has_python() -> bool {
    let probe = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))";
    process::succeeds("python3", &["-c", probe])
}

/// Debian puts the server's programs into a folder for each version, outside the path.
fn has_postgres() -> bool {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/initdb").is_file())
}

fn has_java() -> bool {
    let Ok(output) = Command::new("java").arg("-version").output() else { return false };
    // openjdk version "17.0.15" 2025-04-15
    java_major(&String::from_utf8_lossy(&output.stderr)).is_some_and(|major| major >= JAVA_VERSION_MIN)
}

fn java_major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    version.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::java_major;

    #[test]
    fn the_java_version_is_read() {
        assert_eq!(java_major("openjdk version \"17.0.15\" 2025-04-15"), Some(17));
        assert_eq!(java_major("Picked up JAVA_TOOL_OPTIONS: -X\nopenjdk version \"21-ea\" x"), Some(21));
        assert_eq!(java_major("java version \"1.8.0_301\""), Some(1));
        assert_eq!(java_major("sh: java: not found"), None);
    }
}
