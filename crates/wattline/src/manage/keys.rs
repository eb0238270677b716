use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use wattline_directory::{Directory, SigningKeyRow};

use super::print::{self, Row, json_time, time};
use crate::arguments::KeyCommand;
use crate::config::Auth;

pub(super) async fn run(directory: &Directory, auth: &Auth, command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::List { json } => print::list(&directory.list_signing_keys().await?, json)?,
        KeyCommand::Rotate { json } => rotate(directory, auth, json).await?,
    }
    Ok(())
}

async fn rotate(directory: &Directory, auth: &Auth, as_json: bool) -> anyhow::Result<()> {
    let key_id = directory.rotate_signing_key(&auth.pepper()?).await?;
    let keys = directory.list_signing_keys().await?;
    let new = keys.iter().find(|key| key.seed.id == key_id).context("the new signing key is gone")?;
    let before_ends_at = keys.iter().filter_map(|key| key.retires_at).max();
    let json = json!({
        "key_id": key_id.as_str(),
        "signs_from": json_time(Some(signs_from(new))),
        "keys_before_end_at": json_time(before_ends_at),
    });
    print::result(key_id.as_str(), &json, as_json)?;
    print::say(format_args!("The key {key_id} signs from {}.", time(Some(signs_from(new)))))?;
    if let Some(at) = before_ends_at {
        print::say(format_args!("Site tokens of the keys before it are taken until {at:.0}."))?;
    }
    Ok(())
}

/// The first key of a directory signs from the moment it is there.
fn signs_from(key: &SigningKeyRow) -> Timestamp {
    key.signs_from.max(key.created_at)
}

impl Row for SigningKeyRow {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("KEY ID", 12), ("PEPPER", 8), ("CREATED", 22), ("SIGNS FROM", 22), ("ENDS", 22)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.seed.id.to_string(),
            self.seed.pepper_version.to_string(),
            time(Some(self.created_at)),
            time(Some(signs_from(self))),
            time(self.retires_at),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "key_id": self.seed.id.as_str(),
            "pepper_version": self.seed.pepper_version,
            "created_at": json_time(Some(self.created_at)),
            "signs_from": json_time(Some(signs_from(self))),
            "ends_at": json_time(self.retires_at),
        })
    }
}
