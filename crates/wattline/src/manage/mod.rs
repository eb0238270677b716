//! Clients, tokens, signing keys, sites and devices by hand.
//!
//! What a script wants stands alone on standard output; what is said to a person besides goes to standard
//! error.

mod clients;
mod devices;
mod keys;
mod print;
mod sites;
mod tokens;

use wattline_directory::Directory;

use crate::arguments::{ClientCommand, DevicesCommand, KeyCommand, SiteCommand, TokenCommand};
use crate::config::Config;

/// What is managed, and what is to be done.
pub enum Manage {
    Client(ClientCommand),
    Token(TokenCommand),
    Key(KeyCommand),
    Site(SiteCommand),
    Devices(DevicesCommand),
}

pub async fn run(config: Config, what: Manage) -> anyhow::Result<()> {
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    match what {
        Manage::Client(command) => clients::run(&directory, command).await?,
        Manage::Token(command) => tokens::run(&directory, &config.auth, command).await?,
        Manage::Key(command) => keys::run(&directory, &config.auth, command).await?,
        Manage::Site(command) => sites::run(&directory, command).await?,
        Manage::Devices(command) => devices::run(&directory, &config.clickhouse, command).await?,
    }
    directory.close().await;
    Ok(())
}
