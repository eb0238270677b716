//! What is told of the requests of a batch when their points are rows already.

use std::fmt;

use crate::inputs::Input;

/// Requests that a log line names.
const REQUESTS_MAX: usize = 8;

/// The requests of a batch, without those of records that cannot be decoded.
#[derive(Default)]
pub(crate) struct Told {
    /// When the gateway took each of them.
    pub received_at_ms: Vec<i64>,
    /// The ids of the first ones. Requests with one id that follow each other are named once.
    ids: Vec<String>,
    /// How many follow those that are named.
    more: usize,
}

impl Told {
    pub fn add(&mut self, requests: &[Input<'_>]) {
        for header in requests.iter().filter_map(|request| request.header.ok()) {
            self.received_at_ms.push(header.received_at_ms);
            let is_named = self.ids.last().is_some_and(|id| id == header.request_id);
            if self.more > 0 || (!is_named && self.ids.len() == REQUESTS_MAX) {
                self.more += 1;
            } else if !is_named {
                self.ids.push(header.request_id.to_owned());
            }
        }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ids.join(" "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
