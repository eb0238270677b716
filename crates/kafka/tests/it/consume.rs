use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaRespErr;
use wattline_kafka::{CommitError, Committed, ConsumeError, Reader, Start};

use crate::support::{Cluster, Event, Owner, TOPIC, append, partition, wait_for};

const ENOUGH: usize = 1_000_000;

fn numbered(partition: i32, numbers: std::ops::Range<usize>) -> Vec<(i32, String)> {
    numbers.map(|number| (partition, format!("{partition}/{number}"))).collect()
}

fn committed(cluster: &Cluster, group: &str) -> Option<Committed> {
    let of = Reader::committed(&cluster.connection(), group, &[partition(0)]).unwrap();
    of.into_iter().next().unwrap()
}

fn expected(partition: i32, offsets: std::ops::Range<usize>) -> Vec<(i64, String)> {
    offsets.map(|offset| (offset as i64, format!("{partition}/{offset}"))).collect()
}

#[test]
fn what_is_appended_is_consumed_and_the_next_member_goes_on_from_the_committed_metadata() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..5));
    append(&producer, &numbered(1, 0..3));

    let owner = Owner::with_room(ENOUGH);
    let member = cluster.member("g", Start::Beginning, &owner);
    owner.wait_for_records(8);
    wait_for("the high watermark", || (owner.seen().high.get(&0) == Some(&5)).then_some(()));
    let metadata = r#"{"clickhouse":[2,4],"note":"ü"}"#;
    let committer = owner.seen().owned[&partition(0)].committer.clone();
    committer.commit(&partition(0), 2, "announced").unwrap();
    committer.commit(&partition(0), 2, metadata).unwrap();
    committer.commit(&partition(1), 3, "").unwrap();
    member.stop().unwrap();

    {
        let mut seen = owner.seen();
        seen.events[..2].sort_by_key(|event| matches!(event, Event::Assigned(1, _)));
        assert_eq!(
            seen.events[..3],
            [Event::Assigned(0, None), Event::Assigned(1, None), Event::Revoked(vec![0, 1], false)]
        );
        let again = seen.events[3..].iter().all(|event| matches!(event, Event::Revoked(_, false)));
        assert!(again, "{:?}", seen.events);
        assert_eq!(seen.taken, BTreeMap::from([(0, expected(0, 0..5)), (1, expected(1, 0..3))]));
    }
    // The consumer is gone, and so is the right to commit.
    let refused = committer.commit(&partition(0), 5, "").unwrap_err();
    assert!(matches!(refused, CommitError::NotOurs), "{refused}");
    let written = committed(&cluster, "g");
    assert_eq!(written, Some((2, metadata.into())));
    assert_eq!(committed(&cluster, "another"), None);

    let owner = Owner::with_room(ENOUGH);
    let member = cluster.member("g", Start::Committed, &owner);
    owner.wait_for_records(3);
    append(&producer, &numbered(1, 3..4));
    owner.wait_for_records(4);
    member.stop().unwrap();
    let mut seen = owner.seen();
    seen.events[..2].sort_by_key(|event| matches!(event, Event::Assigned(1, _)));
    assert_eq!(
        seen.events[..2],
        [Event::Assigned(0, Some((2, metadata.into()))), Event::Assigned(1, Some((3, String::new())))]
    );
    assert_eq!(seen.taken, BTreeMap::from([(0, expected(0, 2..5)), (1, expected(1, 3..4))]));
}

#[test]
fn records_that_are_given_back_come_again_in_their_order() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..200));
    append(&producer, &numbered(1, 0..100));

    let owner = Owner::with_room(0);
    let member = cluster.member("g", Start::Beginning, &owner);
    for _ in 0..3 {
        wait_for("a refusal", || (owner.refused.swap(0, Ordering::SeqCst) > 0).then_some(()));
        let before = owner.taken();
        owner.make_room(1);
        wait_for("a run", || (owner.taken() > before).then_some(()));
        let taken = owner.taken();
        assert!(taken - before <= 64, "a run has no more records");
        // With no room nothing more is taken, and what is appended meanwhile waits its turn.
        owner.refused.store(0, Ordering::SeqCst);
        wait_for("a refusal", || (owner.refused.load(Ordering::SeqCst) > 3).then_some(()));
        assert_eq!(owner.taken(), taken);
    }
    assert!(owner.taken() < 300, "the runs were too long for this test");
    append(&producer, &numbered(0, 200..210));
    owner.make_room(ENOUGH);
    owner.wait_for_records(310);
    member.stop().unwrap();
    assert_eq!(owner.seen().taken, BTreeMap::from([(0, expected(0, 0..210)), (1, expected(1, 0..100))]));
}

/// A paused partition that goes away and comes back is not paused any more.
#[test]
fn a_partition_that_was_paused_flows_again_after_a_rebalance() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..20));
    append(&producer, &numbered(1, 0..20));

    let first = Owner::with_room(0);
    let first_member = cluster.member("g", Start::Beginning, &first);
    // Both are paused: several refusals mean that the records are held and offered again.
    first.wait_for_partitions(2);
    wait_for("refusals", || (first.refused.load(Ordering::SeqCst) > 20).then_some(()));

    let second = Owner::with_room(ENOUGH);
    let second_member = cluster.member("g", Start::Beginning, &second);
    first.wait_for_partitions(1);
    second.wait_for_records(20);
    assert_eq!(first.taken(), 0);

    first.make_room(ENOUGH);
    first.wait_for_records(20);
    second_member.stop().unwrap();
    first.wait_for_partitions(2);
    // Nothing was committed, so a partition begins anew with every assignment: in order, without a hole.
    first.wait_for_records(60);
    first_member.stop().unwrap();
    for (of, taken) in &first.seen().taken {
        for run in taken.chunks(20) {
            assert_eq!(run, expected(*of, 0..20));
        }
    }
}

#[test]
fn a_group_without_offsets_is_an_error_where_they_are_expected() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..2));

    let owner = Owner::with_room(ENOUGH);
    let outcome = cluster.member("g", Start::Committed, &owner).end();
    assert!(matches!(outcome, Err(ConsumeError::NothingCommitted { .. })), "{outcome:?}");
    let error = outcome.unwrap_err();
    assert!(error.is_permanent());
    assert!(error.to_string().contains("the group g has no committed offset for t/"), "{error}");
    assert_eq!((owner.taken(), owner.seen().owned.len()), (0, 0), "nothing is left behind");

    // One partition that goes on does not excuse the other.
    let beginner = Owner::with_room(ENOUGH);
    let member = cluster.member("g", Start::Beginning, &beginner);
    beginner.wait_for_records(2);
    let committer = beginner.seen().owned[&partition(0)].committer.clone();
    committer.commit(&partition(0), 2, "m").unwrap();
    member.stop().unwrap();
    let outcome = cluster.member("g", Start::Committed, &owner).end();
    assert!(
        matches!(&outcome, Err(ConsumeError::NothingCommitted { partition: of, .. }) if *of == partition(1)),
        "{outcome:?}"
    );
    assert_eq!(owner.seen().owned.len(), 0, "{:?}", owner.seen().events);
}

#[test]
fn an_offset_that_kafka_no_longer_has_stops_the_consumer_with_what_to_type() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..2));
    let owner = Owner::with_room(ENOUGH);
    let member = cluster.member("g", Start::Beginning, &owner);
    owner.wait_for_records(2);
    let committer = owner.seen().owned[&partition(0)].committer.clone();
    committer.commit(&partition(0), 99, "beyond the end").unwrap();
    member.stop().unwrap();

    let owner = Owner::with_room(ENOUGH);
    let outcome = cluster.member("g", Start::Beginning, &owner).end();
    assert!(matches!(outcome, Err(ConsumeError::MissingOffset { .. })), "{outcome:?}");
    let error = outcome.unwrap_err();
    assert!(error.is_permanent());
    assert!(error.to_string().contains("--reset-offsets"), "{error}");
    assert_eq!(owner.taken(), 0);
    assert_eq!(owner.seen().owned.len(), 0, "{:?}", owner.seen().events);
}

#[test]
fn a_broker_that_goes_and_comes_back_costs_no_record() {
    let cluster = Cluster::start();
    let producer = cluster.producer();
    append(&producer, &numbered(0, 0..3));
    let owner = Owner::with_room(ENOUGH);
    let member = cluster.member("g", Start::Beginning, &owner);
    owner.wait_for_records(3);
    let committer = owner.seen().owned[&partition(0)].committer.clone();

    cluster.mock.broker_down(-1).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    cluster.mock.broker_up(-1).unwrap();
    append(&producer, &numbered(0, 3..6));
    owner.wait_for_records(6);
    committer.commit(&partition(0), 6, "after").unwrap();
    member.stop().unwrap();
    assert_eq!(owner.seen().taken[&0], expected(0, 0..6));
    assert_eq!(committed(&cluster, "g"), Some((6, "after".into())));
}

#[test]
fn the_reader_gives_every_record_between_two_offsets() {
    let cluster = Cluster::start();
    append(&cluster.producer(), &numbered(1, 0..10));
    let reader = Reader::new(&cluster.connection()).unwrap();
    let read = |from: i64, to: i64, most: usize| {
        let mut read = Vec::new();
        reader
            .read(TOPIC, 1, from, to, |offset, _, value| {
                read.push((offset, String::from_utf8(value.to_vec()).unwrap()));
                if read.len() == most {
                    std::ops::ControlFlow::Break(())
                } else {
                    std::ops::ControlFlow::Continue(())
                }
            })
            .unwrap();
        read
    };
    assert_eq!(read(0, 10, ENOUGH), expected(1, 0..10));
    assert_eq!(read(3, 7, ENOUGH), expected(1, 3..7));
    assert_eq!(read(3, 7, 2), expected(1, 3..5));
    assert_eq!(read(7, 7, ENOUGH), []);
    assert_eq!(read(8, 99, ENOUGH), expected(1, 8..10));
}

/// A topic that comes back within some seconds is none that is gone, so this takes as long.
#[test]
fn a_topic_that_is_not_there_ends_the_consumer() {
    let cluster = Cluster::start();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.mock.topic_error(TOPIC, unknown).unwrap();
    let began = Instant::now();
    let fault = cluster.member("g", Start::Beginning, &Owner::with_room(0)).end().unwrap_err();
    assert!(matches!(&fault, ConsumeError::TopicGone { topic } if topic == TOPIC), "{fault}");
    assert!(fault.is_permanent());
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
}
