//! The worker's CPU time with both sinks, and the size of its Parquet files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::figures::least;
use super::ground::{Ground, Place};
use super::replay::Plan;
use super::row::Row;
use super::stages;

const DEVICES: u32 = 10_000;
/// Of 300,000 points each: enough that the start, when a worker touches its memory for the first time, is a small part.
const ROUNDS: usize = 24;
const ROUNDS_QUICK: usize = 6;
/// Of which the cheapest counts.
const TURNS: usize = 2;
const CPU_US_MAX: f64 = 1.2;
/// Of the sum of the worker's stages, each alone in a bench.
const STAGES_TIMES_MAX: f64 = 1.5;
const PARQUET_BYTES_MAX: f64 = 40.0;

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let mut large = Backlog::new(ground, "large", 1_000, 300)?;
    let mut small = Backlog::new(ground, "small", 100, 3_000)?;
    let mut stages_us = Vec::new();
    for _ in 0..TURNS {
        large.store(ground)?;
        stages_us.push(stages::us_per_point()?);
        small.store(ground)?;
    }
    let stages = Row::new("worker_stages_per_point", least(&stages_us), "µs")
        .note(format!("in criterion; the cheapest of {TURNS}"));
    // The stages are measured on the records of requests that are as large.
    let cpu = large.cpu().at_most_times(STAGES_TIMES_MAX, &stages);
    let pace = at_pace(ground)?;
    Ok(vec![cpu, stages, small.cpu(), large.parquet()?, small.parquet()?, pace])
}

/// Records that wait for a worker.
struct Backlog {
    place: Place,
    points_per_request: u32,
    points: u64,
    /// A point's CPU in each worker that has stored it, from its start to its end.
    us_per_point: Vec<f64>,
}

impl Backlog {
    fn new(
        ground: &mut Ground,
        name: &'static str,
        points_per_request: u32,
        requests_per_round: usize,
    ) -> anyhow::Result<Backlog> {
        let place = Place::new(ground, name, DEVICES)?;
        let gateway = place.start_gateway(ground)?;
        let plan = Plan::new(vec![gateway.clone()], points_per_request, requests_per_round);
        let mut client = ground.replay(&plan)?;
        let mut points = 0;
        for _ in 0..ground.or_quick(ROUNDS, ROUNDS_QUICK) {
            points += client.round(&gateway.name)?.points;
        }
        drop(client);
        ground.end(&place.gateway())?;
        println!("  {points} points wait in Kafka, {points_per_request} a request");
        Ok(Backlog { place, points_per_request, points, us_per_point: Vec::new() })
    }

    /// One more worker stores all of it.
    fn store(&mut self, ground: &mut Ground) -> anyhow::Result<()> {
        self.place.begin_group(self.us_per_point.len())?;
        self.place.start_worker(ground)?;
        self.place.wait_stored(ground, self.points)?;
        // Files that are not finished yet are finished as the worker stops.
        let us_per_point = ground.end(&self.place.worker())? * 1e6 / self.points as f64;
        println!("  stored {} a request: {us_per_point:.2} µs a point", self.points_per_request);
        self.us_per_point.push(us_per_point);
        Ok(())
    }

    fn cpu(&self) -> Row {
        let note = format!(
            "a backlog of {} points, from the start of the process to its end; the cheapest of {TURNS}",
            self.points
        );
        self.row("worker_cpu_per_point", least(&self.us_per_point), "µs").at_most(CPU_US_MAX).note(note)
    }

    fn parquet(&self) -> anyhow::Result<Row> {
        let bytes = bytes_below(&self.place.files)?;
        Ok(self
            .row("parquet_bytes_per_point", bytes as f64 / self.points as f64, "bytes")
            .at_most(PARQUET_BYTES_MAX)
            .note("all files; a counter reading is a row of its own and one of the derived interval"))
    }

    fn row(&self, what: &str, value: f64, unit: &'static str) -> Row {
        Row::new(format!("{what}_{}", self.points_per_request), value, unit)
    }
}

/// Batches of a second each are small, so that what a batch costs shows, and what a process costs that waits.
fn at_pace(ground: &mut Ground) -> anyhow::Result<Row> {
    const REQUESTS_PER_SECOND: usize = 100;
    let place = Place::new(ground, "pace", DEVICES)?;
    let gateway = place.start_gateway(ground)?;
    place.start_worker(ground)?;
    let plan = Plan::new(vec![gateway.clone()], 100, REQUESTS_PER_SECOND);
    let mut client = ground.replay(&plan)?;
    let mut points = 0;
    for _ in 0..ground.or_quick(120, 30) {
        let second = Instant::now();
        points += client.round(&gateway.name)?.points;
        std::thread::sleep(Duration::from_secs(1).saturating_sub(second.elapsed()));
    }
    place.wait_stored(ground, points)?;
    let cpu_s = ground.end(&place.worker())?;
    ground.end(&place.gateway())?;
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
