//! The developer portal: pages where somebody of a client signs in with a link, and makes, sees and revokes the
//! client's tokens.
//!
//! It owns the pages, their forms and cookies, and the HTTP around them. It must not know Kafka, sinks or
//! telemetry, and it has no SQL: links, sessions and tokens are in the crate `directory`. A session sees one
//! client and nothing else. No secret is in a log, a `Referer` or the browser's history, and a token is in one
//! page only: the answer to the form that made it.

mod cookie;
mod failure;
mod form;
mod headers;
mod metrics;
mod page;
mod public_url;
mod routes;
mod server;
mod settings;
mod sign_in;
mod tokens;

pub use metrics::describe_metrics;
pub use public_url::{PublicUrl, PublicUrlError};
pub use server::Portal;
pub use settings::Settings;
