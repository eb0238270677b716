//! HTTP for `object_store`, by the client that the rest of Wattline has: one request, one whole answer, one
//! deadline over both.

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService,
};
use rustls::ClientConfig;
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Less than a server keeps a connection that is not used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(crate) struct Https {
    tls: ClientConfig,
    request_timeout: Duration,
}

impl Https {
    pub(crate) fn new(tls: ClientConfig, request_timeout: Duration) -> Self {
        Https { tls, request_timeout }
    }
}

impl HttpConnector for Https {
    /// Besides the store itself there are the servers that tell a machine of the cloud who it is; those may
    /// speak HTTP, whatever the store does.
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let allow_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut tcp = Tcp::new();
        tcp.enforce_http(false);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let builder = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone());
        let builder = if allow_http { builder.https_or_http() } else { builder.https_only() };
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(builder.enable_http1().wrap_connector(tcp));
        Ok(HttpClient::new(Requests { client, request_timeout: self.request_timeout }))
    }
}

#[derive(Debug)]
struct Requests {
    client: Client<HttpsConnector<Tcp>, HttpRequestBody>,
    request_timeout: Duration,
}

#[async_trait]
impl HttpService for Requests {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let exchange = async {
            let answer = self.client.request(request).await.map_err(unanswered)?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(unanswered)?.to_bytes();
            Ok(HttpResponse::from_parts(head, body.into()))
        };
        timeout(self.request_timeout, exchange).await.unwrap_or_else(|late| Err(unanswered(late)))
    }
}

/// Whatever became of a request, it may be made again: an object is put under a name that only its contents
/// have, and one that is there is no failure.
fn unanswered(error: impl Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Request, error)
}
