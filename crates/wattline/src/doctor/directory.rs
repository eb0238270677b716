//! The database of clients and tokens.

use std::sync::Arc;

use wattline_directory::Directory;

use super::check::Check;
use super::{within, words};
use crate::config::Config;

pub(super) async fn examine(config: Arc<Config>) -> Vec<Check> {
    const MIGRATE: &str = "type: wattline migrate";
    // Of a URL with a password nothing more is shown.
    let kind = match config.directory.url.split_once(':') {
        Some(("sqlite", _)) => config.directory.url.as_str(),
        _ => "PostgreSQL",
    };
    let directory = match within(Directory::open_existing(&config.directory.url)).await {
        Ok(directory) => directory,
        Err(cause) => {
            let advice = match kind {
                "PostgreSQL" => {
                    "start PostgreSQL or mend directory.url; from this machine: pg_isready -h HOST -p PORT"
                }
                _ => "type: wattline migrate, where directory.url is right and its folder is there",
            };
            return vec![Check::failed("directory.reachable", format!("{kind}: {}", words(&cause)), advice)];
        }
    };
    let mut checks = vec![Check::ok("directory.reachable", kind)];
    match within(directory.missing_migrations()).await {
        Ok(0) => checks.push(Check::ok("directory.migrations", "all are applied")),
        Ok(missing) => {
            checks.push(Check::failed("directory.migrations", format!("{missing} are not applied"), MIGRATE));
            return checks;
        }
        Err(cause) => {
            checks.push(Check::failed("directory.migrations", words(&cause), MIGRATE));
            return checks;
        }
    }
    checks.push(match within(directory.list_clients()).await {
        Err(cause) => Check::failed("directory.clients", words(&cause), MIGRATE),
        Ok(clients) => {
            let sum =
                |count: fn(&wattline_directory::ClientRow) -> u64| clients.iter().map(count).sum::<u64>();
            let (tokens, devices) = (sum(|client| client.active_tokens), sum(|client| client.devices));
            let found = format!("{} clients, {tokens} active tokens, {devices} devices", clients.len());
            if tokens == 0 {
                let advice = "nobody can post: type: wattline token create --client NAME";
                Check::warning("directory.clients", found, advice)
            } else if devices == 0 {
                let advice =
                    "every point is refused: type: wattline devices import FILE, or let clients commission";
                Check::warning("directory.clients", found, advice)
            } else {
                Check::ok("directory.clients", found)
            }
        }
    });
    directory.close().await;
    checks
}
