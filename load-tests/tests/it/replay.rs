//! Rounds of bodies that were made beforehand, against the stub.

use serde_json::json;
use wattline_fleet::replay::{Plan, Replay};

use super::NOW_S;
use super::stub::{Manners, Stub};

fn replay(stub: &Stub, fresh: bool) -> Replay {
    let token = std::env::temp_dir().join(format!("wattline-replay-{}", std::process::id()));
    std::fs::write(&token, "wl_test_token\n").expect("a token");
    let plan: Plan = serde_json::from_value(json!({
        "targets": [{
            "name": "stub", "url": stub.url(), "pid": std::process::id(), "token_file": token, "devices": 40,
        }],
        "seed": 7, "kinds": ["BATTERY", "BATTERY_COUNTER"], "points": 5, "bodies": 8, "passes": 3,
        "fresh": fresh, "connections": 4, "points_per_s": null, "hours_back": 24, "threads": 1,
    }))
    .expect("a plan");
    Replay::new(plan, NOW_S).expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_body_is_sent_in_each_pass() {
    for (fresh, distinct) in [(false, 40), (true, 80)] {
        let stub = Stub::start(Manners::Good).await;
        let mut replay = replay(&stub, fresh);
        for _ in 0..2 {
            let round = replay.round("stub").await.expect("a round");
            assert_eq!((round.requests, round.points, round.points_ok), (24, 120, 120), "{round:?}");
            assert_eq!(round.refusal, None);
        }
        assert_eq!(stub.seen().stored.len(), distinct, "fresh: {fresh}");
        assert!(replay.round("nobody").await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_not_ok() {
    let stub = Stub::start(Manners::Refusing).await;
    let round = replay(&stub, false).round("stub").await.expect("a round");
    assert_eq!((round.points, round.points_ok), (120, 0));
    assert_eq!(round.refusal.as_deref(), Some("HTTP 401 no such token"));
}
