use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use wattline_directory::{ClientRow, Directory};

use super::print::{self, Row, json_time, time};
use crate::arguments::ClientCommand;

pub(super) async fn run(directory: &Directory, command: ClientCommand) -> anyhow::Result<()> {
    match command {
        ClientCommand::Create { name, json } => {
            if !directory.create_client(&name).await? {
                bail!("there is a client {name} already");
            }
            print::result(&name, &json!({ "client": name }), json)?;
        }
        ClientCommand::List { json } => print::list(&directory.list_clients().await?, json)?,
    }
    Ok(())
}

/// The number of a client that has to be there.
pub(super) async fn index(directory: &Directory, name: &str) -> anyhow::Result<u32> {
    directory.client_index(name).await?.with_context(|| format!("there is no client {name}"))
}

impl Row for ClientRow {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("CLIENT", 24), ("CREATED", 22), ("ACTIVE TOKENS", 14), ("SITES", 10), ("DEVICES", 10)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            time(Some(self.created_at)),
            self.active_tokens.to_string(),
            self.sites.to_string(),
            self.devices.to_string(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "client": self.id,
            "created_at": json_time(Some(self.created_at)),
            "active_tokens": self.active_tokens,
            "sites": self.sites,
            "devices": self.devices,
        })
    }
}
