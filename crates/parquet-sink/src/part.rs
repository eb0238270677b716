//! A file under way: written aside, synced, and renamed into its place; or put into an object store.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use jiff::civil::Date;
use parquet::file::metadata::KeyValue;

use crate::bucket::Bucket;
use crate::encode::{Encoder, FORMAT_VERSION};
use crate::error::ParquetSinkError;
use crate::folder::{Folder, remove_if_there};
use crate::metrics;
use crate::name::{Kind, Origin};

/// A file that is being written. After an error it is of no use: drop it and begin anew.
pub struct PartFile {
    origin: Origin,
    rows: u64,
    writer: Encoder,
    end: End,
}

/// Where the file goes to, and where it is until then.
enum End {
    Folder { root: PathBuf, temporary: Temporary },
    Bucket(Bucket),
}

impl End {
    /// What is being written.
    fn path(&self) -> &Path {
        match self {
            End::Folder { temporary, .. } => &temporary.path,
            End::Bucket(bucket) => bucket.spool(),
        }
    }
}

/// A file in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedFile {
    /// From the root on.
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
}

/// The temporary file, removed when its writer goes.
struct Temporary {
    path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // A renamed file is not here any more; any other failure is made good by the next sweep.
        if let Err(error) = remove_if_there(&self.path) {
            tracing::warn!(%error, "a temporary file stays behind");
        }
    }
}

impl PartFile {
    pub(crate) fn create(
        folder: &Folder,
        origin: Origin,
        schema: SchemaRef,
    ) -> Result<Self, ParquetSinkError> {
        counted(|| {
            let aside = folder.temporary();
            if !aside.is_dir() {
                fs::create_dir_all(&aside)
                    .and_then(|()| sync_parent(&folder.root))
                    .map_err(|error| ParquetSinkError::io("create", &aside, error))?;
            }
            let path = aside.join(origin.temporary_name(&unique()));
            let file =
                File::create_new(&path).map_err(|error| ParquetSinkError::io("create", &path, error))?;
            let end = End::Folder { root: folder.root.clone(), temporary: Temporary { path } };
            Self::over(folder.row_group_bytes_max, origin, schema, file, end)
        })
    }

    pub(crate) fn spooled(
        bucket: &Bucket,
        origin: Origin,
        schema: SchemaRef,
    ) -> Result<Self, ParquetSinkError> {
        counted(|| {
            let file = bucket.nameless()?;
            Self::over(bucket.row_group_bytes_max(), origin, schema, file, End::Bucket(bucket.clone()))
        })
    }

    fn over(
        row_group_bytes_max: usize,
        origin: Origin,
        schema: SchemaRef,
        file: File,
        end: End,
    ) -> Result<Self, ParquetSinkError> {
        let writer = Encoder::new(file, schema, row_group_bytes_max)
            .map_err(|error| ParquetSinkError::parquet("begin", end.path(), error))?;
        Ok(Self { origin, rows: 0, writer, end })
    }

    /// Adds rows.
    pub fn append(&mut self, batch: &RecordBatch) -> Result<(), ParquetSinkError> {
        counted(|| {
            self.rows += batch.num_rows() as u64;
            let path = self.end.path();
            self.writer.append(batch).map_err(|error| ParquetSinkError::parquet("write", path, error))
        })
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Encoded size so far, on disk and in memory: what decides when the file is large enough.
    pub fn bytes(&self) -> usize {
        self.writer.bytes()
    }

    /// Memory held for this file.
    pub fn memory_bytes(&self) -> usize {
        self.writer.memory_bytes()
    }

    /// Puts the file into its place, on disk before it is visible. `day` is the UTC day on which
    /// the first record of the range was received, so that another attempt takes the same place.
    /// A file that is there already holds the same rows, and stays.
    pub fn finish(self, last_offset: i64, day: Date) -> Result<FinishedFile, ParquetSinkError> {
        counted(|| self.seal(last_offset)?.publish(day))
    }

    /// Drops what was written.
    pub fn discard(self) {}

    /// Writes the footer, and waits until the disk has everything where the file stays on it.
    fn seal(mut self, last_offset: i64) -> Result<Sealed, ParquetSinkError> {
        let began = Instant::now();
        let Origin { topic, partition, first, kind } = &self.origin;
        let metadata = [
            ("wattline.format", FORMAT_VERSION.to_owned()),
            ("wattline.kind", kind.to_string()),
            ("wattline.topic", topic.clone()),
            ("wattline.partition", partition.to_string()),
            ("wattline.first_offset", first.to_string()),
            ("wattline.last_offset", last_offset.to_string()),
        ]
        .map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let path = self.end.path();
        let file = self
            .writer
            .finish(metadata.into())
            .map_err(|error| ParquetSinkError::parquet("finish", path, error))?;
        if let End::Folder { .. } = self.end {
            file.sync_all().map_err(|error| ParquetSinkError::io("sync", path, error))?;
        }
        let bytes = file.metadata().map_err(|error| ParquetSinkError::io("read", path, error))?.len();
        Ok(Sealed {
            last: last_offset,
            origin: self.origin,
            rows: self.rows,
            bytes,
            began,
            writer: self.writer,
            end: self.end,
        })
    }
}

/// A whole file that nobody sees yet.
struct Sealed {
    origin: Origin,
    last: i64,
    rows: u64,
    bytes: u64,
    began: Instant,
    writer: Encoder,
    end: End,
}

impl Sealed {
    fn publish(self, day: Date) -> Result<FinishedFile, ParquetSinkError> {
        let kind = self.origin.kind;
        let name = self.origin.place(self.last, day);
        let there = match &self.end {
            End::Folder { root, temporary } => {
                move_into(root, &temporary.path, kind, day, &self.origin.finished_name(self.last))?
            }
            End::Bucket(bucket) => bucket.put(&name, self.writer.file(), self.bytes)?,
        };
        match there {
            Some(_) => metrics::file_kept(kind),
            None => metrics::file_finished(kind, self.rows, self.bytes, self.began.elapsed()),
        }
        Ok(FinishedFile { name, rows: self.rows, bytes: there.unwrap_or(self.bytes) })
    }
}

/// Renames a file into its place; where one is there already, it stays, and this is its size.
fn move_into(
    root: &Path,
    temporary: &Path,
    kind: Kind,
    day: Date,
    name: &str,
) -> Result<Option<u64>, ParquetSinkError> {
    let folder = durable_folder(root, &[format!("kind={kind}"), format!("day={day}")])?;
    let path = folder.join(name);
    if let Ok(there) = fs::metadata(&path) {
        // It may have been renamed by a process that died before its folder was synced.
        sync_folder(&folder)?;
        return Ok(Some(there.len()));
    }
    wattline_failpoint::pass("parquet-sealed");
    fs::rename(temporary, &path).map_err(|error| ParquetSinkError::io("rename to", &path, error))?;
    sync_folder(&folder)?;
    Ok(None)
}

/// Makes folders one within the other, and has the disk know each before the next.
fn durable_folder(root: &Path, names: &[String]) -> Result<PathBuf, ParquetSinkError> {
    let mut folder = root.to_owned();
    for name in names {
        let parent = folder.clone();
        folder.push(name);
        match fs::create_dir(&folder) {
            Ok(()) => sync_folder(&parent)?,
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(ParquetSinkError::io("create", &folder, error)),
        }
    }
    Ok(folder)
}

fn sync_folder(folder: &Path) -> Result<(), ParquetSinkError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| ParquetSinkError::io("sync", folder, error))
}

/// A root that is new must not vanish with all that is in it.
fn sync_parent(root: &Path) -> std::io::Result<()> {
    File::open(root.canonicalize()?.parent().unwrap_or(root))?.sync_all()
}

/// Differs between processes and hosts that write to one folder, and within a process.
fn unique() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn counted<T>(work: impl FnOnce() -> Result<T, ParquetSinkError>) -> Result<T, ParquetSinkError> {
    work().inspect_err(metrics::failed)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    /// A file on Linux's disk that is always full.
    #[test]
    fn a_full_disk_says_so() {
        let root = tempfile::tempdir().unwrap();
        let schema = Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, false)]));
        // Differences that differ, so that no encoding shrinks them.
        let noise = |n: i64| n.wrapping_pow(3).wrapping_mul(0x1E37_79B9_7F4A_7C15);
        let noise = Int64Array::from_iter_values((0..100_000).map(noise));
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(noise)]).unwrap();
        let origin = Origin { kind: Kind::Readings, topic: "t".into(), partition: 0, first: 0 };
        let full = File::options().write(true).open("/dev/full").unwrap();
        let end =
            End::Folder { root: root.path().into(), temporary: Temporary { path: root.path().join("none") } };
        let mut part = PartFile::over(1_024, origin, schema, full, end).unwrap();
        let error = part.append(&batch).unwrap_err();
        assert_eq!(error.kind(), "disk_full", "{error:?}");
    }

    /// Dead after the sync and before the rename: nothing is visible, and a new attempt succeeds.
    #[test]
    fn a_sealed_file_is_not_visible() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path());
        let schema = Arc::new(Schema::new(vec![Field::new("_offset", DataType::Int64, false)]));
        let batch =
            RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let sealed = || {
            let mut part = folder.open(Kind::Readings, "t", 0, 1, schema.clone()).unwrap();
            part.append(&batch).unwrap();
            part.seal(2).unwrap()
        };
        std::mem::forget(sealed());
        assert_eq!(folder.ranges("t", 0, Kind::Readings).unwrap(), []);
        assert_eq!(folder.sweep("t", 0).unwrap(), 1);
        let finished = sealed().publish(jiff::civil::date(2026, 11, 24)).unwrap();
        assert_eq!(folder.ranges("t", 0, Kind::Readings).unwrap()[0].name, finished.name);
        assert_eq!(folder.sweep("t", 0).unwrap(), 0);
    }
}
