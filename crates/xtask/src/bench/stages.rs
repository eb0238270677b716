//! The worker's stages, each alone in criterion.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::cargo::cargo;
use crate::{paths, process};

/// The group of the benches, each of which is a stage, in a file of that name …
const GROUP: &str = "worker";
/// … and, of the sizes that each is measured at, the one that is nearest to a batch of the worker.
const POINTS: &str = "1000";

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    throughput: Option<Throughput>,
}

#[derive(Deserialize)]
struct Throughput {
    #[serde(rename = "Elements")]
    elements: Option<f64>,
}

/// The stages' time a point, all together, as criterion has it now: the machine may be a fifth slower than an hour
/// ago.
pub fn us_per_point() -> anyhow::Result<f64> {
    let mut bench = cargo();
    bench.args(["bench", "--quiet", "-p", "wattline-benches", "--bench", GROUP, "--"]);
    process::output(bench.args(["--quiet", &format!("^{GROUP}/.*/{POINTS}$")]))?;
    let mut ns = Vec::new();
    collect(&paths::target()?.join("criterion").join(GROUP), &mut ns)?;
    ensure!(!ns.is_empty(), "criterion left no estimates of a group {GROUP:?} in target/criterion");
    Ok(ns.iter().sum::<f64>() / 1_000.0)
}

/// Nanoseconds a point of every stage in a folder.
fn collect(folder: &Path, ns: &mut Vec<f64>) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path().join(POINTS).join("new");
        if path.is_dir() {
            ns.extend(per_point(&path).with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(())
}

fn per_point(bench: &Path) -> anyhow::Result<Option<f64>> {
    let read = |name: &str| fs::read_to_string(bench.join(name));
    let estimates: Estimates = serde_json::from_str(&read("estimates.json")?)?;
    let benchmark: Benchmark = serde_json::from_str(&read("benchmark.json")?)?;
    let points = benchmark.throughput.and_then(|throughput| throughput.elements);
    Ok(points.map(|points| estimates.median.point_estimate / points))
}
