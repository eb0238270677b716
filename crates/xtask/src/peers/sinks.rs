//! From Kafka to ClickHouse: Wattline's worker, which also writes Parquet, and ClickHouse's own Kafka engine.

use std::time::Duration;

use anyhow::Context as _;

use super::programs::{Records, start_benthos};
use super::{DEVICES, topics_for};
use crate::bench::figures::cpu_s_when_quiet;
use crate::bench::ground::{Ground, Place};
use crate::bench::replay::{Plan, Replay, Target};
use crate::bench::row::Row;
use crate::process::wait_for;
use crate::services::clickhouse;

const UNIT: &str = "µs";
const QUIET_WINDOW: Duration = Duration::from_secs(3);
const QUIET_DEADLINE: Duration = Duration::from_secs(180);
const STORED_DEADLINE: Duration = Duration::from_secs(300);
const POINTS_PER_REQUEST: u32 = 100;
const DATABASE: &str = "peers";

pub fn measure(ground: &mut Ground) -> anyhow::Result<Vec<Row>> {
    let requests = ground.or_quick(6_000, 1_500);
    let points = requests as u64 * u64::from(POINTS_PER_REQUEST);
    let us_per_point = |cpu_s: f64| cpu_s * 1e6 / points as f64;

    let place = Place::new(ground, "worker", DEVICES)?;
    let gateway = place.start_gateway(ground)?;
    replay(ground, &gateway, requests)?.round(&gateway.name)?;
    ground.end(&place.gateway())?;
    let before_s = clickhouse_cpu_s(ground)?;
    place.start_worker(ground)?;
    place.wait_stored(ground, points)?;
    let worker = us_per_point(ground.end(&place.worker())?);
    let server = us_per_point(clickhouse_cpu_s(ground)? - before_s);

    let note = "intervals and readings, derived intervals, exactly once, and all of it in Parquet too";
    let both = Row::new("wattline_with_clickhouse_cpu_per_point", worker + server, UNIT).note(note);
    let mut rows = vec![
        both.clone(),
        Row::new("wattline_worker_cpu_per_point", worker, UNIT),
        Row::new("wattline_clickhouse_cpu_per_point", server, UNIT)
            .note("ClickHouse while the worker stores, with its merges"),
    ];
    const NAME: &str = "kafka_engine_cpu_per_point";
    rows.push(match kafka_engine(ground, requests) {
        Ok(cpu_s) => Row::new(NAME, us_per_point(cpu_s), UNIT)
            .related_to(&both)
            .note("ClickHouse with its merges: a JSON record a point into one table, at least once, nothing derived"),
        Err(error) => Row::not_measured(NAME, UNIT, &format!("{error:#}")),
    });
    Ok(rows)
}

/// The CPU time of ClickHouse from the first record that its Kafka engine reads to the last merge.
fn kafka_engine(ground: &mut Ground, requests: usize) -> anyhow::Result<f64> {
    const FEEDER: &str = "feeder";
    let topic = topics_for(ground, FEEDER)?;
    let feeder = Target { devices: DEVICES, ..start_benthos(ground, FEEDER, &topic, Records::OneAPoint)? };
    let points = replay(ground, &feeder, requests)?.round_of_another(FEEDER)?.points;
    let before_s = clickhouse_cpu_s(ground)?;
    for statement in statements(&ground.services.kafka, &topic) {
        let made = ground.sql(&statement);
        // The embedded engine makes a table of its Kafka engine, and answers all the same that it was shut down.
        if made.is_err() && ground.sql(&format!("EXISTS {DATABASE}.queue"))?.trim() != "1" {
            made?;
        }
    }
    wait_for(&format!("{points} points read by the Kafka engine"), STORED_DEADLINE, || {
        ground.stack.check()?;
        let count = ground.sql(&format!("SELECT count() FROM {DATABASE}.points"))?;
        Ok((count.trim().parse() == Ok(points)).then_some(()))
    })?;
    // Before it counts, so that the engine's polls of an empty topic do not.
    ground.sql(&format!("DROP TABLE {DATABASE}.view"))?;
    ground.sql(&format!("DROP TABLE {DATABASE}.queue"))?;
    let cpu_s = clickhouse_cpu_s(ground)? - before_s;
    ground.sql(&format!("DROP DATABASE {DATABASE}"))?;
    Ok(cpu_s)
}

fn replay(ground: &Ground, target: &Target, requests: usize) -> anyhow::Result<Replay> {
    ground.replay(&Plan::new(vec![target.clone()], POINTS_PER_REQUEST, requests))
}

fn clickhouse_cpu_s(ground: &mut Ground) -> anyhow::Result<f64> {
    let pid = ground.stack.service(clickhouse::SERVICE).context("ClickHouse was not started")?.pid;
    cpu_s_when_quiet(pid, QUIET_WINDOW, QUIET_DEADLINE)
}

/// A table with the fields of a point, what reads the topic, and what goes from the one to the other.
fn statements(brokers: &str, topic: &str) -> [String; 4] {
    const NUMBERS: [&str; 13] = [
        "battery_total_energy_charge_wh",
        "battery_total_energy_discharge_wh",
        "home_total_energy_wh",
        "solar_total_energy_wh",
        "battery_last_power_charge_w",
        "battery_last_power_discharge_w",
        "battery_last_stored_energy_wh",
        "battery_last_capacity_energy_wh",
        "home_last_power_w",
        "solar_last_power_w",
        "battery_last_state_of_charge_percentage",
        "battery_last_state_of_health_percentage",
        "battery_last_backup_reserve_percentage",
    ];
    let numbers = NUMBERS.map(|name| format!("{name} Nullable(Decimal(18, 3))")).join(", ");
    let rest = format!(
        "device_id String, duration_s Nullable(UInt32), last_is_online Bool, last_is_grid_online Nullable(Bool), \
         last_mode LowCardinality(Nullable(String)), {numbers}, oem_raw_data Nullable(String)"
    );
    [
        format!("CREATE DATABASE {DATABASE}"),
        format!(
            "CREATE TABLE {DATABASE}.points (time DateTime64(3, 'UTC'), {rest}) ENGINE = MergeTree \
             ORDER BY (device_id, time)"
        ),
        format!(
            "CREATE TABLE {DATABASE}.queue (start_time Nullable(String), timestamp Nullable(String), {rest}) \
             ENGINE = Kafka SETTINGS kafka_broker_list = '{brokers}', kafka_topic_list = '{topic}', \
             kafka_group_name = 'peers', kafka_format = 'JSONEachRow'"
        ),
        format!(
            "CREATE MATERIALIZED VIEW {DATABASE}.view TO {DATABASE}.points AS SELECT \
             parseDateTime64BestEffort(coalesce(start_time, timestamp), 3, 'UTC') AS time, \
             * EXCEPT (start_time, timestamp) FROM {DATABASE}.queue"
        ),
    ]
}
