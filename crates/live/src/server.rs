//! A small HTTP server for four files.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::numbers::Numbers;

/// A browser opens a few at once, some of them only in case. More are hung up on.
const CONNECTIONS_MAX: u32 = 32;
const TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Scripts and styles are files of this server; nothing inline, nothing from elsewhere, no frame around it.
const HEADERS: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                       connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
                       X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
                       Cross-Origin-Resource-Policy: same-origin\r\nCache-Control: no-store\r\nConnection: close\r\n";

pub(crate) fn run(listener: &TcpListener, numbers: &Arc<Mutex<Numbers>>) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    let connections = Arc::new(AtomicU32::new(0));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, say: they come back.
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        if connections.load(Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        connections.fetch_add(1, Relaxed);
        let (numbers, connections) = (Arc::clone(numbers), Arc::clone(&connections));
        thread::spawn(move || {
            // Whoever hangs up early has no complaint.
            let _ = answer(stream, address, &numbers);
            connections.fetch_sub(1, Relaxed);
        });
    }
}

fn answer(mut stream: TcpStream, address: SocketAddr, numbers: &Mutex<Numbers>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let head = read_head(&mut stream)?;
    let (status, content, body) = route(&head, address, numbers);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content}\r\nContent-Length: {}\r\n{HEADERS}\r\n{body}",
        body.len()
    )
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(ErrorKind::InvalidData.into());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn route(head: &str, address: SocketAddr, numbers: &Mutex<Numbers>) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let host =
        lines.filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("host"));
    // A page of somebody else's whose name has come to mean this machine names itself here.
    let is_ours = |host: &str| {
        [address.to_string(), format!("localhost:{}", address.port())].contains(&host.to_owned())
    };
    if !host.is_some_and(|(_, host)| is_ours(host.trim())) {
        return ("421 Misdirected Request", TEXT, "this is not here\n".into());
    }
    if method != "GET" {
        return ("405 Method Not Allowed", TEXT, "only GET\n".into());
    }
    match path {
        "/" => ("200 OK", "text/html; charset=utf-8", include_str!("../page/live.html").into()),
        "/live.css" => ("200 OK", "text/css; charset=utf-8", include_str!("../page/live.css").into()),
        "/live.js" => ("200 OK", "text/javascript; charset=utf-8", include_str!("../page/live.js").into()),
        "/icon.svg" => ("200 OK", "image/svg+xml", include_str!("../page/icon.svg").into()),
        "/numbers" => match numbers.lock().unwrap_or_else(PoisonError::into_inner).json() {
            Ok(json) => ("200 OK", "application/json", json),
            Err(_) => ("500 Internal Server Error", TEXT, "no numbers\n".into()),
        },
        _ => ("404 Not Found", TEXT, "there is only /\n".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &str) -> &'static str {
        let numbers = Mutex::new(Numbers::new("demo".to_owned(), None));
        route(head, SocketAddr::from(([127, 0, 0, 1], 9604)), &numbers).0
    }

    #[test]
    fn only_who_names_this_address_is_answered() {
        assert_eq!(status("GET /numbers HTTP/1.1\r\nhost: 127.0.0.1:9604\r\n\r\n"), "200 OK");
        assert_eq!(status("GET / HTTP/1.1\r\nHost: localhost:9604\r\n\r\n"), "200 OK");
        assert_eq!(status("GET / HTTP/1.1\r\nHost: evil.example:9604\r\n\r\n"), "421 Misdirected Request");
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "421 Misdirected Request");
        assert_eq!(status("POST / HTTP/1.1\r\nHost: localhost:9604\r\n\r\n"), "405 Method Not Allowed");
        assert_eq!(status("GET /passwd HTTP/1.1\r\nHost: localhost:9604\r\n\r\n"), "404 Not Found");
    }
}
