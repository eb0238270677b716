use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use wattline_auth::{ClientToken, KeyId};
use wattline_directory::{Directory, TokenRow};

use super::print::{self, Row, json_time, time};
use crate::arguments::TokenCommand;
use crate::config::Auth;

pub(super) async fn run(directory: &Directory, auth: &Auth, command: TokenCommand) -> anyhow::Result<()> {
    match command {
        TokenCommand::Create { client, name, test, json } => {
            let token = directory.create_token(&client, &name, !test, &auth.pepper()?).await?;
            let more =
                json!({ "key_id": token.key_id().as_str(), "client": client, "name": name, "live": !test });
            show(&token, more, json)?;
        }
        TokenCommand::List { json } => print::list(&directory.list_tokens().await?, json)?,
        TokenCommand::Rotate { key_id, overlap, json } => {
            rotate(directory, auth, parse(&key_id)?, overlap, json).await?;
        }
        TokenCommand::Revoke { key_id } => {
            let key_id = parse(&key_id)?;
            if !directory.revoke_token(key_id).await? {
                return Err(inactive(directory, key_id).await);
            }
            print::say(format_args!(
                "The token {key_id} is revoked; within seconds no gateway takes it, or a site token made with it."
            ))?;
        }
    }
    Ok(())
}

/// The key id of an argument. What is none is not repeated: it may be a token.
fn parse(key_id: &str) -> anyhow::Result<KeyId> {
    key_id.parse().context("KEY_ID must be the ten characters behind wl_live_ or wl_test_")
}

async fn rotate(
    directory: &Directory,
    auth: &Auth,
    key_id: KeyId,
    overlap: Duration,
    as_json: bool,
) -> anyhow::Result<()> {
    let Some(token) = directory.rotate_token(key_id, overlap, &auth.pepper()?).await? else {
        return Err(inactive(directory, key_id).await);
    };
    let tokens = directory.list_tokens().await?;
    let of = |key_id| tokens.iter().find(|token| token.key_id == key_id).context("a token is gone");
    let (old, new) = (of(key_id)?, of(token.key_id())?);
    let ends_at = old.revoked_at;
    let more = json!({
        "key_id": new.key_id.as_str(),
        "client": new.client,
        "name": new.label,
        "live": new.live,
        "replaces": key_id.as_str(),
        "replaced_ends_at": json_time(ends_at),
    });
    show(&token, more, as_json)?;
    print::say(format_args!("The token {key_id} ends at {}.", time(ends_at)))?;
    Ok(())
}

/// The one place where a token is shown, alone on standard output.
fn show(token: &ClientToken, mut more: Value, as_json: bool) -> anyhow::Result<()> {
    more["token"] = token.expose().into();
    print::result(token.expose(), &more, as_json)?;
    Ok(())
}

/// Why a token cannot be revoked or rotated.
async fn inactive(directory: &Directory, key_id: KeyId) -> anyhow::Error {
    let tokens = match directory.list_tokens().await {
        Ok(tokens) => tokens,
        Err(cause) => return cause,
    };
    match tokens.iter().find(|token| token.key_id == key_id) {
        None => anyhow::anyhow!("there is no token with the key id {key_id}"),
        Some(token) if token.is_active() => {
            anyhow::anyhow!("the token {key_id} was rotated before and ends at {}", time(token.revoked_at))
        }
        Some(token) => anyhow::anyhow!("the token {key_id} ended at {}", time(token.revoked_at)),
    }
}

impl Row for TokenRow {
    const COLUMNS: &'static [(&'static str, usize)] =
        &[("KEY ID", 12), ("CLIENT", 20), ("NAME", 20), ("CREATED", 22), ("LAST USED", 22), ("STATE", 10)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.key_id.to_string(),
            self.client.clone(),
            self.label.clone(),
            time(Some(self.created_at)),
            time(self.last_used_at),
            match self.revoked_at {
                None => "active".to_owned(),
                Some(at) if self.is_active() => format!("active until {at:.0}"),
                Some(_) => "revoked".to_owned(),
            },
        ]
    }

    fn json(&self) -> Value {
        json!({
            "key_id": self.key_id.as_str(),
            "client": self.client,
            "name": self.label,
            "live": self.live,
            "active": self.is_active(),
            "created_at": json_time(Some(self.created_at)),
            "last_used_at": json_time(self.last_used_at),
            "revoked_at": json_time(self.revoked_at),
        })
    }
}
