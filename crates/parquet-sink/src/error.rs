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

    /// What the object store answered, where it refused by a status that says why.
    pub fn refusal(&self) -> Option<Refusal> {
        use object_store::Error;
        match self {
            Self::Store { source: Error::NotFound { .. }, .. } => Some(Refusal::NotFound),
            Self::Store {
                source: Error::PermissionDenied { .. } | Error::Unauthenticated { .. }, ..
            } => Some(Refusal::NotAllowed),
            _ => None,
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

/// Why an object store refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such bucket or object.
    NotFound,
    /// Who we are is not known there, or may not do it.
    NotAllowed,
}

#[cfg(test)]
mod tests {
    use object_store::Error;

    use super::*;

    #[test]
    fn a_store_refuses_by_its_status_and_not_by_what_its_words_contain() {
        let refusal =
            |source| ParquetSinkError::Store { doing: "put", object: "s3://b/a".into(), source }.refusal();
        let (path, source) = (String::new(), "nothing there".into());
        assert_eq!(refusal(Error::NotFound { path, source }), Some(Refusal::NotFound));
        let (path, source) = (String::new(), "not yours".into());
        assert_eq!(refusal(Error::PermissionDenied { path, source }), Some(Refusal::NotAllowed));
        let (path, source) = (String::new(), "who are you".into());
        assert_eq!(refusal(Error::Unauthenticated { path, source }), Some(Refusal::NotAllowed));
        let away = "PUT https://localhost:4040/ in 764.940124ms: connection refused".into();
        assert_eq!(refusal(Error::Generic { store: "S3", source: away }), None);
    }
}
