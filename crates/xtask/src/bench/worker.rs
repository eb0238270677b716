//! The worker's CPU time with both sinks, and the size of its Parquet files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::ground::{Ground, Place};
use super::replay::{Plan, Target};
use super::row::Row;
use super::stages;

const DEVICES: u32 = 10_000;
const POINTS_PER_REQUEST: u32 = 100;
const REQUESTS_PER_ROUND: usize = 3_000;
const CPU_US_MAX: f64 = 1.2;
/// Of the sum of the worker's stages, each alone in a bench.
const STAGES_TIMES_MAX: f64 = 1.5;
const PARQUET_BYTES_MAX: f64 = 40.0;

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(ground, "sinks", DEVICES)?;
    let gateway = place.start_gateway(ground)?;
    let plan = Plan::new(vec![gateway.clone()], POINTS_PER_REQUEST, REQUESTS_PER_ROUND);
    let mut client = ground.replay(&plan)?;
    let mut points = 0;
    for _ in 0..ground.or_quick(12, 6) {
        points += client.round(&gateway.name)?.points;
    }
    println!("  {points} points wait in Kafka");
    place.start_worker(ground)?;
    place.wait_stored(ground, points)?;
    // Files that are not finished yet are finished as the worker stops.
    let cpu_s = ground.end(&place.worker())?;
    let mut row = Row::new("worker_cpu_per_point", cpu_s * 1e6 / points as f64, "µs")
        .at_most(CPU_US_MAX)
        .note(format!("a backlog of {points} points, from the start of the process to its end"));
    let stages = stages::sum(STAGES_TIMES_MAX, &mut row)?;
    let bytes = bytes_below(&place.site.folder().join("parquet"))?;
    let parquet = Row::new("parquet_bytes_per_point", bytes as f64 / points as f64, "bytes")
        .at_most(PARQUET_BYTES_MAX)
        .note("all files; a counter reading is a row of its own and one of the derived interval");
    let at_pace = at_pace(ground, &place, &gateway)?;
    ground.end(&place.gateway())?;
    Ok(vec![row, stages, parquet, at_pace])
}

/// Batches of a second each are small, so that what a batch costs shows, and what a process costs that waits.
fn at_pace(ground: &mut Ground, place: &Place, gateway: &Target) -> anyhow::Result<Row> {
    const REQUESTS_PER_SECOND: usize = 100;
    place.start_worker(ground)?;
    let plan = Plan::new(vec![gateway.clone()], POINTS_PER_REQUEST, REQUESTS_PER_SECOND);
    let mut client = ground.replay(&plan)?;
    let mut points = 0;
    for _ in 0..ground.or_quick(120, 30) {
        let second = Instant::now();
        points += client.round(&gateway.name)?.points;
        std::thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
    }
    place.wait_stored(ground, points)?;
    let cpu_s = ground.end(&place.worker())?;
    Ok(Row::new("worker_cpu_per_point_at_pace", cpu_s * 1e6 / points as f64, "µs")
        .note(format!("{points} points at 10,000 a second over 24 partitions")))
}

fn bytes_below(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        bytes +=
            if entry.file_type()?.is_dir() { bytes_below(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
