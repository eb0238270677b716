use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::header::HeaderValue;

/// Names a request in its answer, in the logs and in its Kafka records: the caller's own, or one of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

pub(crate) const HEADER: &str = "x-request-id";
const BYTES_MAX: usize = 64;

impl RequestId {
    /// The caller's id where it gave one that can be repeated anywhere: letters, digits, `-`, `_`, `.`.
    pub(crate) fn new(given: Option<&HeaderValue>, ids: &RequestIds) -> Self {
        let usable = given.and_then(|given| given.to_str().ok()).filter(|id| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            (1..=BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
        });
        match usable {
            Some(id) => RequestId(id.to_owned()),
            None => RequestId(ids.next()),
        }
    }

    /// One as they look, for the API's description.
    pub(crate) fn example() -> Self {
        RequestId("8fe6274300000008".to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("-"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes ids that differ within a process and, by a random beginning, between processes.
#[derive(Debug)]
pub(crate) struct RequestIds {
    process: u32,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let process = getrandom::u32().map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        Ok(RequestIds { process, next: AtomicU64::new(0) })
    }

    fn next(&self) -> String {
        format!("{:08x}{:08x}", self.process, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
