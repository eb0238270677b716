//! A tiny gateway over plain TCP: it stores points in a set, and can misbehave.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    Good,
    /// One request in eleven each: closed unread, stored and closed, 503, some points undecided.
    Bad,
    /// Reads and closes.
    Silent,
    /// 401 to all.
    Refusing,
}

/// What the stub was sent.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    pub stored: BTreeSet<Key>,
    pub resent_with_other_bytes: u64,
    pub connections: u64,
    /// Points whose time was before that of the device's point before them.
    pub out_of_order: u64,
    latest: BTreeMap<String, jiff::Timestamp>,
    bytes_of: BTreeMap<Key, u64>,
    requests: u64,
}

/// Device and time; the two kinds have no device in common.
pub type Key = (String, jiff::Timestamp);

pub struct Stub {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Stub {
    pub async fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().unwrap_or_else(PoisonError::into_inner).connections += 1;
                tokio::spawn(serve(stream, manners, Arc::clone(&shared)));
            }
        });
        Self { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub fn key(value: &Value, time: &str) -> Key {
    let text = |field: &str| value[field].as_str().expect("text");
    (text("device_id").to_owned(), text(time).parse().expect("RFC 3339"))
}

async fn serve(stream: TcpStream, manners: Manners, seen: Arc<Mutex<Seen>>) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = read_request(&mut stream).await {
        let answer = seen.lock().unwrap_or_else(PoisonError::into_inner).answer(&body, manners);
        let Some((status, body)) = answer else { return };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        if stream.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut length, mut line) = (None, String::new());
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok();
        }
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length?];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

impl Seen {
    /// None closes the connection.
    fn answer(&mut self, body: &[u8], manners: Manners) -> Option<(&'static str, String)> {
        self.requests += 1;
        let undecided = match (manners, self.requests % 11) {
            (Manners::Silent, _) | (Manners::Bad, 0) => return None,
            (Manners::Refusing, _) => {
                let problem = json!({"detail": "no such token", "status": 401});
                return Some(("401 Unauthorized", problem.to_string()));
            }
            (Manners::Bad, 1) => {
                self.store(body, false);
                return None;
            }
            (Manners::Bad, 2) => {
                return Some(("503 Service Unavailable", json!({"detail": "away"}).to_string()));
            }
            (Manners::Bad, 3) => true,
            _ => false,
        };
        Some(("200 OK", Value::from(self.store(body, undecided)).to_string()))
    }

    fn store(&mut self, body: &[u8], undecided: bool) -> Vec<Value> {
        let body: Value = serde_json::from_slice(body).expect("JSON");
        let points = body["telemetry"].as_array().expect("an array");
        let answers = points.iter().enumerate().map(|(index, point)| {
            let key = [("timestamp", point), ("start_time", point), ("start_time", &body)]
                .into_iter()
                .find(|(field, place)| place.get(field).is_some())
                .map(|(field, place)| {
                    let mut timed = point.clone();
                    timed["time"] = place[field].clone();
                    self::key(&timed, "time")
                })
                .expect("a time");
            self.compare_bytes(&key, point);
            let latest = self.latest.entry(key.0.clone()).or_insert(key.1);
            self.out_of_order += u64::from(key.1 < *latest);
            *latest = key.1;
            if undecided && index % 3 == 0 {
                return json!({"status": "FAILED", "message": "not confirmed; resend unchanged"});
            }
            if let Some(flaw) = flaw(point) {
                return json!({"status": "FAILED", "message": flaw});
            }
            self.stored.insert(key);
            json!({"status": "OK", "message": ""})
        });
        answers.collect()
    }

    fn compare_bytes(&mut self, key: &Key, point: &Value) {
        let mut hasher = DefaultHasher::new();
        point.to_string().hash(&mut hasher);
        let hash = hasher.finish();
        let known = *self.bytes_of.entry(key.clone()).or_insert(hash);
        self.resent_with_other_bytes += u64::from(known != hash);
    }
}

fn flaw(point: &Value) -> Option<&'static str> {
    if point["device_id"].as_str().is_none_or(|id| !id.starts_with("bat-")) {
        return Some("unknown device");
    }
    if point["last_is_online"] == false {
        return None;
    }
    if point["battery_last_stored_energy_wh"].is_null() {
        return Some("battery_last_stored_energy_wh: required");
    }
    if point["home_last_power_w"].as_f64().is_none_or(|power| power < 0.0) {
        return Some("home_last_power_w: must not be negative");
    }
    let soc = point["battery_last_state_of_charge_percentage"].as_f64();
    (soc > Some(100.0)).then_some("battery_last_state_of_charge_percentage: must be 0 to 100")
}
