//! The ClickHouse engine as a process: `chdb-core` in a Python environment of its own, behind
//! `deploy/local/clickhouse/server.py`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::Data;
use crate::process::{free_ports, wait_for};
use crate::python::Packages;
use crate::stack::Stack;
use crate::{http, paths};

const READY_DEADLINE: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
pub const SERVICE: &str = "clickhouse";

const PACKAGES: Packages = Packages {
    name: "clickhouse",
    what: "the ClickHouse engine from PyPI (about 150 MB, once)",
    requirements: "deploy/local/clickhouse/requirements.txt",
    python_minor_min: 9,
};

/// Installs the engine, unless the cache has it, and returns the interpreter to run it with.
pub fn install() -> anyhow::Result<PathBuf> {
    Ok(PACKAGES.install()?.join("python"))
}

/// An engine that is ready to be started, any number of times, on the same data and port.
pub struct Engine {
    python: PathBuf,
    folder: PathBuf,
    pub port: u16,
}

impl Engine {
    pub fn prepare(stack: &Stack, python: PathBuf, data: Data) -> anyhow::Result<Engine> {
        let folder = match data {
            Data::Fresh => stack.fresh_folder(SERVICE)?,
            Data::Kept => stack.folder().join(SERVICE),
        };
        let [port] = free_ports()?;
        Ok(Engine { python, folder, port })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.python);
        command
            .arg(paths::root().join("deploy/local/clickhouse/server.py"))
            .args(["--port", &self.port.to_string(), "--data"])
            .arg(&self.folder);
        command
    }
}

/// Starts the engine and returns its URL; `wait_ready` waits for it.
pub fn start(stack: &mut Stack, python: PathBuf, data: Data) -> anyhow::Result<String> {
    let engine = Engine::prepare(stack, python, data)?;
    stack.start(SERVICE, &mut engine.command())?;
    Ok(engine.url())
}

pub fn wait_ready(stack: &mut Stack, url: &str) -> anyhow::Result<()> {
    wait_for("an answer of ClickHouse", READY_DEADLINE, || {
        stack.check()?;
        Ok(answers(url).then_some(()))
    })
}

pub fn answers(url: &str) -> bool {
    http::get(&format!("{url}/ping"), PING_TIMEOUT).is_ok()
}

/// The promises of `deploy/local/clickhouse/server.py` that the sink and the tests lean on.
#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpStream;
    use std::time::Duration;

    use crate::http;

    const TIMEOUT: Duration = Duration::from_secs(30);

    struct Database {
        url: String,
        name: String,
    }

    impl Database {
        fn new(test: &str) -> Database {
            #[expect(
                clippy::disallowed_methods,
                reason = "the address of the service comes with the test run"
            )]
            let url = std::env::var("WATTLINE_TEST_CLICKHOUSE")
                .expect("WATTLINE_TEST_CLICKHOUSE names no ClickHouse; `cargo xtask test` starts one");
            let database = Database { url, name: format!("xtask_{test}_{}", std::process::id()) };
            http::post(&database.url, &format!("CREATE DATABASE {}", database.name), TIMEOUT).unwrap();
            database.post(
                "",
                "CREATE TABLE rows (k UInt64, energy Decimal(18, 3)) ENGINE = ReplacingMergeTree ORDER BY k
                 SETTINGS non_replicated_deduplication_window = 100",
            );
            database
        }

        fn target(&self, parameters: &str) -> String {
            format!("/?database={}{parameters}", self.name)
        }

        fn post(&self, parameters: &str, body: &str) -> String {
            http::post(&format!("{}{}", self.url, self.target(parameters)), body, TIMEOUT).unwrap()
        }

        fn refusal(&self, parameters: &str, body: &str) -> String {
            let url = format!("{}{}", self.url, self.target(parameters));
            http::post(&url, body, TIMEOUT).unwrap_err().to_string()
        }

        fn count(&self) -> String {
            self.post("", "SELECT count() FROM rows").trim().to_owned()
        }
    }

    impl Drop for Database {
        fn drop(&mut self) {
            let _ = http::post(&self.url, &format!("DROP DATABASE {}", self.name), TIMEOUT);
        }
    }

    #[test]
    fn rows_of_one_token_are_inserted_once() {
        let database = Database::new("token");
        let insert = "&async_insert=0&query=INSERT+INTO+rows+FORMAT+TSV&insert_deduplication_token=";
        for token in ["a", "a", "b"] {
            database.post(&format!("{insert}{token}"), "1\t0.125\n2\t-0.125\n");
        }
        assert_eq!(database.count(), "4");
        let answer = database.post("&param_k=2", "SELECT k, energy FROM rows FINAL WHERE k = {k:UInt64}");
        assert_eq!(answer, "2\t-0.125\n");
    }

    #[test]
    fn a_body_that_is_cut_short_inserts_nothing() {
        let database = Database::new("cut");
        let address = database.url.strip_prefix("http://").unwrap();
        let target = database.target("&query=INSERT+INTO+rows+FORMAT+TSV");
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"6\r\n1\t0.5\n\r\n").unwrap();
        drop(stream);
        // Wholly sent, the same body has an effect, and is answered after the cut one was given up.
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(b"6\r\n2\t0.5\n\r\n0\r\n\r\n").unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut status = [0; 12];
        std::io::Read::read_exact(&mut stream, &mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        assert_eq!(database.post("", "SELECT k FROM rows"), "2\n");
    }

    #[test]
    fn what_goes_wrong_while_rows_are_written_is_said() {
        let database = Database::new("too_many");
        let insert = "&query=INSERT+INTO+rows+FORMAT+TSV";
        database.post(insert, "1\t0.5\n");
        database.post("", "ALTER TABLE rows MODIFY SETTING parts_to_throw_insert = 1");
        let too_many = database.refusal(insert, "2\t0.5\n");
        assert!(too_many.contains("Code: 252."), "{too_many}");
        database.post("", "ALTER TABLE rows RESET SETTING parts_to_throw_insert");
        database.post(insert, "2\t0.5\n");
        assert_eq!(database.count(), "2");
    }

    #[test]
    fn what_a_server_refuses_is_refused() {
        let database = Database::new("refusals");
        let several = database.refusal("", "SELECT 1; SELECT 2");
        assert!(several.contains("400 Bad Request: Code: 62."), "{several}");
        let unknown_table = database.refusal("", "SELECT * FROM nowhere");
        assert!(unknown_table.contains("404 Not Found: Code: 60."), "{unknown_table}");
        let unknown_setting = database.refusal("&no_such_setting=1", "SELECT 1");
        assert!(unknown_setting.contains("404 Not Found: Code: 115."), "{unknown_setting}");
        let url = format!("{}{}", database.url, database.target("&query=DROP+TABLE+rows"));
        let write_by_get = http::get(&url, TIMEOUT).unwrap_err().to_string();
        assert!(write_by_get.contains("Code: 164."), "{write_by_get}");
        let bad_row = database.refusal("&query=INSERT+INTO+rows+FORMAT+TSV", "1\tmuch\n");
        assert!(bad_row.contains("Code: "), "{bad_row}");
        assert_eq!(database.count(), "0");
        // A semicolon at the end or in a text separates nothing, and settings end with their request.
        assert_eq!(database.post("&max_threads=1", "SELECT ';' -- ;\n;"), ";\n");
        assert_eq!(database.post("", "SELECT value FROM system.settings WHERE name = 'max_threads'"), "2\n");
    }
}
