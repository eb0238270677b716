//! Another place in a store for the files, where the one that is written to has been. A store cannot exchange
//! two places; so the new one has a name of its own, and the old one says where the files are now.
//!
//! ```text
//! <new>/.rebuild    while the files of the new place are not yet those that count
//! <old>/.moved      afterwards: the URL of the new place
//! ```

use futures_util::TryStreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStoreExt as _};

use crate::bucket::Bucket;
use crate::error::ParquetSinkError;

const BEGUN: &str = ".rebuild";
const MOVED: &str = ".moved";

#[derive(Clone, Debug)]
pub struct Move {
    pub old: Bucket,
    pub new: Bucket,
}

impl Move {
    /// Makes the new place ready: what an earlier attempt left in it goes. False where there is anything else,
    /// which stays.
    pub fn begin(&self) -> Result<bool, ParquetSinkError> {
        let new = &self.new;
        let begun = ObjectPath::from(BEGUN);
        let clearing = async {
            let store = new.store();
            let is_ours = match store.head(&begun).await {
                Ok(_) => true,
                Err(Error::NotFound { .. }) => false,
                Err(error) => return Err(error),
            };
            let mut objects = store.list(None);
            while let Some(object) = objects.try_next().await? {
                if !is_ours {
                    return Ok(false);
                }
                if object.location != begun {
                    store.delete(&object.location).await?;
                }
            }
            store.put(&begun, "".into()).await?;
            Ok(true)
        };
        new.wait(clearing).map_err(|source| new.error("make ready", "", source))
    }

    /// Whether the new place was made ready, and is not yet where the files are.
    pub fn has_begun(&self) -> Result<bool, ParquetSinkError> {
        Ok(self.new.text(BEGUN)?.is_some())
    }

    /// Says in the old place where the files are now. It may be said again.
    pub fn finish(&self) -> Result<(), ParquetSinkError> {
        let (old, new) = (&self.old, &self.new);
        let said = old.wait(old.store().put(&MOVED.into(), new.url().to_owned().into()));
        said.map_err(|source| old.error("put", MOVED, source))?;
        let ended = new.wait(new.store().delete(&BEGUN.into()));
        match ended {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(new.error("delete", BEGUN, source)),
        }
    }
}

impl Bucket {
    /// Where the files are now, if they are not here any more.
    pub fn moved_to(&self) -> Result<Option<String>, ParquetSinkError> {
        self.text(MOVED)
    }

    /// A small object as text; none where there is no such object.
    fn text(&self, name: &str) -> Result<Option<String>, ParquetSinkError> {
        let read = self.wait(async { self.store().get(&name.into()).await?.bytes().await });
        match read {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.error("read", name, source)),
        }
    }
}
