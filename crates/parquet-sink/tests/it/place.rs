//! The two places where files can be, and what is in them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use wattline_parquet_sink::{Bucket, BucketSettings, Folder, Store};

pub const ROW_GROUP_BYTES_MAX: usize = 256 * 1024;

pub struct Place {
    pub store: Store,
    /// A folder beside it; where it is a bucket, that of the files under way.
    pub aside: TempDir,
    inside: Inside,
}

enum Inside {
    Folder(TempDir),
    Bucket(Arc<InMemory>, Runtime),
}

impl Place {
    /// The same for a folder and for a bucket.
    pub fn each(test: impl Fn(&Place)) {
        for place in [Place::folder(), Place::bucket(true), Place::bucket(false)] {
            test(&place);
        }
    }

    fn folder() -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("made/by/the/sink"));
        let store = Store::Folder(folder.with_row_group_bytes_max(ROW_GROUP_BYTES_MAX));
        Place { store, aside: tempfile::tempdir().unwrap(), inside: Inside::Folder(root) }
    }

    pub fn bucket(has_conditional_put: bool) -> Self {
        let (aside, memory) = (tempfile::tempdir().unwrap(), Arc::new(InMemory::new()));
        let settings = BucketSettings {
            store: memory.clone(),
            url: "memory://bucket".into(),
            has_conditional_put,
            spool: aside.path().into(),
            row_group_bytes_max: ROW_GROUP_BYTES_MAX,
        };
        let store = Store::Bucket(Bucket::new(settings).unwrap());
        let runtime = Builder::new_current_thread().build().unwrap();
        Place { store, aside, inside: Inside::Bucket(memory, runtime) }
    }

    /// All that is there, by the names from the root on.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        match &self.inside {
            Inside::Folder(root) => walk(&root.path().join("made/by/the/sink"), "", &mut names),
            Inside::Bucket(memory, runtime) => {
                let listed = memory.list(None).map_ok(|object| object.location.to_string());
                names = runtime.block_on(listed.try_collect()).unwrap();
            }
        }
        names.sort();
        names
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        match &self.inside {
            Inside::Folder(root) => fs::read(root.path().join("made/by/the/sink").join(name)).unwrap(),
            Inside::Bucket(memory, runtime) => {
                let read = async { memory.get(&name.into()).await?.bytes().await };
                runtime.block_on(read).unwrap().to_vec()
            }
        }
    }
}

fn walk(folder: &Path, below: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        let name = format!("{below}{}", name.to_str().unwrap());
        if path.is_dir() { walk(&path, &format!("{name}/"), found) } else { found.push(name) }
    }
}
