//! From HTTP to Kafka: the same bodies to each, in rounds that take turns.

use super::programs::{Records, start_benthos, start_mq_bridge};
use super::{DEVICES, topics_for};
use crate::bench::edge::SIZES;
use crate::bench::ground::{Ground, Place};
use crate::bench::replay::{Plan, Round, Target, least_us_per_point};
use crate::bench::row::Row;

const UNIT: &str = "µs";

/// A peer, and what it leaves undone.
struct Peer {
    name: &'static str,
    start: fn(&mut Ground, &str, &str) -> anyhow::Result<Target>,
    note: &'static str,
}

const PEERS: [Peer; 3] = [
    Peer {
        name: "mq-bridge",
        start: start_mq_bridge,
        note: "mq-bridge 1.2.0: a record a request, no token, nothing parsed",
    },
    Peer {
        name: "benthos",
        start: |ground, name, topic| start_benthos(ground, name, topic, Records::Whole),
        note: "Benthos 4.27.0, later Redpanda Connect: a record a request, no token, nothing parsed",
    },
    Peer {
        name: "benthos-points",
        start: |ground, name, topic| start_benthos(ground, name, topic, Records::OneAPoint),
        note: "Benthos 4.27.0, later Redpanda Connect: parsed, a record a point, no token, nothing checked",
    },
];

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(ground, "gateway", DEVICES)?;
    let gateway = place.start_gateway(ground)?;
    let (mut peers, mut rows) = (Vec::new(), Vec::new());
    for peer in &PEERS {
        let topic = topics_for(ground, peer.name)?;
        match (peer.start)(ground, peer.name, &topic) {
            Ok(target) => peers.push((peer, Target { devices: DEVICES, ..target })),
            Err(error) => {
                let name = format!("{}_cpu_per_point", peer.name);
                rows.push(Row::not_measured(name, UNIT, &format!("{error:#}")));
            }
        }
    }
    for size in &SIZES {
        println!("  {} points a request …", size.points);
        let mut targets = vec![gateway.clone()];
        targets.extend(peers.iter().map(|(_, target)| target.clone()));
        let plan = Plan {
            passes: ground.or_quick(size.passes, size.passes.div_ceil(4)),
            fresh: false,
            connections: size.connections,
            ..Plan::new(targets, size.points, size.bodies)
        };
        let mut client = ground.replay(&plan)?;
        let mut done: Vec<Vec<Round>> = plan.targets.iter().map(|_| Vec::new()).collect();
        // The first round is for caches and connections.
        for round in 0..=ground.or_quick(5, 3) {
            for (target, done) in plan.targets.iter().zip(&mut done) {
                let figures = if target.name == gateway.name {
                    client.round(&target.name)?
                } else {
                    client.round_of_another(&target.name)?
                };
                if round > 0 {
                    done.push(figures);
                }
            }
        }
        let cpu_us: Vec<f64> = done.iter().map(|rounds| least_us_per_point(rounds)).collect();
        let name = |whose: &str| format!("{whose}_cpu_per_point_{}", size.points);
        let base = Row::new(name("wattline"), cpu_us[0], UNIT);
        rows.push(base.clone());
        for ((peer, _), cpu_us) in peers.iter().zip(&cpu_us[1..]) {
            rows.push(Row::new(name(peer.name), *cpu_us, UNIT).related_to(&base).note(peer.note));
        }
    }
    ground.end(&place.gateway())?;
    Ok(rows)
}
