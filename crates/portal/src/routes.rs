//! Which address is what, and what is around every answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tracing::debug;

use crate::failure::Failure;
use crate::server::Portal;
use crate::{headers, metrics, sign_in, tokens};

/// No form of the portal comes near it.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// From a request's headers to its answer.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(20);

pub(crate) fn router(portal: Arc<Portal>) -> Router {
    Router::new()
        .route("/", get(tokens::list))
        .route("/tokens", post(tokens::create))
        .route("/tokens/{key_id}/revoke", get(tokens::confirm).post(tokens::revoke))
        .route("/sign-in", get(sign_in::ask).post(sign_in::sign_in))
        .route("/sign-in/{secret}", get(sign_in::open))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/assets/portal.css", asset("text/css; charset=utf-8", include_str!("../assets/portal.css")))
        .route(
            "/assets/portal.js",
            asset("text/javascript; charset=utf-8", include_str!("../assets/portal.js")),
        )
        .route("/assets/icon.svg", asset("image/svg+xml", include_str!("../assets/icon.svg")))
        .fallback(async || Failure::NotFound)
        .method_not_allowed_fallback(async || Failure::WrongMethod)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&portal), around))
        .with_state(portal)
}

fn asset(content_type: &'static str, text: &'static str) -> MethodRouter<Arc<Portal>> {
    get(async move || ([(CONTENT_TYPE, content_type), (CACHE_CONTROL, "max-age=300")], text))
}

async fn around(State(portal): State<Arc<Portal>>, request: Request, next: Next) -> Response {
    // Of the address only the route is told: a link's secret stands in it.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.as_deref().unwrap_or("none");
    let answered = tokio::time::timeout(REQUEST_TIME_MAX, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| Failure::TooSlow.into_response());
    headers::add(response.headers_mut(), portal.settings.public_url.is_https());
    let status = response.status().as_u16();
    metrics::request_answered(route, status);
    debug!(route, status, "answered");
    response
}
