//! Where the files of before are and where the new ones go, and how those take their place.

use std::sync::Arc;

use anyhow::{bail, ensure};
use tokio::task::spawn_blocking;
use tracing::warn;
use wattline_parquet_sink::{Folder, Move, Replacement, Store};

use crate::config::Config;

#[derive(Clone)]
pub(super) enum Place {
    /// A folder, which another one is exchanged for.
    Folder(Folder, Arc<Replacement>),
    /// A bucket: the new files stay where they are computed to, and the configuration has to name that.
    Bucket(Move),
}

impl Place {
    pub(super) fn new(config: &Config, into: Option<&str>) -> anyhow::Result<Self> {
        match (config.store()?, into) {
            (Store::Folder(folder), None) => {
                let replacement = Arc::new(Replacement::of(&folder)?);
                Ok(Place::Folder(folder, replacement))
            }
            (Store::Folder(_), Some(_)) => {
                bail!("--into is for a bucket: where parquet.dir is a folder, the new one takes its place")
            }
            (Store::Bucket(bucket), None) => bail!(
                "an object store cannot put the new files into the place of those in {} in one step: say with --into \
                 s3://bucket/prefix where they go, and name that in parquet.dir afterwards",
                bucket.url()
            ),
            (Store::Bucket(old), Some(into)) => {
                let new = if into.contains("://") { Some(config.store_at(into)?) } else { None };
                let Some(Store::Bucket(new)) = new else {
                    bail!("--into must be the URL of a bucket, as {} is", old.url())
                };
                let is_within =
                    |inner: &str, outer: &str| format!("{inner}/").starts_with(&format!("{outer}/"));
                ensure!(
                    !is_within(new.url(), old.url()) && !is_within(old.url(), new.url()),
                    "--into must be another place than {}, neither within it nor around it",
                    old.url()
                );
                Ok(Place::Bucket(Move { old, new }))
            }
        }
    }

    /// What is read.
    pub(super) fn old(&self) -> Store {
        match self {
            Place::Folder(folder, _) => Store::Folder(folder.clone()),
            Place::Bucket(moving) => Store::Bucket(moving.old.clone()),
        }
    }

    pub(super) async fn check(&self) -> anyhow::Result<()> {
        match self {
            Place::Folder(_, replacement) => {
                ensure!(
                    !replacement.before().exists(),
                    "the folder of before an earlier rebuild is still there; when nobody needs it, remove {}",
                    replacement.before().display()
                );
                ensure!(
                    !replacement.is_mount_point(),
                    "{} is where a file system is mounted, so that no other folder can take its place: move the files \
                     into a folder in it, and name that in parquet.dir",
                    replacement.root().display()
                );
                Ok(())
            }
            Place::Bucket(_) => refuse_moved(&self.old()).await,
        }
    }

    /// In words, what will become of tables and files.
    pub(super) fn plan(&self, database: &str, before: &str) -> String {
        match self {
            Place::Folder(_, replacement) => {
                let (root, old) = (replacement.root().display(), replacement.before().display());
                format!(
                    "put it in the place of the tables of {database} and of {root}, which are kept as {before} and {old}"
                )
            }
            Place::Bucket(Move { old, new }) => {
                let (old, new) = (old.url(), new.url());
                format!(
                    "put it in the place of the tables of {database}, which are kept as {before}, and into {new}; what \
                     is in {old} stays there"
                )
            }
        }
    }

    /// Where the new files go, empty: what an earlier attempt left there goes.
    pub(super) async fn begin(&self) -> anyhow::Result<Store> {
        match self.clone() {
            Place::Folder(_, replacement) => Ok(Store::Folder(replacement.begin()?)),
            Place::Bucket(moving) => {
                let new = moving.new.clone();
                let is_ready = spawn_blocking(move || moving.begin()).await??;
                ensure!(is_ready, "{} is not empty: say --into a place where nothing is", new.url());
                Ok(Store::Bucket(new))
            }
        }
    }

    pub(super) fn seal(&self) -> anyhow::Result<()> {
        match self {
            Place::Folder(_, replacement) => Ok(replacement.seal()?),
            // There is nothing else to say before the files are those that count.
            Place::Bucket(_) => Ok(()),
        }
    }

    /// Cut short at any point, it is finished by another call.
    pub(super) async fn exchange(&self) -> anyhow::Result<()> {
        match self.clone() {
            Place::Folder(_, replacement) => Ok(replacement.exchange()?),
            Place::Bucket(moving) => Ok(spawn_blocking(move || moving.finish()).await??),
        }
    }

    /// Whether an exchange that was cut short was one to here.
    pub(super) async fn check_cut_short(&self) -> anyhow::Result<()> {
        let Place::Bucket(moving) = self.clone() else { return Ok(()) };
        let url = moving.new.url().to_owned();
        let is_ours = spawn_blocking(move || {
            Ok::<_, anyhow::Error>(
                moving.has_begun()? || moving.old.moved_to()?.as_deref() == Some(moving.new.url()),
            )
        });
        ensure!(is_ours.await??, "the rebuild whose exchange was cut short did not go into {url}");
        Ok(())
    }

    /// What to do before the workers start, and what is kept.
    pub(super) fn afterwards(&self) -> (String, String) {
        match self {
            Place::Folder(_, replacement) => {
                ("start the workers".to_owned(), format!("rm -r {}", replacement.before().display()))
            }
            Place::Bucket(Move { old, new }) => (
                format!("set parquet.dir = \"{}\" for workers and audits, and start the workers", new.url()),
                format!("the objects in {}", old.url()),
            ),
        }
    }
}

/// Where a rebuild has put the files elsewhere, none is to be written to their old place, or looked for there. A
/// store that is away is no reason not to start.
pub async fn refuse_moved(store: &Store) -> anyhow::Result<()> {
    let Store::Bucket(bucket) = store.clone() else { return Ok(()) };
    let old = bucket.url().to_owned();
    match spawn_blocking(move || bucket.moved_to()).await? {
        Ok(Some(new)) => bail!("a rebuild has put the files of {old} into {new}: name that in parquet.dir"),
        Ok(None) => Ok(()),
        Err(cause) => {
            warn!(%cause, "cannot ask whether a rebuild has put the files elsewhere");
            Ok(())
        }
    }
}
