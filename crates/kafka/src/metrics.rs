use metrics::{Unit, describe_counter, describe_gauge};

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
    describe_gauge!("wattline_kafka_broker_up", "Whether a broker is connected, by role.");
}
