//! What can go wrong with a statement, told apart by what the caller has to do.

use std::time::Duration;

use crate::table::Table;

/// A statement that did not succeed.
///
/// After `Unreachable` and `Busy` nobody knows whether an insert took effect: verify, then go on.
/// `Refused` will be refused again, but a part of the rows may be there too.
#[derive(Debug, thiserror::Error)]
pub enum ClickHouseError {
    /// No answer, a cut connection, or the deadline passed.
    #[error("{during}: ClickHouse did not answer")]
    Unreachable {
        during: &'static str,
        #[source]
        source: Source,
    },
    /// ClickHouse answered that it cannot now: too many parts, memory, a read-only moment.
    #[error("{during}: ClickHouse is not able to now (code {code})")]
    Busy {
        during: &'static str,
        code: u32,
        #[source]
        source: Source,
    },
    /// ClickHouse, or the client before it, says no for good: data, rights, a missing table.
    #[error("{during}: ClickHouse refused")]
    Refused {
        during: &'static str,
        code: Option<u32>,
        #[source]
        source: Source,
    },
    /// The batch is not one of this table: a column missing or of another type.
    #[error("the batch does not fit table {table}: {detail}")]
    BadBatch { table: Table, detail: String },
    /// An insert was answered with success and its rows are not there.
    #[error("{missing} rows of table {table} are still missing after they were inserted")]
    StillMissing { table: Table, missing: usize },
}

/// Why: the client's own error, or our deadline.
#[derive(Debug, thiserror::Error)]
pub enum Source {
    #[error(transparent)]
    Client(#[from] clickhouse::error::Error),
    #[error("no answer within {0:?}")]
    Deadline(Duration),
}

/// Codes that say "not now": the same statement may succeed later. Beside each its name in
/// ClickHouse's `ErrorCodes.cpp`.
const NOT_NOW: &[u32] = &[
    74,  // CANNOT_READ_FROM_FILE_DESCRIPTOR
    75,  // CANNOT_WRITE_TO_FILE_DESCRIPTOR
    76,  // CANNOT_OPEN_FILE
    159, // TIMEOUT_EXCEEDED
    201, // QUOTA_EXCEEDED
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    285, // TOO_FEW_LIVE_REPLICAS
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    439, // CANNOT_SCHEDULE_TASK
    473, // DEADLOCK_AVOIDED
    499, // S3_ERROR
    999, // KEEPER_EXCEPTION
];

impl ClickHouseError {
    pub(crate) fn classify(during: &'static str, error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        let code = match &error {
            Error::Network(_) | Error::TimedOut => {
                return Self::Unreachable { during, source: error.into() };
            }
            Error::BadResponse(text) => match exception_code(text) {
                Some(code) => Some(code),
                // Not ClickHouse's words: a proxy in between, or a server on its way down. Rights
                // are the exception: a 401 or 403 will not go away by waiting.
                None if text.starts_with("401") || text.starts_with("403") => None,
                None => return Self::Unreachable { during, source: error.into() },
            },
            _ => None,
        };
        match code {
            Some(code) if NOT_NOW.contains(&code) => Self::Busy { during, code, source: error.into() },
            code => Self::Refused { during, code, source: error.into() },
        }
    }

    pub(crate) fn bad_batch(table: Table, detail: impl ToString) -> Self {
        Self::BadBatch { table, detail: detail.to_string() }
    }

    /// Whether the same thing may succeed later, once what is there has been verified.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Busy { .. } | Self::StillMissing { .. } => true,
            Self::Refused { .. } | Self::BadBatch { .. } => false,
        }
    }

    /// A short name of the kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Busy { .. } => "busy",
            Self::Refused { .. } => "refused",
            Self::BadBatch { .. } => "bad_batch",
            Self::StillMissing { .. } => "still_missing",
        }
    }
}

/// ClickHouse begins an exception with `Code: 252. DB::Exception: …`.
fn exception_code(text: &str) -> Option<u32> {
    let rest = &text[text.find("Code: ")? + "Code: ".len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clickhouse::error::Error;

    fn kind_of(text: &str) -> &'static str {
        ClickHouseError::classify("insert", Error::BadResponse(text.to_owned())).kind()
    }

    #[test]
    fn answers_are_told_apart_by_what_to_do() {
        assert_eq!(kind_of("Code: 252. DB::Exception: Too many parts (300)"), "busy");
        assert_eq!(kind_of("Code: 241"), "busy");
        assert_eq!(kind_of("Code: 516. DB::Exception: Authentication failed"), "refused");
        assert_eq!(kind_of("Code: 60. DB::Exception: Table does not exist"), "refused");
        assert_eq!(kind_of("403 Forbidden"), "refused");
        assert_eq!(kind_of("502 Bad Gateway"), "unreachable");
        assert_eq!(kind_of("<html>upstream away</html>"), "unreachable");
    }
}
