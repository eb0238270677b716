//! Whether a point costs more in a large fleet: installations of several sizes, measured in turn.

use std::time::Duration;

use super::figures::{cpu_s_when_quiet, least};
use super::ground::{Ground, Place};
use super::replay::{Plan, Replay, Round, Target};
use super::row::Row;

const SIZES: [(&str, u32); 4] =
    [("fleet-10k", 10_000), ("fleet-100k", 100_000), ("fleet-1m", 1_000_000), ("fleet-5m", 5_000_000)];
/// Of the cost in the smallest fleet.
const TIMES_MAX: f64 = 1.15;
const POINTS: u32 = 1_000;
/// 200,000 points from devices all over the fleet, sent several times.
const GATEWAY_BODIES: usize = 200;
const GATEWAY_PASSES: usize = 5;
/// Points that a worker has not seen before.
const WORKER_BODIES: usize = 300;
/// Files are finished soon, so that a round's cost is over before the next one begins.
const FILE_AGE_MS: &str = "2000";
const QUIET_WINDOW: Duration = Duration::from_secs(3);
const QUIET_DEADLINE: Duration = Duration::from_secs(120);

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let sizes = &SIZES[..ground.or_quick(SIZES.len(), SIZES.len() - 1)];
    // A worker looks every device up once, which takes the longest.
    let filled = ground.or_quick(SIZES.len(), SIZES.len() - 2);
    let (mut places, mut gateways) = (Vec::new(), Vec::new());
    for (name, devices) in sizes {
        let mut place = Place::new(ground, name, *devices)?;
        place.site.set("WATTLINE_PARQUET_FILE_AGE_MAX_MS", FILE_AGE_MS);
        gateways.push(place.start_gateway(ground)?);
        println!("  {devices} devices, imported in {:.1} s", place.import.as_secs_f64());
        places.push(place);
    }
    let mut rows = imports(&places);
    rows.extend(of_workers(ground, &places[..filled], &gateways)?);
    // With the workers gone: nobody has to store what is sent many times.
    rows.extend(of_gateways(ground, &gateways)?);
    for place in &places {
        ground.end(&place.gateway())?;
    }
    if ground.is_quick
        && let Some(row) = rows.last_mut()
    {
        row.note =
            Some("a quick run leaves the largest fleet out, and of the worker the two largest".to_owned());
    }
    Ok(rows)
}

fn imports(places: &[Place]) -> Vec<Row> {
    let seconds = |place: &Place| place.import.as_secs_f64();
    places
        .iter()
        .map(|place| Row::new(format!("import_{}", place.name), seconds(place), "s").note("wall time"))
        .collect()
}

fn of_gateways(ground: &mut Ground, gateways: &[Target]) -> anyhow::Result<Vec<Row>> {
    let plan =
        Plan { fresh: false, passes: GATEWAY_PASSES, ..Plan::new(gateways.to_vec(), POINTS, GATEWAY_BODIES) };
    let mut client = ground.replay(&plan)?;
    let mut us_per_point = vec![Vec::new(); gateways.len()];
    // The first round of each is for caches and connections. Rounds differ by half, so there are many of them.
    for round in 0..=ground.or_quick(15, 3) {
        for (gateway, costs) in gateways.iter().zip(&mut us_per_point) {
            let cost = client.round(&gateway.name)?.us_per_point();
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    Ok(compared("gateway_cpu_per_point", gateways, us_per_point))
}

fn of_workers(ground: &mut Ground, places: &[Place], gateways: &[Target]) -> anyhow::Result<Vec<Row>> {
    let mut pids = Vec::new();
    for place in places {
        pids.push(place.start_worker(ground)?);
    }
    let mut client = ground.replay(&Plan::new(gateways.to_vec(), POINTS, WORKER_BODIES))?;
    let mut stored = vec![0; places.len()];
    for (place, stored) in places.iter().zip(&mut stored) {
        while *stored < u64::from(place.devices) {
            *stored += post(&mut client, place)?.points;
            place.wait_stored(ground, *stored)?;
        }
        println!("  {} devices have sent a point", place.devices);
    }
    let mut us_per_point = vec![Vec::new(); places.len()];
    for _ in 0..ground.or_quick(6, 3) {
        for (index, place) in places.iter().enumerate() {
            let before = cpu_s_when_quiet(pids[index], QUIET_WINDOW, QUIET_DEADLINE)?;
            let points = post(&mut client, place)?.points;
            stored[index] += points;
            place.wait_stored(ground, stored[index])?;
            let after = cpu_s_when_quiet(pids[index], QUIET_WINDOW, QUIET_DEADLINE)?;
            us_per_point[index].push((after - before) * 1e6 / points as f64);
        }
    }
    for place in places {
        ground.end(&place.worker())?;
    }
    Ok(compared("worker_cpu_per_point", gateways, us_per_point))
}

fn post(client: &mut Replay, place: &Place) -> anyhow::Result<Round> {
    client.round(place.name)
}

fn compared(name: &str, gateways: &[Target], us_per_point: Vec<Vec<f64>>) -> Vec<Row> {
    let rows: Vec<Row> = gateways
        .iter()
        .zip(us_per_point)
        .map(|(gateway, costs)| Row::new(format!("{name}_{}", gateway.name), least(&costs), "µs"))
        .collect();
    let smallest = rows[0].clone();
    rows.into_iter()
        .enumerate()
        .map(|(index, row)| if index == 0 { row } else { row.at_most_times(TIMES_MAX, &smallest) })
        .collect()
}
