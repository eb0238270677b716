//! A device stays among the partitions that there were when it came, whatever becomes of it.

use wattline_auth::ClientToken;
use wattline_directory::api::Commission;
use wattline_directory::{Partitions, Snapshot};

use crate::bench::{Bench, caller, on_both, seen};

on_both!(a_device_keeps_its_number_of_partitions_through_deletion_and_return,);

fn of(snapshot: &Snapshot, token: &ClientToken, device: &str) -> Option<u16> {
    snapshot.device(&caller(snapshot, token), device).map(|limits| limits.partitions)
}

async fn a_device_keeps_its_number_of_partitions_through_deletion_and_return(bench: Bench) {
    let line = |device: &str| format!(r#"{{"client":"demo","device_id":"{device}"}}"#);
    let (directory, token) = (&bench.directory, bench.token("demo").await);
    assert_eq!(directory.partitions().await.expect("reads"), None);
    assert!(directory.use_partitions(24).await.is_err(), "none were added");
    bench.import(&line("old")).await;
    directory.keep_partitions(12).await.expect("notes");
    directory.keep_partitions(24).await.expect("it is noted already");
    bench.import(&line("between")).await;
    directory.use_partitions(24).await.expect("notes");
    assert_eq!(directory.partitions().await.expect("reads"), Some(Partitions { base: 12, of_new: 24 }));

    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let is = |device: &'static str, number| {
        let (snapshot, token) = (&snapshot, &token);
        move || of(snapshot, token, device) == number
    };
    bench.import(&line("new")).await;
    seen("a new device is among all", is("new", Some(24))).await;
    assert_eq!((of(&snapshot, &token, "old"), of(&snapshot, &token, "between")), (Some(0), Some(12)));
    for device in ["old", "between"] {
        assert!(directory.delete_device("demo", device).await.expect("deletes"));
        seen("it is gone", || of(&snapshot, &token, device).is_none()).await;
    }
    bench.import(&line("between")).await;
    seen("it is back by an import", is("between", Some(12))).await;
    let body =
        br#"{"site":{"id":"s"},"devices":[{"id":"old","type":"BATTERY"},{"id":"newer","type":"BATTERY"}]}"#;
    let body: Commission = Commission::parse(body).expect("a body");
    let client = caller(&snapshot, &token).index;
    directory.commission(client, &body).await.expect("commissions");
    seen("it is back by the API", is("old", Some(0))).await;
    seen("one that the API adds is among all", is("newer", Some(24))).await;
}
