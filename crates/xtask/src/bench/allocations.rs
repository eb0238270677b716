//! Allocations of decoding, checking and encoding, which a test of `wattline-wire` counts.

use anyhow::Context as _;
use serde::Deserialize;

use super::row::Row;
use crate::cargo::cargo;
use crate::process;

const A_FEW: f64 = 20.0;

#[derive(Deserialize)]
struct Counted {
    per_point: f64,
    per_request: f64,
}

pub fn measure() -> anyhow::Result<Vec<Row>> {
    let mut test = cargo();
    test.args([
        "test",
        "--quiet",
        "-p",
        "wattline-wire",
        "--test",
        "it",
        "allocations::",
        "--",
        "--nocapture",
    ]);
    let text = process::output(&mut test)?;
    let line =
        text.lines().find_map(|line| line.split_once("allocations: ")).context("the test's figures")?.1;
    let counted: Counted = serde_json::from_str(line).with_context(|| format!("reading {line}"))?;
    // Optimisation can only take allocations away.
    let note = "the most of both kinds and 1, 100 and 1,000 points; counted in the dev profile";
    Ok(vec![
        Row::new("allocations_per_point", counted.per_point, "allocations").at_most(0.0).note(note),
        Row::new("allocations_per_request", counted.per_request, "allocations").at_most(A_FEW).note(note),
    ])
}
