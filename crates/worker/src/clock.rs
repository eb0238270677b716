//! The one place where the worker reads the clock of the day: for how old a point is when it is stored.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the clock's room")]
pub(crate) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
