//! A ClickHouse engine of a test's own.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::http::{self, try_post_text};
use crate::process::{Process, until};
use crate::restarts::STOP_DEADLINE;
use crate::site::Site;

const READY_DEADLINE: Duration = Duration::from_secs(60);

/// An engine on the data of the site, for as long as the process lives.
pub struct Engine {
    pub url: String,
    process: Process,
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
fn python() -> String {
    std::env::var("WATTLINE_TEST_CLICKHOUSE_PYTHON").unwrap_or_else(|_| {
        panic!("WATTLINE_TEST_CLICKHOUSE_PYTHON is not set: `cargo xtask test -- -p wattline` sets it")
    })
}

impl Engine {
    pub fn start(site: &Site, name: &str, port: u16, options: &[&str]) -> Self {
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        let mut command = Command::new(python());
        command
            .arg(deploy.join("local/clickhouse/server.py"))
            .args(["--port", &port.to_string(), "--data"])
            .arg(site.path("clickhouse"))
            .args(options);
        let process = Process::start(format!("clickhouse-{name}"), command, &site.path("."));
        let url = format!("http://127.0.0.1:{port}");
        until("an answer of ClickHouse", READY_DEADLINE, || {
            http::agent().get(format!("{url}/ping")).call().ok().map(drop)
        });
        Engine { url, process }
    }

    pub fn ask(&self, sql: &str) -> String {
        let (_, text) = try_post_text(&format!("{}/?database=wattline", self.url), sql);
        text.trim_end().to_owned()
    }

    pub fn stop(mut self) {
        self.process.term();
        self.process.wait(STOP_DEADLINE);
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
