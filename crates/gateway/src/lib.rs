//! The HTTP front end: it checks who calls and what they send, appends the points to Kafka, and answers
//! for each point once Kafka has it.
//!
//! Owns HTTP: limits, deadlines, routes, answers. It must not know counters or sinks. The only other place
//! that speaks HTTP as a server is the operations port of the crate `runtime`.

mod answer;
mod batch;
mod body;
mod budget;
mod call;
mod clock;
mod connection;
mod forward;
mod line;
mod metrics;
mod problem;
mod rate;
mod refusals;
mod request_id;
mod server;
mod settings;
mod sites;
mod socket;
mod telemetry;
mod tls;
mod trace;

pub use forward::UpstreamSettings;
pub use metrics::describe_metrics;
pub use refusals::{Refusal, refusals};
pub use server::Gateway;
pub use settings::Settings;
pub use sites::SITES_PAGE;
pub use tls::{Tls, TlsFiles};
