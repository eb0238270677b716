//! A plain HTTP/1.1 client over a socket: it sends what it is told, right or wrong.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Request { method: method.into(), target: target.into(), headers: Vec::new(), body: Vec::new() }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn json(self, body: &Value) -> Self {
        self.body(body.to_string())
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The head, with a `Host` and, unless the test says otherwise, the length of the body.
    pub fn head(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.has("content-length") && !self.has("transfer-encoding") {
            head += &format!("Content-Length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        head.into_bytes()
    }
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// A keep-alive connection.
pub struct Connection<S = TcpStream> {
    stream: S,
    unread: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Connection::over(stream))
    }
}

impl<S: Read + Write> Connection<S> {
    /// Over a stream that somebody else has opened.
    pub fn over(stream: S) -> Self {
        Connection { stream, unread: Vec::new() }
    }

    pub fn stream(&self) -> &S {
        &self.stream
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut bytes = request.head();
        bytes.extend_from_slice(&request.body);
        self.write(&bytes)
    }

    #[track_caller]
    pub fn exchange(&mut self, request: &Request) -> Answer {
        self.send(request).expect("the request is sent");
        self.answer()
    }

    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    pub fn try_answer(&mut self) -> io::Result<Answer> {
        let head = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                let rest = self.unread.split_off(at + 4);
                break std::mem::replace(&mut self.unread, rest);
            }
            self.read()?;
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        while self.unread.len() < length {
            self.read()?;
        }
        let rest = self.unread.split_off(length);
        answer.body = std::mem::replace(&mut self.unread, rest);
        Ok(answer)
    }

    /// Takes what the server sends, as it is, up to and with these words.
    pub fn read_until(&mut self, words: &str) -> io::Result<String> {
        loop {
            let found = self.unread.windows(words.len()).position(|window| window == words.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + words.len());
                let taken = std::mem::replace(&mut self.unread, rest);
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let read = self.stream.read(&mut buffer)?;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        self.unread.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// Waits for the server to close the connection, having sent nothing more.
    #[track_caller]
    pub fn wait_until_closed(&mut self) {
        let outcome = self.read();
        let closed = matches!(
            outcome.as_ref().map_err(io::Error::kind),
            Err(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        );
        assert!(closed && self.unread.is_empty(), "{outcome:?}, {:?}", String::from_utf8_lossy(&self.unread));
    }
}

pub fn try_exchange(address: SocketAddr, request: &Request) -> io::Result<Answer> {
    let mut connection = Connection::open(address)?;
    connection.send(request)?;
    connection.try_answer()
}

/// One request on a connection of its own. What the server does not want to read it need not read: the answer
/// counts.
#[track_caller]
pub fn exchange(address: SocketAddr, request: &Request) -> Answer {
    let mut connection = Connection::open(address).expect("a connection");
    let sent = connection.send(request);
    connection.try_answer().unwrap_or_else(|error| panic!("no answer: {error}; sending: {sent:?}"))
}

/// A client of services, to which an error is an answer too.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .build()
        .into()
}

/// A POST to a service, which has to answer 200.
#[track_caller]
pub fn post_text(url: &str, body: &str) -> String {
    let (status, text) = try_post_text(url, body);
    assert_eq!(status, 200, "{url} answered: {text}");
    text
}

/// The status and the text of the answer to a POST.
#[track_caller]
pub fn try_post_text(url: &str, body: &str) -> (u16, String) {
    const BYTES_MAX: u64 = 256 << 20;
    let mut response = agent().post(url).send(body).unwrap_or_else(|error| panic!("POST {url}: {error}"));
    let text = response.body_mut().with_config().limit(BYTES_MAX).read_to_string().expect("text");
    (response.status().as_u16(), text)
}
