//! The one place where the gateway reads the clock of the day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 in UTC.
#[expect(clippy::disallowed_methods, reason = "this is the clock's room")]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 refuses every point as too new, which is the right answer.
    since.map_or(0, |since| since.as_millis() as i64)
}
