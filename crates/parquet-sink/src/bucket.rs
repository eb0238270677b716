//! The bucket: objects that are put whole, and once.
//!
//! Rows gather in a file of this machine that has no name, so that memory does not grow with it and nothing
//! is left of it when its writer dies. A finished file becomes one object by one request, which the store
//! refuses where the object is there already.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use futures_util::TryStreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};

use crate::error::ParquetSinkError;
use crate::name::{Kind, StoredRange};

/// Memory for files that are being put, over all partitions. A larger file is put alone.
const PUT_MIB_MAX: u32 = 256;
/// What is asked for at once when an object is read.
const FETCH_BYTES: u64 = 8 << 20;

/// The store, whose root is the root of the files.
pub struct BucketSettings {
    pub store: Arc<dyn ObjectStore>,
    /// What messages call it: its URL.
    pub url: String,
    /// Whether the store refuses to put an object that is there, when it is asked to.
    pub has_conditional_put: bool,
    /// The folder for files under way, and for those that are read.
    pub spool: PathBuf,
    pub row_group_bytes_max: usize,
}

#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    settings: BucketSettings,
    /// Connections live on a runtime of their own, as the calls block and the runtime of the caller may end
    /// before they do.
    runtime: Handle,
    puts: Semaphore,
    /// Ends the runtime's thread when the last user of the bucket goes.
    _until_dropped: oneshot::Sender<()>,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.0.settings.url).finish()
    }
}

impl Bucket {
    pub fn new(settings: BucketSettings) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel::<()>();
        thread::Builder::new().name("bucket".into()).spawn(move || {
            // An error is what it waits for: the sender is gone.
            let _ = runtime.block_on(dropped);
        })?;
        Ok(Bucket(Arc::new(Inner {
            settings,
            runtime: handle,
            puts: Semaphore::new(PUT_MIB_MAX as usize),
            _until_dropped: until_dropped,
        })))
    }

    pub fn url(&self) -> &str {
        &self.0.settings.url
    }

    pub(crate) fn store(&self) -> &dyn ObjectStore {
        self.0.settings.store.as_ref()
    }

    pub(crate) fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(answer)
    }

    pub(crate) fn spool(&self) -> &Path {
        &self.0.settings.spool
    }

    pub(crate) fn row_group_bytes_max(&self) -> usize {
        self.0.settings.row_group_bytes_max
    }

    pub(crate) fn shown(&self, name: &str) -> String {
        format!("{}/{name}", self.url())
    }

    /// A file that nobody else sees, and that goes when it is closed.
    pub(crate) fn nameless(&self) -> Result<File, ParquetSinkError> {
        let spool = self.spool();
        tempfile::tempfile_in(spool).map_err(|error| ParquetSinkError::io("create a file in", spool, error))
    }

    /// Puts a whole file; where the object is there already, it stays, and this is its size.
    pub(crate) fn put(&self, name: &str, file: &File, bytes: u64) -> Result<Option<u64>, ParquetSinkError> {
        wattline_failpoint::pass("parquet-sealed");
        let mib = u32::try_from(bytes >> 20).unwrap_or(PUT_MIB_MAX).saturating_add(1).min(PUT_MIB_MAX);
        // Nobody closes it.
        let _room = self.wait(self.0.puts.acquire_many(mib));
        let payload = self.read_whole(file, bytes)?;
        let path = ObjectPath::from(name);
        self.0
            .runtime
            .block_on(self.put_once(&path, payload))
            .map_err(|source| self.error("put", name, source))
    }

    fn read_whole(&self, mut file: &File, bytes: u64) -> Result<PutPayload, ParquetSinkError> {
        let mut whole = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_end(&mut whole))
            .map_err(|error| ParquetSinkError::io("read a file in", self.spool(), error))?;
        Ok(whole.into())
    }

    async fn put_once(&self, path: &ObjectPath, payload: PutPayload) -> Result<Option<u64>, Error> {
        let BucketSettings { store, has_conditional_put, .. } = &self.0.settings;
        if *has_conditional_put {
            return match store.put_opts(path, payload, PutMode::Create.into()).await {
                Ok(_) => Ok(None),
                // A conflict says the same while another put is under way, and that one may fail.
                Err(Error::AlreadyExists { .. }) => Ok(Some(store.head(path).await?.size)),
                Err(error) => Err(error),
            };
        }
        match store.head(path).await {
            Ok(there) => Ok(Some(there.size)),
            Err(Error::NotFound { .. }) => store.put(path, payload).await.map(|_| None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn ranges(
        &self,
        topic: &str,
        partition: i32,
        kind: Kind,
    ) -> Result<Vec<StoredRange>, ParquetSinkError> {
        let folder = format!("kind={kind}");
        let prefix = ObjectPath::from(folder.as_str());
        let listed = async {
            let mut ranges = Vec::new();
            let mut objects = self.store().list(Some(&prefix));
            while let Some(object) = objects.try_next().await? {
                ranges.extend(StoredRange::of(object.location.as_ref(), topic, partition));
            }
            Ok(ranges)
        };
        let mut ranges = self.wait(listed).map_err(|source| self.error("list", &folder, source))?;
        ranges.sort_unstable_by_key(|range| (range.first, range.last));
        Ok(ranges)
    }

    /// A copy of an object on this machine.
    pub(crate) fn fetch(&self, name: &str) -> Result<File, ParquetSinkError> {
        let (store, path) = (self.store(), ObjectPath::from(name));
        let failed = |source| self.error("read", name, source);
        let mut file = self.nameless()?;
        let size = self.wait(store.head(&path)).map_err(failed)?.size;
        let mut at = 0;
        while at < size {
            let range = at..size.min(at + FETCH_BYTES);
            at = range.end;
            let bytes = self.wait(store.get_range(&path, range)).map_err(failed)?;
            file.write_all(&bytes)
                .map_err(|error| ParquetSinkError::io("write a file in", self.spool(), error))?;
        }
        file.seek(SeekFrom::Start(0))
            .map_err(|error| ParquetSinkError::io("read a file in", self.spool(), error))?;
        Ok(file)
    }

    /// Whether files under way have a place.
    pub fn spool_is_usable(&self) -> Result<(), ParquetSinkError> {
        self.nameless().map(drop)
    }

    /// Puts, lists, reads and deletes an object that no reader takes for one of its own, as the worker and the
    /// audit do with theirs. False where the store puts an object over one that is there, though it was asked
    /// not to.
    pub fn rehearse(&self) -> Result<bool, ParquetSinkError> {
        let name = format!("kind={}/.rehearsal-{}", Kind::Intervals, std::process::id());
        let path = ObjectPath::from(name.as_str());
        let failed = |doing| move |source| (doing, source);
        let rehearsed = async {
            let store = self.store();
            self.put_once(&path, "rehearsal".into()).await.map_err(failed("put"))?;
            let refuses = self.put_once(&path, "another".into()).await.map_err(failed("put"))?.is_some();
            let prefix = ObjectPath::from(format!("kind={}", Kind::Intervals));
            store.list(Some(&prefix)).try_next().await.map_err(failed("list"))?;
            store.get_range(&path, 0..1).await.map_err(failed("read"))?;
            store.delete(&path).await.map_err(failed("delete"))?;
            Ok(refuses)
        };
        self.wait(rehearsed).map_err(|(doing, source)| self.error(doing, &name, source))
    }

    pub(crate) fn error(&self, doing: &'static str, name: &str, source: Error) -> ParquetSinkError {
        ParquetSinkError::Store { doing, object: self.shown(name), source }
    }
}
