//! Another folder in the place of the one that is read: written aside, then exchanged as a whole.
//!
//! ```text
//! <root>                    what readers see
//! <root>.rebuild            the new one, until it takes the place
//! <root>.before_rebuild     the old one, afterwards
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, RenameFlags, StatxAttributes, StatxFlags, renameat_with, statx};
use rustix::io::Errno;

use crate::error::ParquetSinkError;
use crate::folder::{Folder, remove_if_there};

/// Lies in a new folder that is whole, and tells it from the old one, wherever either of them stands.
const SEAL: &str = ".rebuilt";

pub struct Replacement {
    root: PathBuf,
    new: PathBuf,
    before: PathBuf,
    row_group_bytes_max: usize,
}

impl Replacement {
    /// The names are those beside the folder itself: where its path is a link, the link stays as it is.
    pub fn of(folder: &Folder) -> Result<Self, ParquetSinkError> {
        let root = match fs::canonicalize(&folder.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(&folder.root),
            found => found,
        };
        let root = root.map_err(|error| ParquetSinkError::io("find", &folder.root, error))?;
        let beside = |suffix: &str| {
            let mut path = root.components().collect::<PathBuf>().into_os_string();
            path.push(suffix);
            PathBuf::from(path)
        };
        Ok(Replacement {
            new: beside(".rebuild"),
            before: beside(".before_rebuild"),
            root,
            row_group_bytes_max: folder.row_group_bytes_max,
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the old folder is kept afterwards.
    pub fn before(&self) -> &Path {
        &self.before
    }

    /// The folder is where a file system is mounted: it cannot be renamed, only what is in it can.
    pub fn is_mount_point(&self) -> bool {
        statx(CWD, &self.root, AtFlags::empty(), StatxFlags::empty())
            .is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
    }

    /// The new folder, empty: what an earlier attempt left in it goes.
    pub fn begin(&self) -> Result<Folder, ParquetSinkError> {
        match fs::remove_dir_all(&self.new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ParquetSinkError::io("remove", &self.new, error));
            }
            _ => {}
        }
        remove_if_there(&self.root.join(SEAL))?;
        fs::create_dir_all(&self.new).map_err(|error| ParquetSinkError::io("create", &self.new, error))?;
        Ok(Folder { root: self.new.clone(), row_group_bytes_max: self.row_group_bytes_max })
    }

    /// Says, on disk, that the new folder is whole.
    pub fn seal(&self) -> Result<(), ParquetSinkError> {
        let seal = self.new.join(SEAL);
        File::create(&seal)
            .and_then(|seal| seal.sync_all())
            .and_then(|()| File::open(&self.new)?.sync_all())
            .and_then(|()| self.sync_parent())
            .map_err(|error| ParquetSinkError::io("write", &seal, error))
    }

    /// Puts the sealed folder into its place and the old one aside. Cut short at any point, it is finished by
    /// another call. Readers see the old folder or the new one; on a file system that cannot exchange two
    /// folders in one step, they see none for a moment.
    pub fn exchange(&self) -> Result<(), ParquetSinkError> {
        if is_sealed(&self.new) && self.root.exists() && !self.swap()? {
            rename(&self.root, &self.before)?;
        }
        if is_sealed(&self.new) {
            rename(&self.new, &self.root)?;
        }
        // Where they were swapped, the old one stands there now.
        if self.new.exists() {
            rename(&self.new, &self.before)?;
        }
        self.sync_parent().map_err(|error| ParquetSinkError::io("sync", &self.root, error))?;
        remove_if_there(&self.root.join(SEAL))
    }

    /// False where the file system cannot.
    fn swap(&self) -> Result<bool, ParquetSinkError> {
        match renameat_with(CWD, &self.new, CWD, &self.root, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Ok(false),
            Err(error) => Err(ParquetSinkError::io("exchange", &self.root, error.into())),
        }
    }

    fn sync_parent(&self) -> io::Result<()> {
        File::open(self.root.parent().unwrap_or(&self.root))?.sync_all()
    }
}

fn is_sealed(folder: &Path) -> bool {
    folder.join(SEAL).exists()
}

fn rename(from: &Path, to: &Path) -> Result<(), ParquetSinkError> {
    fs::rename(from, to).map_err(|error| ParquetSinkError::io("rename", from, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        _folder: tempfile::TempDir,
        replacement: Replacement,
    }

    /// An old folder, and a new one that is whole.
    fn sealed() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("parquet");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("old"), "").unwrap();
        let replacement = Replacement::of(&Folder::new(&root)).unwrap();
        let new = replacement.begin().unwrap();
        fs::write(new.root.join("new"), "").unwrap();
        replacement.seal().unwrap();
        Place { _folder: folder, replacement }
    }

    #[track_caller]
    fn is_done(Replacement { root, new, before, .. }: &Replacement) {
        let names = |folder: &Path| -> Vec<String> {
            let entries = fs::read_dir(folder).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!((names(root), names(before)), (vec!["new".to_owned()], vec!["old".to_owned()]));
        assert!(!new.exists());
    }

    #[test]
    fn the_new_folder_takes_the_place_and_the_old_one_is_kept() {
        let Place { replacement, _folder } = sealed();
        assert!(!replacement.is_mount_point());
        replacement.exchange().unwrap();
        is_done(&replacement);
        replacement.exchange().unwrap();
        is_done(&replacement);
    }

    #[test]
    fn an_exchange_that_was_cut_short_is_finished() {
        let Place { replacement, _folder } = sealed();
        assert!(replacement.swap().unwrap());
        replacement.exchange().unwrap();
        is_done(&replacement);

        // A file system that cannot exchange, before and after its first step.
        let Place { replacement, _folder } = sealed();
        rename(&replacement.root, &replacement.before).unwrap();
        replacement.exchange().unwrap();
        is_done(&replacement);
    }

    #[test]
    fn what_is_not_sealed_takes_no_place() {
        let Place { replacement, _folder } = sealed();
        fs::write(replacement.new.join("half"), "").unwrap();
        let again = replacement.begin().unwrap();
        assert_eq!(fs::read_dir(&again.root).unwrap().count(), 0);
        assert!(replacement.root.join("old").exists());
    }
}
