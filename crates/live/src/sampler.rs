//! The look at the sources, once a second.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::Sources;
use crate::charge::{self, Charge};
use crate::exposition::lines;
use crate::freshness::Window;
use crate::numbers::{Numbers, Points, Second, rejected};

const EVERY: Duration = Duration::from_secs(1);
/// The charge is asked of ClickHouse at every so many looks.
const CHARGE_EVERY: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(3);

struct Before {
    points: Points,
    at: Instant,
}

pub(crate) fn run(sources: &Sources, numbers: &Mutex<Numbers>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        // The sources are on this machine; a proxy in the environment is not for them.
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .build()
        .into();
    let mut before: Option<Before> = None;
    let mut window = Window::default();
    for look in 0_u32.. {
        let began = Instant::now();
        let gateway = get(&agent, &format!("{}/metrics", sources.gateway));
        let at = Instant::now();
        let worker = get(&agent, &format!("{}/metrics", sources.worker));
        let charge = look.is_multiple_of(CHARGE_EVERY).then(|| ask_charge(&agent, sources));

        let mut numbers = numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut points = Points::default();
        if let Ok(metrics) = &gateway {
            let read = Points::read(metrics);
            points = before.map_or(points, |before| read.per_second(before.points, at - before.at));
            before = Some(Before { points: read, at });
            numbers.rejected = rejected(metrics);
        } else {
            before = None;
        }
        let freshness = worker.as_ref().ok().and_then(|metrics| window.look(metrics));
        if let Ok(metrics) = &worker {
            numbers.put_aside = lines(metrics, "wattline_worker_rejected_total").map(|line| line.value).sum();
        }
        tell(&mut numbers, "the gateway", gateway.err());
        tell(&mut numbers, "the worker", worker.err());
        match charge {
            Some(Ok(charge)) => {
                numbers.charge = Some(charge);
                tell(&mut numbers, "ClickHouse", None);
            }
            Some(Err(error)) => tell(&mut numbers, "ClickHouse", Some(error)),
            None => {}
        }
        numbers.push(Second { points, freshness });
        drop(numbers);
        thread::sleep(EVERY.saturating_sub(began.elapsed()));
    }
}

/// Says that a source does not answer, or no longer says so. Why stays in the log of the page's process: an
/// error has addresses in it.
fn tell(numbers: &mut Numbers, source: &str, error: Option<anyhow::Error>) {
    let was_silent = numbers.silent.iter().any(|silent| silent == source);
    numbers.silent.retain(|silent| silent != source);
    if let Some(error) = error {
        if !was_silent {
            log(&format!("{source} does not answer: {error:#}"));
        }
        numbers.silent.push(source.to_owned());
    }
}

#[expect(clippy::print_stderr, reason = "the log of the page's process is its standard error")]
fn log(line: &str) {
    eprintln!("{line}");
}

fn ask_charge(agent: &ureq::Agent, sources: &Sources) -> anyhow::Result<Charge> {
    let query = charge::query(&sources.database, &sources.client);
    charge::read(&text(agent.post(&sources.clickhouse).send(query)?)?)
}

fn get(agent: &ureq::Agent, url: &str) -> anyhow::Result<String> {
    text(agent.get(url).call()?)
}

fn text(mut response: ureq::http::Response<ureq::Body>) -> anyhow::Result<String> {
    let body = response.body_mut().read_to_string().context("reading the answer")?;
    ensure!(response.status() == 200, "{}: {}", response.status(), body.trim());
    Ok(body)
}
