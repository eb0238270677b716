use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells every part that the process is to end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

impl Shutdown {
    /// One that is asked by SIGTERM or SIGINT.
    pub fn on_signals() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
                _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
            }
            ask.send_replace(true);
            // The sender stays, so that nobody mistakes its end for a signal.
            ask.closed().await;
        });
        Ok(Shutdown { asked })
    }

    /// One that is asked by hand, and how.
    pub fn by_hand() -> (watch::Sender<bool>, Self) {
        let (ask, asked) = watch::channel(false);
        (ask, Shutdown { asked })
    }

    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until it is asked.
    pub async fn asked(&mut self) {
        // An error says that the other side is gone, which ends the process as well.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }
}
