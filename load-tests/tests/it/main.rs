//! A whole run against a stub gateway that misbehaves in the ways a real one may.

mod proxy;
mod replay;
mod stub;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wattline_fleet::fleet::Order;
use wattline_fleet::report::StoppedBy;
use wattline_fleet::run::{BatchSize, Outcome, Settings, run};
use wattline_fleet::target::Target;

use stub::{Manners, Stub};

const NOW_S: u32 = 1_795_478_400;

fn settings(stub: &Stub) -> Settings {
    Settings {
        target: Target::parse(&stub.url()).expect("a loopback URL"),
        token: "wl_test_token".to_owned(),
        seed: 7,
        devices: 40,
        gateways: 4,
        seconds: 20,
        points_per_s: None,
        requests_max: Some(60),
        batch: BatchSize::Mixed,
        bad_permille: 20,
        resend_max: 20,
        drain_s: 20,
        request_timeout_ms: 5_000,
        slow_answers_ms: 0,
        now_s: NOW_S,
        hours_back: 24 * 30,
        order: Order::InTurn,
        reconnect_every_s: 0,
        keep_entries: true,
    }
}

async fn run_quietly(settings: Settings) -> Outcome {
    run(settings, std::future::pending(), |_| {}).await.expect("a run")
}

fn lines(outcome: &Outcome) -> Vec<Value> {
    let mut bytes = Vec::new();
    outcome.ledger.write(&mut bytes).expect("memory takes all");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Closed connections before and after the request was taken, 503s and undecided points: every
/// point ends up OK or FAILED by its flaw, and the ledger says of each what the stub did with it.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_agrees_with_a_gateway_that_misbehaves() {
    let stub = Stub::start(Manners::Bad).await;
    let outcome = run_quietly(settings(&stub)).await;
    let report = &outcome.report;
    let seen = stub.seen();

    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.stopped_by, StoppedBy::Requests);
    assert_eq!(report.requests - report.resends, 60);
    assert_eq!(report.points_sent, report.points_ok + report.points_failed);
    assert_eq!((report.points_unknown, report.points_maybe_stored), (0, 0));
    assert_eq!((report.bad_points_ok, report.good_points_failed), (0, 0));
    assert!(report.bad_points_sent > 0 && report.bad_points_sent == report.points_failed);
    assert!(report.resends > 0 && report.http_status[&503] > 0, "{report:#?}");
    assert!(report.requests_not_answered["connection lost"] > 0, "{report:#?}");
    assert_eq!(seen.resent_with_other_bytes, 0, "resends are unchanged");

    let mut ok = BTreeSet::new();
    let mut failed = BTreeMap::<String, u64>::new();
    for line in lines(&outcome) {
        match line["status"].as_str() {
            Some("OK") => assert!(ok.insert(stub::key(&line, "time"))),
            Some("FAILED") => {
                *failed.entry(line["message"].as_str().expect("text").to_owned()).or_default() += 1;
            }
            status => panic!("unexpected status {status:?}"),
        }
    }
    assert_eq!(ok, seen.stored, "OK in the ledger is what the stub stored");
    assert_eq!(ok.len() as u64, report.points_ok);
    assert_eq!(report.ok_by_kind.values().sum::<u64>(), report.points_ok);
    assert_eq!(failed, report.failed_by_reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_never_answers_leaves_unknown_points() {
    let stub = Stub::start(Manners::Silent).await;
    let outcome =
        run_quietly(Settings { requests_max: Some(4), resend_max: 2, bad_permille: 0, ..settings(&stub) })
            .await;
    let report = &outcome.report;
    assert!(!report.is_sound());
    assert_eq!(report.points_unknown, report.points_sent);
    assert_eq!(report.points_maybe_stored, report.points_sent);
    assert_eq!((report.requests, report.resends), (12, 8));
    assert!(lines(&outcome).iter().all(|line| line["status"] == "UNKNOWN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_stops_the_run_and_is_named() {
    let stub = Stub::start(Manners::Refusing).await;
    let outcome = run_quietly(settings(&stub)).await;
    let report = &outcome.report;
    assert!(!report.is_sound());
    assert_eq!(report.stopped_by, StoppedBy::Refusal);
    assert!(report.refusals.keys().all(|reason| reason == "HTTP 401 no such token"), "{report:#?}");
    assert!(report.requests <= 4 && report.points_unknown == 0);
}

/// Two hours at 12 points an hour for each device, and a pace that takes two seconds for them.
#[tokio::test(flavor = "multi_thread")]
async fn a_paced_fleet_keeps_its_rate_and_stops_at_the_present() {
    let stub = Stub::start(Manners::Good).await;
    let outcome = run_quietly(Settings {
        requests_max: None,
        hours_back: 2,
        batch: BatchSize::Fixed(8),
        points_per_s: Some(480.0),
        ..settings(&stub)
    })
    .await;
    let report = &outcome.report;
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.stopped_by, StoppedBy::Present);
    assert_eq!(report.points_sent, 40 * 24);
    assert!(report.seconds > 1.5, "{report:#?}");
}

/// A backlog of two hours: every point of it comes, and not in the order of time.
#[tokio::test(flavor = "multi_thread")]
async fn a_shuffled_fleet_sends_all_that_it_has_in_any_order() {
    let stub = Stub::start(Manners::Good).await;
    let outcome = run_quietly(Settings {
        requests_max: None,
        hours_back: 2,
        order: Order::Shuffled,
        bad_permille: 0,
        ..settings(&stub)
    })
    .await;
    let (report, seen) = (&outcome.report, stub.seen());
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.stopped_by, StoppedBy::Present);
    assert_eq!(seen.stored.len(), 40 * 24);
    assert!(seen.out_of_order > 40 * 24 / 4, "{} points are out of order", seen.out_of_order);

    let in_turn = Stub::start(Manners::Good).await;
    run_quietly(Settings { bad_permille: 0, ..settings(&in_turn) }).await;
    assert_eq!(in_turn.seen().out_of_order, 0);
}

/// Two seconds with a storm after each: every gateway has had three connections at most, and two at least.
#[tokio::test(flavor = "multi_thread")]
async fn gateways_hang_up_together() {
    let stub = Stub::start(Manners::Good).await;
    let outcome = run_quietly(Settings {
        requests_max: None,
        seconds: 2,
        reconnect_every_s: 1,
        batch: BatchSize::Fixed(1),
        points_per_s: Some(200.0),
        ..settings(&stub)
    })
    .await;
    assert!(outcome.report.is_sound(), "{:#?}", outcome.report);
    let connections = stub.seen().connections;
    assert!((8..=12).contains(&connections), "{connections} connections of 4 gateways");
}
