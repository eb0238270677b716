//! What a browser does, as far as the portal sees it: cookies, forms, and the headers that it adds to them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// What Chromium sends with a form of the portal's own pages.
pub const OWN_PAGE: [(&str, &str); 2] = [("Sec-Fetch-Site", "same-origin"), ("Origin", "null")];

#[derive(Clone, Debug)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn cookies(&self) -> Vec<&str> {
        let set = self.headers.iter().filter(|(name, _)| name == "set-cookie");
        set.map(|(_, value)| value.as_str()).collect()
    }

    /// The key of the forms in this page.
    #[track_caller]
    pub fn form_key(&self) -> String {
        let (_, rest) = self.body.split_once(r#"name="form_key" value=""#).expect("a form with a key");
        rest.split_once('"').expect("an end").0.to_owned()
    }

    /// The token that this page shows.
    #[track_caller]
    pub fn token(&self) -> String {
        let (_, rest) = self.body.split_once("<textarea id=\"token\"").expect("a page with a token");
        let (token, _) = rest.split_once('>').and_then(|(_, rest)| rest.split_once('<')).expect("its text");
        token.to_owned()
    }
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Browser { address, cookies: BTreeMap::new() }
    }

    /// The same browser in front of another portal of the same name.
    pub fn at(&self, address: SocketAddr) -> Self {
        Browser { address, cookies: self.cookies.clone() }
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    /// Sends a form from one of the portal's own pages.
    pub fn press(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post(path, &OWN_PAGE, fields)
    }

    /// Sends a form with these headers and nothing that a browser would add.
    pub fn post(&mut self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<String> =
            fields.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &[&form[..], headers].concat(), &pairs.join("&"))
    }

    #[track_caller]
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let request = self.request(method, path, headers, body);
        stream.write_all(request.as_bytes()).expect("the request is sent");
        let answer = read(&mut stream);
        for cookie in answer.cookies() {
            let (pair, attributes) = cookie.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a value");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.into(), value.into());
            }
        }
        answer
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: portal.example.com\r\n");
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            request += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request + &format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }
}

/// Reads an answer up to the end of the connection: the portal answers one request on each.
#[track_caller]
pub fn read(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {ended:?} {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}

fn quoted(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
