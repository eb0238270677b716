//! The developer portal, and who may come in.

use std::io::{Write as _, stdout};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tracing::info;
use wattline_directory::Directory;
use wattline_portal::Portal;
use wattline_runtime::{Readiness, Shutdown, install_metrics, serve_ops};

use crate::arguments::PortalCommand;
use crate::config::Config;

struct Ready(Arc<Portal>);

impl Readiness for Ready {
    fn ready(&self) -> Result<(), String> {
        self.0.ready()
    }
}

/// Serves the portal until it is asked to stop.
pub async fn serve(config: Config) -> anyhow::Result<()> {
    let settings = config.portal.settings()?;
    let pepper = config.auth.pepper()?;
    let (listen, ops_listen) = (config.portal.listen()?, config.portal.ops_listen()?);

    let metrics = install_metrics()?;
    wattline_portal::describe_metrics();
    let mut shutdown = Shutdown::on_signals()?;
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    let portal = Arc::new(Portal::new(settings, directory, pepper));
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen} (portal.listen)"))?;
    let ops = serve_ops(ops_listen, metrics, Arc::new(Ready(Arc::clone(&portal)))).await?;
    info!(listen = %listener.local_addr()?, %ops, "portal");
    portal.run(listener, async move { shutdown.asked().await }).await;
    Ok(())
}

pub async fn manage(config: Config, command: PortalCommand) -> anyhow::Result<()> {
    let directory = Directory::open(&config.directory.url).await?;
    directory.check().await?;
    match command {
        PortalCommand::Invite { client } => invite(&config, &directory, &client).await?,
        PortalCommand::SignOut { client } => {
            let (sessions, links) =
                directory.shut_portal(&client).await?.with_context(|| unknown(&client))?;
            writeln!(stdout(), "{sessions} sessions ended, {links} links voided")?;
        }
    }
    directory.close().await;
    Ok(())
}

async fn invite(config: &Config, directory: &Directory, client: &str) -> anyhow::Result<()> {
    let (public_url, link_time) = (config.portal.public_url()?, config.portal.link_time()?);
    let invite = directory.invite_to_portal(client, link_time, &config.auth.pepper()?).await?;
    let invite = invite.with_context(|| unknown(client))?;
    info!(client, link = %invite.secret.id(), good_until = format!("{:.0}", invite.expires_at), "sign-in link");
    // The one place where a link is shown, alone on standard output.
    writeln!(stdout(), "{}", public_url.sign_in_link(&invite.secret))?;
    Ok(())
}

fn unknown(client: &str) -> String {
    format!("there is no client {client}; `wattline client create` makes one")
}
