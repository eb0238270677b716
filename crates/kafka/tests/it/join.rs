use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use wattline_kafka::{Joinable, Joiner, JoinerSettings, Producer, Reader, Record};

use crate::support::{Cluster, DELIVERY_TIMEOUT, NONE, TOPIC};

/// Far longer than the appends of a test take that are to meet.
const LINGER: Duration = Duration::from_millis(500);

fn joiner(producer: Producer, linger: Duration, bytes_max: usize) -> Arc<Joiner> {
    fn join(record: &mut Vec<u8>, value: &[u8]) {
        record.extend_from_slice(value);
        record.push(b'.');
    }
    let settings = JoinerSettings { topic: TOPIC.into(), linger, bytes_max, items_max: 3, join };
    Joiner::new(Arc::new(producer), settings)
}

const fn record(partition: i32, value: &'static str) -> Joinable<'static> {
    Joinable { record: Record { partition, value: value.as_bytes() }, items: 1 }
}

/// What Kafka has in a partition.
fn values(cluster: &Cluster, partition: i32) -> Vec<String> {
    let reader = Reader::new(&cluster.connection()).unwrap();
    let (low, high) = reader.watermarks(TOPIC, partition).unwrap();
    let mut values = Vec::new();
    let read = reader.read(TOPIC, partition, low, high, |_, _, bytes| {
        values.push(String::from_utf8(bytes.to_vec()).unwrap());
        ControlFlow::Continue(())
    });
    read.unwrap();
    values
}

#[tokio::test]
async fn what_comes_within_the_linger_is_one_record_of_its_partition() {
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), LINGER, 100);
    let first = joiner.append(&[record(0, "a"), record(1, "b")], None);
    let second = joiner.append(&[record(0, "c")], None);
    let nothing = joiner.append(&[], None);
    assert_eq!(nothing.await.unconfirmed, NONE);
    assert_eq!((first.await.unconfirmed, second.await.unconfirmed), (vec![], vec![]));
    assert_eq!(joiner.append(&[record(0, "d")], None).await.unconfirmed, NONE);
    assert_eq!(
        (values(&cluster, 0), values(&cluster, 1)),
        (vec!["a.c.".into(), "d.".into()], vec!["b.".into()])
    );
}

#[tokio::test]
async fn a_record_that_is_full_is_sent_and_the_next_one_begun() {
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), LINGER, 10);
    // A request may have several records for a partition, and one that alone is over the bound.
    let all =
        [record(0, "123"), record(0, "4567"), record(0, "89"), record(0, "more than ten"), record(0, "x")];
    let began = Instant::now();
    assert_eq!(joiner.append(&all, None).await.unconfirmed, NONE);
    assert!(began.elapsed() >= LINGER, "the last one waited for company");
    assert_eq!(values(&cluster, 0), ["123.4567.", "89.", "more than ten.", "x."]);

    let items = |items| Joinable { items, ..record(1, "i") };
    assert_eq!(
        joiner.append(&[items(1), items(2), items(1), items(4), items(3)], None).await.unconfirmed,
        NONE
    );
    assert_eq!(values(&cluster, 1), ["i.i.", "i.", "i.", "i."]);
}

#[tokio::test]
async fn a_record_that_is_given_up_is_told_to_all_who_have_something_in_it() {
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), LINGER, 100);
    assert_eq!(joiner.append(&[record(0, "x")], None).await.unconfirmed, NONE);
    cluster
        .mock
        .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let [first, second] = [(); 2].map(|()| joiner.append(&[record(0, "a")], None));
    assert_eq!((first.await.unconfirmed, second.await.unconfirmed), (vec![0], vec![0]));

    // A partition that is not there: the others of the append are confirmed.
    let nowhere = joiner.append(&[record(7, "x"), record(0, "y")], None);
    let other = joiner.append(&[record(0, "z")], None);
    assert_eq!((nowhere.await.unconfirmed, other.await.unconfirmed), (vec![7], vec![]));
    assert_eq!(values(&cluster, 0), ["x.", "y.z."]);
}

#[tokio::test]
async fn a_traced_record_has_no_company_and_keeps_its_place() {
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), 100 * DELIVERY_TIMEOUT, 100);
    let before = joiner.append(&[record(0, "before")], None);
    let traced = joiner.append(&[record(0, "traced")], Some("00-1-2-01"));
    let after = joiner.append(&[record(0, "after")], None);
    assert_eq!((before.await.unconfirmed, traced.await.unconfirmed), (vec![], vec![]));
    assert_eq!(values(&cluster, 0), ["before.", "traced."]);
    joiner.send_all();
    assert_eq!(after.await.unconfirmed, NONE);
    assert_eq!(values(&cluster, 0), ["before.", "traced.", "after."]);
}

#[tokio::test]
async fn without_a_linger_each_record_is_sent_at_once() {
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), Duration::ZERO, 100);
    let [first, second] = ["a", "b"].map(|value| joiner.append(&[record(0, value)], None));
    assert_eq!((first.await.unconfirmed, second.await.unconfirmed), (vec![], vec![]));
    assert_eq!(values(&cluster, 0), ["a.", "b."]);
}

/// The caller may go away, and a process that ends does not wait for the linger.
#[tokio::test]
async fn what_nobody_waits_for_is_sent_before_the_end() {
    let cluster = Cluster::start();
    let producer = Arc::new(cluster.producer());
    let settings = JoinerSettings {
        topic: TOPIC.into(),
        linger: 100 * DELIVERY_TIMEOUT,
        bytes_max: 100,
        items_max: 100,
        join: |record, value| record.extend_from_slice(value),
    };
    let joiner = Joiner::new(Arc::clone(&producer), settings);
    drop(joiner.append(&[record(0, "a"), record(1, "b")], None));
    joiner.send_all();
    producer.flush(2 * DELIVERY_TIMEOUT).unwrap();
    assert_eq!((values(&cluster, 0), values(&cluster, 1)), (vec!["a".into()], vec!["b".into()]));
}

/// Appends from many threads at once: each is in Kafka once, and hears of it.
#[test]
fn nothing_is_lost_between_threads() {
    const APPENDS: usize = 500;
    let cluster = Cluster::start();
    let joiner = joiner(cluster.producer(), Duration::from_millis(1), 64);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async {
        let appends = (0..APPENDS).map(|at| {
            let joiner = Arc::clone(&joiner);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_micros(at as u64 * 7_919 % 50_000)).await;
                let value = format!("<{at}>");
                let records = [0, 1].map(|partition| Joinable {
                    record: Record { partition, value: value.as_bytes() },
                    items: 1,
                });
                let appending = joiner.append(&records, None);
                tokio::time::timeout(2 * DELIVERY_TIMEOUT, appending).await
            })
        });
        for append in appends.collect::<Vec<_>>() {
            assert_eq!(append.await.unwrap().expect("each append is settled").unconfirmed, NONE);
        }
    });
    for partition in [0, 1] {
        let all = values(&cluster, partition);
        assert!(all.len() < APPENDS, "none was joined");
        let all = all.concat();
        let mut found: Vec<usize> =
            all.split_terminator('.').map(|value| value[1..value.len() - 1].parse().unwrap()).collect();
        found.sort_unstable();
        assert_eq!(found, (0..APPENDS).collect::<Vec<_>>());
    }
}
