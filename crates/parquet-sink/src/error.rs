//! What can go wrong with a file, told apart by what the caller has to do.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

/// After any of these a file under way is gone; its rows are to be written again from the start.
#[derive(Debug, thiserror::Error)]
pub enum ParquetSinkError {
    /// No room: waiting for somebody to make some may help.
    #[error("the disk is full: {}", path.display())]
    DiskFull {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The disk or the file system fails, or does not let us.
    #[error("cannot {doing} {}", path.display())]
    Io {
        doing: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The object store is away, does not let us, or fails.
    #[error("cannot {doing} {object}")]
    Store {
        doing: &'static str,
        object: String,
        #[source]
        source: object_store::Error,
    },
    /// The rows cannot be encoded, or the file is not one of ours.
    #[error("{}", path.display())]
    Format {
        path: PathBuf,
        #[source]
        source: ParquetError,
    },
}

impl ParquetSinkError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }

    /// An error of the Parquet library, whose cause may be the disk.
    pub(crate) fn parquet(doing: &'static str, path: &Path, error: ParquetError) -> Self {
        match error {
            ParquetError::External(cause) => match cause.downcast::<io::Error>() {
                Ok(cause) => Self::io(doing, path, *cause),
                Err(cause) => Self::Format { path: path.to_owned(), source: ParquetError::External(cause) },
            },
            error => Self::Format { path: path.to_owned(), source: error },
        }
    }

    /// A short name of the kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "disk_full",
            Self::Io { .. } => "io",
            Self::Store { .. } => "store",
            Self::Format { .. } => "format",
        }
    }
}
