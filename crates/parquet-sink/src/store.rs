//! Where the files are: a folder, or a bucket of an object store.

use std::fs::File;
use std::path::PathBuf;

use arrow_schema::SchemaRef;

use crate::bucket::Bucket;
use crate::error::ParquetSinkError;
use crate::folder::Folder;
use crate::name::{Kind, Origin, StoredRange};
use crate::part::PartFile;

#[derive(Clone, Debug)]
pub enum Store {
    Folder(Folder),
    Bucket(Bucket),
}

impl Store {
    /// Begins a file whose first record stands at `first_offset`. It is not visible until it is
    /// finished, and what is written of it goes when it is dropped.
    pub fn open(
        &self,
        kind: Kind,
        topic: &str,
        partition: i32,
        first_offset: i64,
        schema: SchemaRef,
    ) -> Result<PartFile, ParquetSinkError> {
        match self {
            Store::Folder(folder) => folder.open(kind, topic, partition, first_offset, schema),
            Store::Bucket(bucket) => {
                let origin = Origin { kind, topic: topic.to_owned(), partition, first: first_offset };
                PartFile::spooled(bucket, origin, schema)
            }
        }
    }

    /// Removes what a process that died left of a partition's files under way. In a bucket there is nothing
    /// to remove: what is under way is on the machine of its writer, without a name, and ends with it.
    pub fn sweep(&self, topic: &str, partition: i32) -> Result<usize, ParquetSinkError> {
        match self {
            Store::Folder(folder) => folder.sweep(topic, partition),
            Store::Bucket(_) => Ok(0),
        }
    }

    /// The finished files of a partition, by their names alone, in order of their offsets.
    pub fn ranges(
        &self,
        topic: &str,
        partition: i32,
        kind: Kind,
    ) -> Result<Vec<StoredRange>, ParquetSinkError> {
        match self {
            Store::Folder(folder) => folder.ranges(topic, partition, kind),
            Store::Bucket(bucket) => bucket.ranges(topic, partition, kind),
        }
    }

    /// Whether any file of a partition is there.
    pub fn holds(&self, topic: &str, partition: i32) -> Result<bool, ParquetSinkError> {
        for kind in Kind::ALL {
            if !self.ranges(topic, partition, kind)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A finished file, to be read.
    pub(crate) fn fetch(&self, name: &str) -> Result<File, ParquetSinkError> {
        match self {
            Store::Folder(_) => {
                let path = self.path(name);
                File::open(&path).map_err(|error| ParquetSinkError::io("open", &path, error))
            }
            Store::Bucket(bucket) => bucket.fetch(name),
        }
    }

    /// What messages call a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self {
            Store::Folder(folder) => folder.root.join(name),
            Store::Bucket(bucket) => bucket.shown(name).into(),
        }
    }
}
