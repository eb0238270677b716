//! Clients, tokens and devices by hand.

use std::io::{BufReader, Write as _, stdin, stdout};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::json;
use wattline_directory::{Directory, parse_lines};

use crate::arguments::{DevicesCommand, TokenCommand};
use crate::config::Config;

pub async fn token(config: Config, command: TokenCommand) -> anyhow::Result<()> {
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    match command {
        TokenCommand::Create { client, name, test } => {
            let token = directory.create_token(&client, &name, !test, &config.auth.pepper()?).await?;
            // The one place where a token is shown, alone on standard output.
            writeln!(stdout(), "{}", token.expose())?;
        }
        TokenCommand::List { json } => list(&directory, json).await?,
        TokenCommand::Revoke { key_id } => {
            let key_id =
                key_id.parse().context("a key id is the ten characters behind wl_live_ or wl_test_")?;
            if !directory.revoke_token(key_id).await? {
                bail!("no token with this key id is active");
            }
        }
    }
    directory.close().await;
    Ok(())
}

async fn list(directory: &Directory, as_json: bool) -> anyhow::Result<()> {
    let tokens = directory.list_tokens().await?;
    let mut out = stdout().lock();
    if as_json {
        let rows: Vec<_> = tokens
            .iter()
            .map(|token| {
                json!({
                    "key_id": token.key_id.as_str(),
                    "client": token.client,
                    "name": token.label,
                    "live": token.live,
                    "created_at": token.created_at.to_string(),
                    "last_used_at": token.last_used_at.map(|at| at.to_string()),
                    "revoked_at": token.revoked_at.map(|at| at.to_string()),
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(());
    }
    writeln!(
        out,
        "{:<12} {:<20} {:<20} {:<22} {:<22} STATE",
        "KEY ID", "CLIENT", "NAME", "CREATED", "LAST USED"
    )?;
    for token in tokens {
        writeln!(
            out,
            "{:<12} {:<20} {:<20} {:<22} {:<22} {}",
            token.key_id.as_str(),
            token.client,
            token.label,
            format!("{:.0}", token.created_at),
            token.last_used_at.map_or("-".to_owned(), |at| format!("{at:.0}")),
            if token.is_active() { "active" } else { "revoked" }
        )?;
    }
    Ok(())
}

pub async fn devices(config: Config, command: DevicesCommand) -> anyhow::Result<()> {
    let DevicesCommand::Import { file } = command;
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    let report = if file == Path::new("-") {
        directory.import_devices(parse_lines(BufReader::new(stdin()))).await
    } else {
        let lines = std::fs::File::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        directory.import_devices(parse_lines(BufReader::new(lines))).await
    }?;
    directory.close().await;
    writeln!(stdout(), "{} lines, {} devices new or changed", report.lines, report.changed)?;
    Ok(())
}
