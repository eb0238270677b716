//! Connections that have had an answer and then say nothing.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::replay::Target;
use crate::fault::raise_file_limit;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests under way at once.
const AT_ONCE: usize = 500;

pub fn idle(gateway: &Target, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    // Ours and the gateway's are limited alike, as it inherits the limit.
    let files = raise_file_limit()?;
    ensure!(files > count as u64 + 500, "{count} connections need as many files; the limit is {files}");
    let address: SocketAddr = gateway.url.trim_start_matches("http://").parse()?;
    let token = fs::read_to_string(&gateway.token_file).context("reading the token")?;
    let body = r#"{"telemetry":[]}"#;
    let request = format!(
        "POST /v1/telemetry/BATTERY HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        token.trim(),
        body.len()
    );
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let mut fresh = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE.min(count - idle.len()) {
            let mut stream = TcpStream::connect_timeout(&address, ANSWER_TIMEOUT)?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            stream.write_all(request.as_bytes())?;
            fresh.push(stream);
        }
        for stream in &mut fresh {
            let mut answer = [0; 1024];
            let bytes = stream.read(&mut answer)?;
            ensure!(answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&answer[..bytes]));
        }
        idle.append(&mut fresh);
    }
    Ok(idle)
}

/// How many of them the other side has not closed.
pub fn still_open(idle: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| {
        let mut byte = [0; 1];
        stream.set_nonblocking(true).is_ok()
            && matches!(stream.peek(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    idle.iter().filter(is_open).count()
}
