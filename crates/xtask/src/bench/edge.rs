//! The gateway's CPU time against a handler that only reads and parses, and the size of its records.

use super::ground::{Ground, Place, record_bytes};
use super::replay::{Plan, Replay, Round, least_us_per_point};
use super::row::Row;

const DEVICES: u32 = 10_000;

/// A size of requests, and what the gateway may take of the bare handler's time.
pub struct Size {
    pub points: u32,
    pub bodies: usize,
    pub passes: usize,
    pub connections: usize,
    times_max: f64,
}

pub const SIZES: [Size; 3] = [
    Size { points: 1_000, bodies: 100, passes: 10, connections: 64, times_max: 1.8 },
    Size { points: 100, bodies: 1_000, passes: 10, connections: 64, times_max: 2.0 },
    Size { points: 1, bodies: 20_000, passes: 4, connections: 256, times_max: 3.0 },
];
const RECORD_BYTES_MAX: f64 = 160.0;
const REQUESTS_PER_CORE_MIN: f64 = 25_000.0;

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(ground, "edge", DEVICES)?;
    let gateway = place.start_gateway(ground)?;
    let mut bare = ground.start_bare()?;
    bare.devices = DEVICES;
    let topics = ["edge.intervals".to_owned(), "edge.counters".to_owned()];

    let (mut clients, mut records, mut before) = (Vec::new(), Vec::new(), 0);
    for size in &SIZES {
        let plan = Plan {
            passes: size.passes,
            fresh: false,
            connections: size.connections,
            ..Plan::new(vec![gateway.clone(), bare.clone()], size.points, size.bodies)
        };
        let mut client = ground.replay(&plan)?;
        // The first round is for caches and connections, and for the size of its records.
        let warm_up = client.round(&gateway.name)?;
        client.round(&bare.name)?;
        let after = record_bytes(ground, &topics)?;
        let bytes_per_point = (after - before) as f64 / warm_up.points as f64;
        before = after;
        let row = Row::new(format!("record_bytes_per_point_{}", size.points), bytes_per_point, "bytes");
        records.push(match size.points {
            1 => row.note("a record has the names of client and request, too"),
            _ => row.at_most(RECORD_BYTES_MAX),
        });
        clients.push(client);
    }
    let mut rows = Vec::new();
    for (size, client) in SIZES.iter().zip(&mut clients) {
        println!("  {} points a request …", size.points);
        let rounds = alternate(client, [&gateway.name, &bare.name], ground.or_quick(7, 3))?;
        let [of_gateway, of_bare] = rounds.map(|rounds| least_us_per_point(&rounds));
        let name = |whose: &str| format!("{whose}_cpu_per_point_{}", size.points);
        let base = Row::new(name("bare"), of_bare, "µs");
        rows.push(Row::new(name("gateway"), of_gateway, "µs").at_most_times(size.times_max, &base));
        rows.push(base);
        if size.points == 1 {
            let per_core = 1e6 / of_gateway;
            rows.push(
                Row::new("gateway_requests_per_s_core", per_core, "requests/s")
                    .at_least(REQUESTS_PER_CORE_MIN),
            );
        }
    }
    rows.append(&mut records);
    drop(clients);
    ground.end(&place.gateway())?;
    Ok(rows)
}

/// Short rounds, one target after the other, so that what else the machine does meets all of them alike.
pub fn alternate<const N: usize>(
    client: &mut Replay,
    targets: [&str; N],
    rounds: usize,
) -> anyhow::Result<[Vec<Round>; N]> {
    let mut done = [const { Vec::new() }; N];
    for _ in 0..rounds {
        for (target, done) in targets.iter().zip(&mut done) {
            done.push(client.round(target)?);
        }
    }
    Ok(done)
}
