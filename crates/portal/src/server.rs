use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};
use wattline_auth::Pepper;
use wattline_directory::Directory;

use crate::routes;
use crate::settings::Settings;

/// Open connections; further ones wait in the listen queue of the operating system.
const CONNECTIONS_MAX: usize = 256;
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADER_TIME_MAX: Duration = Duration::from_secs(10);
/// A connection has one request, and this long for all of it.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(40);
const DRAIN_TIME_MAX: Duration = Duration::from_secs(15);
const PROBE_EVERY: Duration = Duration::from_secs(5);

/// Everything that a request needs.
pub struct Portal {
    pub(crate) settings: Settings,
    pub(crate) directory: Directory,
    pub(crate) pepper: Pepper,
    is_draining: AtomicBool,
    is_directory_away: AtomicBool,
}

impl Portal {
    pub fn new(settings: Settings, directory: Directory, pepper: Pepper) -> Self {
        let (is_draining, is_directory_away) = (AtomicBool::new(false), AtomicBool::new(false));
        Portal { settings, directory, pepper, is_draining, is_directory_away }
    }

    /// Whether a request would be served, and why not.
    pub fn ready(&self) -> Result<(), String> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err("draining".into());
        }
        if self.is_directory_away.load(Ordering::Relaxed) {
            return Err("the directory cannot be read".into());
        }
        Ok(())
    }

    /// Serves until it is asked to stop, then ends the requests under way.
    pub async fn run(self: Arc<Self>, listener: TcpListener, stop: impl Future<Output = ()> + Send) {
        let router = TowerToHyperService::new(routes::router(Arc::clone(&self)));
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME_MAX)
            .max_header_size(HEADER_BYTES_MAX)
            // One request a connection, so that the time of all is bounded by the time of one.
            .keep_alive(false);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        let mut probe = pin!(self.probe());
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                () = &mut probe => break,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else { continue };
            let connection = builder.serve_connection(TokioIo::new(stream), router.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                match tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
                    Ok(Ok(())) => {}
                    Ok(Err(cause)) => debug!(%cause, "connection"),
                    Err(_) => debug!("a connection was not over in time"),
                }
                drop(place);
            });
        }
        self.is_draining.store(true, Ordering::Relaxed);
        drop(listener);
        if tokio::time::timeout(DRAIN_TIME_MAX, graceful.shutdown()).await.is_err() {
            warn!("some requests did not end in time");
        }
        self.directory.close().await;
        info!("drained");
    }

    /// Looks now and then whether the directory is there. It does not end.
    async fn probe(&self) {
        loop {
            tokio::time::sleep(PROBE_EVERY).await;
            let probed = tokio::time::timeout(PROBE_EVERY, self.directory.check()).await;
            let is_away = !matches!(probed, Ok(Ok(())));
            if self.is_directory_away.swap(is_away, Ordering::Relaxed) != is_away {
                warn!(is_away, "the directory");
            }
        }
    }
}

/// The next connection, once there is a place for it. None where the operating system could not give one.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(cause) => {
            // Out of file descriptors, most likely: wait for some to be free instead of spinning.
            warn!(%cause, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}
