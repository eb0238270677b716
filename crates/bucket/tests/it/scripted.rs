//! A server whose answers are the test's.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// Longer than any request waits.
const SILENCE: Duration = Duration::from_secs(10);

/// A status and a body; 0 hangs up, and none says nothing.
type Answer = Option<(u16, &'static str)>;

pub struct Scripted {
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Scripted {
    /// The script is asked by the method, `LIST` being a GET with a query.
    pub fn start(mut script: impl FnMut(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        // The thread ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read(&stream) else { continue };
                counted.fetch_add(1, Ordering::SeqCst);
                match script(&request) {
                    Some((0, _)) => {}
                    Some((status, body)) => answer(stream, &request, status, body),
                    None => drop(thread::spawn(move || {
                        thread::sleep(SILENCE);
                        drop(stream);
                    })),
                }
            }
        });
        Scripted { url, requests }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads one request whole; none where the client hung up.
fn read(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut request, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
        if request.is_empty() {
            let (method, target) = line.split_once(' ')?;
            request = if target.contains('?') { "LIST".to_owned() } else { method.to_owned() };
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(request)
}

fn answer(mut stream: TcpStream, request: &str, status: u16, body: &str) {
    let mut head = format!(
        "HTTP/1.1 {status} Said\r\nETag: \"1\"\r\nLast-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    if status == 206 {
        head += "Content-Range: bytes 0-0/9\r\n";
    }
    let body = if request == "HEAD" { "" } else { body };
    // A client that hung up has its reasons.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes());
}
