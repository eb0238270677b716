//! HTTP to the services of this machine.

use std::time::Duration;

use anyhow::{Context as _, bail};

/// GET, with the body as text; an answer other than 200 is an error that holds the body.
pub fn get(url: &str, timeout: Duration) -> anyhow::Result<String> {
    let response = agent(timeout).get(url).call().with_context(|| format!("GET {url}"))?;
    text(url, response)
}

/// POST of a text, answered as in `get`.
pub fn post(url: &str, body: &str, timeout: Duration) -> anyhow::Result<String> {
    let response = agent(timeout).post(url).send(body).with_context(|| format!("POST {url}"))?;
    text(url, response)
}

fn agent(timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        // The services are on 127.0.0.1; a proxy in the environment is not for them.
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        .build()
        .into()
}

fn text(url: &str, mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<String> {
    let status = response.status();
    let body =
        response.body_mut().read_to_string().with_context(|| format!("reading the answer of {url}"))?;
    if status != 200 {
        bail!("{url} answered {status}: {}", body.trim());
    }
    Ok(body)
}
