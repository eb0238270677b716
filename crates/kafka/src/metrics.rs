use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use rdkafka::statistics::{Broker, Statistics};

/// Gives each metric of this crate its help text and its unit.
pub fn describe_metrics() {
    describe_counter!(
        "wattline_kafka_produce_errors_total",
        "Records that Kafka did not confirm, by reason."
    );
    describe_counter!("wattline_kafka_consume_errors_total", "Errors that the consumer went on after.");
    describe_gauge!(
        "wattline_kafka_producer_queue_bytes",
        Unit::Bytes,
        "Bytes of records that wait for their acknowledgement."
    );
    describe_gauge!(
        "wattline_kafka_producer_queue_bytes_max",
        Unit::Bytes,
        "The bound of the bytes of records that wait for their acknowledgement."
    );
    describe_gauge!(
        "wattline_kafka_producer_stalled_seconds",
        Unit::Seconds,
        "How long records have waited without one acknowledgement; 0 where none wait."
    );
    describe_gauge!("wattline_kafka_broker_up", "Whether a broker is connected, by role.");
    describe_gauge!("wattline_kafka_brokers_connected", "Brokers that are connected, by role.");
    describe_gauge!(
        "wattline_kafka_round_trip_seconds",
        Unit::Seconds,
        "The 99th percentile of a producer's request to its slowest broker, of late."
    );
    describe_counter!(
        "wattline_kafka_request_retries_total",
        "Requests that were sent to brokers again, by role."
    );
    describe_counter!(
        "wattline_kafka_request_timeouts_total",
        "Requests that brokers did not answer, by role."
    );
}

/// What librdkafka's statistics say of the brokers, told every second. Whether one of them is connected.
pub(crate) fn brokers_seen(role: &'static str, statistics: &Statistics) -> bool {
    // Those by which librdkafka begins have no id, and are there a second time under their own.
    let brokers = || statistics.brokers.values().filter(|broker| broker.nodeid >= 0);
    let sum = |of: fn(&Broker) -> u64| brokers().map(of).sum::<u64>();
    let connected = brokers().filter(|broker| broker.state == "UP").count();
    gauge!("wattline_kafka_broker_up", "role" => role).set(f64::from(u8::from(connected > 0)));
    gauge!("wattline_kafka_brokers_connected", "role" => role).set(connected as f64);
    counter!("wattline_kafka_request_retries_total", "role" => role).absolute(sum(|broker| broker.txretries));
    counter!("wattline_kafka_request_timeouts_total", "role" => role)
        .absolute(sum(|broker| broker.req_timeouts));
    connected > 0
}

pub(crate) fn producer_seen(statistics: &Statistics, stalled_for: Duration) {
    // A consumer's requests wait at the broker for records, so their round trips say nothing.
    let round_trips = statistics.brokers.values().filter_map(|broker| Some(broker.rtt.as_ref()?.p99));
    gauge!("wattline_kafka_round_trip_seconds").set(round_trips.max().unwrap_or(0) as f64 / 1_000_000.0);
    gauge!("wattline_kafka_producer_queue_bytes").set(statistics.msg_size as f64);
    gauge!("wattline_kafka_producer_stalled_seconds").set(stalled_for.as_secs_f64());
}

pub(crate) fn queue_bytes_max(bytes: usize) {
    gauge!("wattline_kafka_producer_queue_bytes_max").set(bytes as f64);
}
