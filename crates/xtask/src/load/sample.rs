//! What is looked at once a second while the fleet posts.

use std::time::Instant;

use serde::Deserialize;

use crate::bench::figures::{cpu_s, memory_mib};
use crate::bench::ground::sum;
use crate::demo::site::Site;
use crate::http;
use crate::stack::Stack;

/// The services of the stack whose CPU is shown.
pub const PROCESSES: [&str; 5] = ["gateway", "worker", "kafka", "clickhouse", "fleet"];
const ASK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// A line of the fleet's timeline.
#[derive(Debug, Deserialize)]
pub struct Second {
    pub elapsed_s: f64,
    pub settled_per_s: f64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub slowest_ms: f64,
}

/// What the processes were doing.
#[derive(Debug)]
pub struct Sample {
    pub elapsed_s: f64,
    /// In the order of `PROCESSES`.
    pub cores: [f64; PROCESSES.len()],
    /// Gateway and worker.
    pub resident_mib: [f64; 2],
    pub lag_records: f64,
}

pub struct Sampler {
    began: Instant,
    earlier: Instant,
    cpu_s: [f64; PROCESSES.len()],
    pub samples: Vec<Sample>,
}

impl Sampler {
    pub fn start(stack: &mut Stack) -> Sampler {
        let now = Instant::now();
        Sampler {
            began: now,
            earlier: now,
            cpu_s: PROCESSES.map(|name| cpu_of(stack, name)),
            samples: Vec::new(),
        }
    }

    pub fn look(&mut self, stack: &mut Stack, site: &Site) -> &Sample {
        let now = Instant::now();
        let passed_s = (now - self.earlier).as_secs_f64().max(0.001);
        let cpu_s = PROCESSES.map(|name| cpu_of(stack, name));
        let mut cores = [0.0; PROCESSES.len()];
        for (index, cores) in cores.iter_mut().enumerate() {
            // A process that has ended, as the fleet does, takes no more.
            *cores = ((cpu_s[index] - self.cpu_s[index]) / passed_s).max(0.0);
        }
        (self.earlier, self.cpu_s) = (now, cpu_s);
        let resident = |stack: &mut Stack, name| {
            stack
                .service(name)
                .and_then(|service| memory_mib(service.pid).ok())
                .map_or(0.0, |memory| memory.0)
        };
        let metrics =
            http::get(&format!("{}/metrics", site.operations()[1]), ASK_TIMEOUT).unwrap_or_default();
        self.samples.push(Sample {
            elapsed_s: (now - self.began).as_secs_f64(),
            cores,
            resident_mib: [resident(stack, PROCESSES[0]), resident(stack, PROCESSES[1])],
            lag_records: sum(&metrics, "wattline_worker_consumer_lag_records"),
        });
        &self.samples[self.samples.len() - 1]
    }
}

fn cpu_of(stack: &mut Stack, name: &str) -> f64 {
    stack.service(name).and_then(|service| cpu_s(service.pid).ok()).unwrap_or(0.0)
}
