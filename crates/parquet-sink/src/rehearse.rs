//! What the folder allows, tried without rows.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::ParquetSinkError;
use crate::folder::{Folder, entries, file_name, remove_if_there};
use crate::name::{Kind, read_temporary};

/// Nothing that a sweep or a reader would take for one of its own.
const NAME: &str = ".rehearsal";

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub free_bytes: u64,
    pub total_bytes: u64,
}

impl Folder {
    pub fn is_there(&self) -> bool {
        self.root.is_dir()
    }

    /// Writes an empty file where those under way are and moves it to where finished ones are, as a file of rows
    /// is; it does not stay. The folder has to be there.
    pub fn rehearse(&self) -> Result<(), ParquetSinkError> {
        let aside = self.temporary();
        fs::create_dir_all(&aside).map_err(|error| ParquetSinkError::io("create", &aside, error))?;
        let from = aside.join(format!("{NAME}-{}", std::process::id()));
        for folder in self.ends() {
            let to = folder.join(format!("{NAME}-{}", std::process::id()));
            fs::write(&from, []).map_err(|error| ParquetSinkError::io("create", &from, error))?;
            let moved =
                fs::rename(&from, &to).map_err(|error| ParquetSinkError::io("move a file to", &to, error));
            remove_if_there(&from)?;
            remove_if_there(&to)?;
            moved?;
        }
        Ok(())
    }

    /// The folders that finished files go to, as far as they are there; a link may lead each of them elsewhere.
    fn ends(&self) -> Vec<PathBuf> {
        let kinds = Kind::ALL.map(|kind| self.root.join(format!("kind={kind}")));
        let there: Vec<PathBuf> = kinds.into_iter().filter(|kind| kind.is_dir()).collect();
        if there.is_empty() { vec![self.root.clone()] } else { there }
    }

    pub fn space(&self) -> Result<Space, ParquetSinkError> {
        let state = rustix::fs::statvfs(&self.root)
            .map_err(|error| ParquetSinkError::io("ask for the room at", &self.root, error.into()))?;
        Ok(Space {
            free_bytes: state.f_bavail.saturating_mul(state.f_frsize),
            total_bytes: state.f_blocks.saturating_mul(state.f_frsize),
        })
    }

    /// Temporary files that nobody has written to for so long.
    pub fn left_over(&self, unwritten_for: Duration) -> Result<Vec<PathBuf>, ParquetSinkError> {
        let mut files = entries(&self.temporary())?;
        files.retain(|path| {
            let written = fs::metadata(path).and_then(|metadata| metadata.modified());
            // One that is gone by now was no leftover.
            let age = written.ok().and_then(|written| written.elapsed().ok());
            file_name(path).and_then(read_temporary).is_some() && age.is_some_and(|age| age >= unwritten_for)
        });
        Ok(files)
    }
}
