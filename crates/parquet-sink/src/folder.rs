//! The folder: opening files in it, clearing what was left over, listing what is there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrow_schema::SchemaRef;

use crate::error::ParquetSinkError;
use crate::name::{Kind, Origin, StoredRange, read_temporary};
use crate::part::PartFile;

/// Encoded bytes of a row group, some 150,000 rows. Twice as much memory is held for each file under
/// way, and larger row groups hardly compress better.
pub(crate) const ROW_GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The root of all Parquet files.
#[derive(Clone, Debug)]
pub struct Folder {
    pub(crate) root: PathBuf,
    pub(crate) row_group_bytes_max: usize,
}

impl Folder {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), row_group_bytes_max: ROW_GROUP_BYTES_MAX }
    }

    /// Smaller row groups hold less memory and compress a little less.
    pub fn with_row_group_bytes_max(self, row_group_bytes_max: usize) -> Self {
        Self { row_group_bytes_max, ..self }
    }

    /// Begins a file whose first record stands at `first_offset`. It is not visible until it is
    /// finished, and its temporary file goes when it is dropped.
    pub fn open(
        &self,
        kind: Kind,
        topic: &str,
        partition: i32,
        first_offset: i64,
        schema: SchemaRef,
    ) -> Result<PartFile, ParquetSinkError> {
        let origin = Origin { kind, topic: topic.to_owned(), partition, first: first_offset };
        PartFile::create(self, origin, schema)
    }

    /// Removes the temporary files of a partition, left over by a process that died. To be called
    /// when the partition is assigned, before its first file is opened.
    pub fn sweep(&self, topic: &str, partition: i32) -> Result<usize, ParquetSinkError> {
        let mut removed = 0;
        for path in entries(&self.temporary())? {
            if file_name(&path).and_then(read_temporary) == Some((topic, partition)) {
                remove_if_there(&path)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The finished files of a partition, by their names alone, in order of their offsets.
    pub fn ranges(
        &self,
        topic: &str,
        partition: i32,
        kind: Kind,
    ) -> Result<Vec<StoredRange>, ParquetSinkError> {
        let mut ranges = Vec::new();
        for day in entries(&self.root.join(format!("kind={kind}")))? {
            for path in entries(&day)? {
                let name = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                ranges.extend(name.and_then(|name| StoredRange::of(name, topic, partition)));
            }
        }
        ranges.sort_unstable_by_key(|range| (range.first, range.last));
        Ok(ranges)
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join(".tmp")
    }
}

/// What lies in a folder; nothing when there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, ParquetSinkError> {
    let listed = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    };
    listed.map_err(|error| ParquetSinkError::io("list", folder, error))
}

pub(crate) fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// Another process may remove it at the same moment, which is as good.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), ParquetSinkError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ParquetSinkError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}
