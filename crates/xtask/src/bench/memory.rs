//! The memory of a worker with a large fleet, and of a gateway with many connections.

use std::time::{Duration, Instant};

use super::connections;
use super::figures::{median, memory_mib};
use super::ground::{Ground, Place};
use super::replay::{COUNTERS, Plan};
use super::row::Row;

const WORKER_DEVICES: u32 = 1_000_000;
/// Of a quick run: a worker looks every device up once, and that takes its time.
const WORKER_DEVICES_QUICK: u32 = 100_000;
const WORKER_MIB_MAX: f64 = 512.0;
/// The worker's default, `parquet.file_age_max_ms`.
const FILE_AGE: Duration = Duration::from_secs(300);
/// Two files' time: what is kept for a file comes and goes with it, and parts of that time are not alike.
const WATCHED: Duration = Duration::from_secs(2 * FILE_AGE.as_secs());
const WATCHED_QUICK: Duration = Duration::from_secs(60);
/// What "flat" means: the second half against the first.
const GROWTH_MAX: f64 = 1.1;
const GATEWAY_MIB_MAX: f64 = 256.0;
const IDLE: usize = 10_000;
const FLOODING: usize = 64;
const POINTS: u32 = 1_000;

/// Every device sends readings, so the worker remembers each.
pub fn of_worker(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    // 10,000 points a second.
    const REQUESTS_PER_ROUND: usize = 100;
    const ROUND: Duration = Duration::from_secs(10);
    let devices = ground.or_quick(WORKER_DEVICES, WORKER_DEVICES_QUICK);
    let place = Place::new(ground, "million", devices)?;
    let gateway = place.start_gateway(ground)?;
    let pid = place.start_worker(ground)?;
    let plan = Plan { kinds: COUNTERS, ..Plan::new(vec![gateway.clone()], POINTS, REQUESTS_PER_ROUND) };
    let mut client = ground.replay(&plan)?;
    let mut points = 0;
    while points < u64::from(devices) {
        points += client.round(&gateway.name)?.points;
        place.wait_stored(ground, points)?;
        println!("  {points} devices have sent a reading");
    }
    let remembered = place.worker_metric("wattline_worker_remembered_devices")?;

    // Files stay open for as long as the worker's default says, and memory grows until the first ones are old.
    let (settling, watched) = ground.or_quick((FILE_AGE, WATCHED), (Duration::ZERO, WATCHED_QUICK));
    let mut resident = Vec::new();
    let began = Instant::now();
    while began.elapsed() < settling + watched {
        let round = Instant::now();
        points += client.round(&gateway.name)?.points;
        std::thread::sleep(ROUND.saturating_sub(round.elapsed()));
        if began.elapsed() > settling {
            resident.push(memory_mib(pid)?.0);
        }
    }
    place.wait_stored(ground, points)?;
    let (_, most) = memory_mib(pid)?;
    ground.end(&place.worker())?;
    ground.end(&place.gateway())?;
    let peak = Row::new("worker_memory_peak", most, "MiB")
        .at_most(WORKER_MIB_MAX)
        .note(format!("{remembered} devices remembered, in 12 partitions"));
    Ok(vec![peak, growth(ground, &resident)])
}

/// The second half against the first, which a minute is too short for.
fn growth(ground: &Ground, resident: &[f64]) -> Row {
    const NAME: &str = "worker_memory_late_over_early";
    if ground.is_quick {
        return Row::not_measured(NAME, "", "a quick run ends before the first files are old");
    }
    let (early, late) = resident.split_at(resident.len() / 2);
    let [early, late] = [early, late].map(|half| median(half.to_vec()));
    Row::new(NAME, late / early, "").at_most(GROWTH_MAX).note(format!(
        "resident {early:.0} MiB, then {late:.0} MiB, over {} minutes at 10,000 points/s",
        WATCHED.as_secs() / 60
    ))
}

pub fn of_gateway(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    const DEVICES: u32 = 10_000;
    let mut place = Place::new(ground, "connections", DEVICES)?;
    // Places for the flood beside the idle ones, which are to stay idle for as long as the flood takes.
    place.site.set("WATTLINE_GATEWAY_CONNECTIONS_MAX", &(IDLE + FLOODING + 16).to_string());
    place.site.set("WATTLINE_GATEWAY_HEADER_TIMEOUT_MS", "600000");
    let gateway = place.start_gateway(ground)?;
    let (started, _) = memory_mib(gateway.pid)?;
    let idle = connections::idle(&gateway, IDLE)?;
    let (resident, _) = memory_mib(gateway.pid)?;
    println!("  {} idle connections, each of which has had an answer", idle.len());
    let plan = Plan {
        fresh: false,
        passes: ground.or_quick(40, 10),
        connections: FLOODING,
        ..Plan::new(vec![gateway.clone()], POINTS, 128)
    };
    let flood = ground.replay(&plan)?.round(&gateway.name)?;
    let (_, most) = memory_mib(gateway.pid)?;
    let held = connections::still_open(&idle);
    drop(idle);
    ground.end(&place.gateway())?;
    Ok(vec![Row::new("gateway_memory_peak", most, "MiB").at_most(GATEWAY_MIB_MAX).note(format!(
        "{held} idle and {FLOODING} flooding connections, {} points in {:.0} s; {started:.0} MiB at the \
             start, {resident:.0} MiB with the idle ones alone",
        flood.points, flood.seconds
    ))])
}
