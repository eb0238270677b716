use std::time::Instant;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use wattline_kafka::Record;

use crate::support::{Cluster, DELIVERY_TIMEOUT, NONE, TOPIC, append, wait_for};

const BOTH: [Record<'static>; 2] =
    [Record { partition: 0, value: b"zero" }, Record { partition: 1, value: b"one" }];

#[tokio::test]
async fn a_produce_error_of_the_topic_is_told_of_its_record_alone() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
    assert_eq!(producer.append(TOPIC, &[]).await.unconfirmed, NONE);

    cluster
        .mock
        .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let appended = producer.append(TOPIC, &BOTH).await;
    assert_eq!(appended.unconfirmed.len(), 1, "{appended:?}");
    assert!(!producer.health().is_fatal());
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);

    let nowhere = producer.append(TOPIC, &[Record { partition: 7, value: b"x" }, BOTH[0]]).await;
    assert_eq!(nowhere.unconfirmed, [7]);

    // Refused for the whole topic: librdkafka sends nothing more to it until it has asked for the topic anew.
    cluster.mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED],
    );
    let appended = producer.append(TOPIC, &BOTH[..1]).await;
    assert_eq!((appended.unconfirmed, producer.health().is_fatal()), (vec![0], false));
}

#[tokio::test]
async fn an_error_that_passes_is_retried_and_nobody_hears_of_it() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    cluster
        .mock
        .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 2]);
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
}

/// Kafka has other records where the producer's own should be: librdkafka never produces again.
#[tokio::test]
async fn a_producer_that_has_failed_for_good_says_so() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
    wait_for("a ready producer", || producer.health().is_ready().then_some(()));
    cluster.mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    assert_eq!(producer.append(TOPIC, &BOTH[..1]).await.unconfirmed, [0]);
    assert!(producer.health().is_fatal() && !producer.health().is_ready());
    assert_eq!(producer.append(TOPIC, &BOTH[1..]).await.unconfirmed, [1]);
}

#[tokio::test]
async fn with_the_broker_down_records_are_given_up_in_time_and_health_says_so() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
    wait_for("a broker that is up", || producer.health().is_ready().then_some(()));

    cluster.mock.broker_down(-1).unwrap();
    let began = Instant::now();
    let mut appended = producer.append(TOPIC, &BOTH).await;
    let took = began.elapsed();
    appended.unconfirmed.sort_unstable();
    assert_eq!(appended.unconfirmed, [0, 1]);
    // librdkafka looks for records that are too old once a second.
    assert!(took < DELIVERY_TIMEOUT + std::time::Duration::from_secs(3), "{took:?}");
    wait_for("an unready producer", || (!producer.health().is_ready()).then_some(()));

    cluster.mock.broker_up(-1).unwrap();
    wait_for("a ready producer", || producer.health().is_ready().then_some(()));
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    assert_eq!(producer.append(TOPIC, &BOTH).await.unconfirmed, NONE);
    cluster.mock.broker_down(-1).unwrap();
    let large = vec![0; 600_000];
    let waiting = producer.append(TOPIC, &[Record { partition: 0, value: &large }]);
    let began = Instant::now();
    let refused = producer.append(TOPIC, &[Record { partition: 1, value: &large }]).await;
    assert_eq!(refused.unconfirmed, [1]);
    assert!(began.elapsed() < DELIVERY_TIMEOUT / 4, "{:?}", began.elapsed());
    assert_eq!(waiting.await.unconfirmed, [0]);
    assert_eq!(producer.health().stalled_for(), std::time::Duration::ZERO);
}

/// The caller may go away, as its client does; what it appended is settled all the same.
#[test]
fn an_append_that_nobody_waits_for_is_sent() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    drop(producer.append(TOPIC, &BOTH));
    producer.flush(2 * DELIVERY_TIMEOUT).unwrap();
    append(&producer, &[(0, "after".into())]);
    let reader = wattline_kafka::Reader::new(&cluster.connection()).unwrap();
    assert_eq!(reader.watermarks(TOPIC, 0).unwrap(), (0, 2));
    assert_eq!(reader.watermarks(TOPIC, 1).unwrap(), (0, 1));
}
