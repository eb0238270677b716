//! The only place of this crate that reads the wall clock.

/// Milliseconds since 1970 in UTC.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
