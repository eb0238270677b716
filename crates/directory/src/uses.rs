//! When tokens were last used, gathered in memory and noted in the directory now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use wattline_auth::KeyId;

use crate::database::Directory;

/// The latest use of each token since the last flush.
///
/// It holds at most one entry for each active token: note a use after the token was authenticated.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<KeyId, i64>>);

impl Uses {
    /// Notes a use, in seconds since 1970.
    pub fn note(&self, key_id: KeyId, used_at_s: i64) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = uses.entry(key_id).or_insert(used_at_s);
        *latest = used_at_s.max(*latest);
    }

    /// Writes what was gathered. What cannot be written is gathered again.
    pub async fn flush(&self, directory: &Directory) -> anyhow::Result<()> {
        let uses = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if uses.is_empty() {
            return Ok(());
        }
        let uses: Vec<_> = uses.into_iter().collect();
        let written = directory.touch_tokens(&uses).await;
        if written.is_err() {
            uses.into_iter().for_each(|(key_id, used_at_s)| self.note(key_id, used_at_s));
        }
        written
    }
}
