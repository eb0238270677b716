use serde_json::{Value, json};
use wattline_directory::api::Site;
use wattline_directory::{Directory, SITES_PAGE_MAX};

use super::clients;
use super::print::{List, Row, time};
use crate::arguments::SiteCommand;

struct SiteRow {
    client: String,
    site: Site,
}

pub(super) async fn run(directory: &Directory, command: SiteCommand) -> anyhow::Result<()> {
    let SiteCommand::List { client, json } = command;
    let mut of = Vec::new();
    match client {
        Some(name) => of.push((clients::index(directory, &name).await?, name)),
        None => {
            for client in directory.list_clients().await? {
                of.push((clients::index(directory, &client.id).await?, client.id));
            }
        }
    }
    let mut list = List::begin(json)?;
    for (index, client) in of {
        let mut skip = 0;
        loop {
            let page = directory.sites(index, skip, SITES_PAGE_MAX).await?;
            let is_last = page.len() < SITES_PAGE_MAX as usize;
            for site in page {
                list.row(&SiteRow { client: client.clone(), site })?;
            }
            if is_last {
                break;
            }
            skip += SITES_PAGE_MAX;
        }
    }
    list.end()?;
    Ok(())
}

/// The table leaves out who lives there; JSON has all that the API has of a site.
impl Row for SiteRow {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("CLIENT", 20), ("SITE", 32), ("STATE", 6), ("CREATED", 22), ("UPDATED", 22)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.client.clone(),
            self.site.id.clone(),
            self.site.details.get("state_code").unwrap_or("-").to_owned(),
            time(Some(self.site.created_at)),
            time(Some(self.site.updated_at)),
        ]
    }

    fn json(&self) -> Value {
        let mut row = json!(self.site);
        row["client"] = self.client.as_str().into();
        row
    }
}
