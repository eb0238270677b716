//! Sites and their devices, as the API's endpoints use them.

use wattline_directory::api::{BodyError, Commission, DeviceChange, DeviceType, SiteChange};
use wattline_directory::{ClientHandle, CommissionError, DeviceLimits, ListedDevice};

use crate::bench::{Bench, caller, on_both, seen};

on_both!(
    a_commissioned_site_is_open_within_a_second_and_a_deleted_device_closed,
    what_is_there_already_is_refused_as_a_whole,
    the_same_ids_of_two_clients_are_two_sites,
    a_change_touches_what_was_sent,
    ids_that_cannot_be_are_nobodys,
    sites_come_in_pages,
    of_many_who_commission_one_site_one_does,
    devices_are_listed_in_the_order_of_their_changes,
);

fn commission(json: &str) -> Commission {
    Commission::parse(json.as_bytes()).expect("a valid body")
}

fn site_with(site: &str, devices: &[&str]) -> Commission {
    let device = |id: &&str| format!(r#"{{"id":"{id}","type":"BATTERY"}}"#);
    let devices: Vec<_> = devices.iter().map(device).collect();
    commission(&format!(r#"{{"site":{{"id":"{site}"}},"devices":[{}]}}"#, devices.join(",")))
}

/// Two clients, by their numbers.
async fn clients(bench: &Bench) -> (u32, u32) {
    for client in ["client-a", "client-b"] {
        assert!(bench.directory.create_client(client).await.expect("creates"));
        assert!(!bench.directory.create_client(client).await.expect("is there"));
    }
    let index = async |client| bench.directory.client_index(client).await.expect("reads").expect("is there");
    (index("client-a").await, index("client-b").await)
}

async fn device_ids(bench: &Bench, client: u32, site: &str) -> Vec<String> {
    let devices = bench.directory.devices(client, site).await.expect("reads");
    devices.into_iter().map(|device| device.id).collect()
}

async fn a_commissioned_site_is_open_within_a_second_and_a_deleted_device_closed(bench: Bench) {
    let token = bench.token("demo").await;
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let client: ClientHandle = caller(&snapshot, &token);
    let body = commission(
        r#"{"site":{"id":"site-1","city":"Austin","state_code":"TX"},"devices":[
            {"id":"bat-1","type":"BATTERY","attributes":{"battery_power_input_w":4999.2,"battery_power_output_w":0}},
            {"id":"ev-1","type":"EV_CHARGER","manufacturer_name":"M"}]}"#,
    );
    assert!(!snapshot.site_belongs(&client, "site-1"));
    bench.directory.commission(client.index, &body).await.expect("commissions");
    seen("site", || snapshot.site_belongs(&client, "site-1")).await;
    let battery = DeviceLimits { charge_w: 5000, ..DeviceLimits::default() };
    seen("battery", || snapshot.device(&client, "bat-1") == Some(battery)).await;
    let charger = DeviceLimits { device_type: DeviceType::EvCharger, ..DeviceLimits::default() };
    seen("charger", || snapshot.device(&client, "ev-1") == Some(charger)).await;
    assert!(!snapshot.site_belongs(&client, "site-2"));

    let site = bench.directory.site(client.index, "site-1").await.expect("reads").expect("is there");
    assert_eq!((site.details.get("city"), site.details.get("state_code")), (Some("Austin"), Some("TX")));
    assert_eq!(site.details.get("email"), None);
    assert_eq!(site.created_at, site.updated_at);
    let device =
        bench.directory.device(client.index, "site-1", "bat-1").await.expect("reads").expect("is there");
    assert_eq!(device.details, body.devices[0].details);
    assert_eq!(device.details.battery_power_input_w, Some(4999.2));
    assert_eq!(
        (device.details.battery_power_output_w, device.details.battery_capacity_wh),
        (Some(0.0), None)
    );

    assert!(bench.directory.delete_site_device(client.index, "site-1", "bat-1").await.expect("deletes"));
    assert!(!bench.directory.delete_site_device(client.index, "site-1", "bat-1").await.expect("is gone"));
    assert!(!bench.directory.delete_site_device(client.index, "site-2", "ev-1").await.expect("not there"));
    seen("deletion", || snapshot.device(&client, "bat-1").is_none()).await;
    assert_eq!(device_ids(&bench, client.index, "site-1").await, ["ev-1"]);
    let gone = bench.directory.device(client.index, "site-1", "bat-1").await.expect("reads");
    assert_eq!(gone, None);

    let change = DeviceChange::parse(br#"{"type":"BATTERY"}"#, "site-1", "ev-1").expect("valid");
    bench.directory.patch_device(client.index, "site-1", "ev-1", change).await.expect("changes");
    seen("new type", || snapshot.device(&client, "ev-1") == Some(DeviceLimits::default())).await;
}

async fn what_is_there_already_is_refused_as_a_whole(bench: Bench) {
    let (client, _) = clients(&bench).await;
    let directory = &bench.directory;
    directory.commission(client, &site_with("s1", &["a", "b"])).await.expect("commissions");
    let before = directory.site(client, "s1").await.expect("reads");
    for taken in [site_with("s1", &[]), site_with("s1", &["c"]), site_with("s2", &["c", "a"])] {
        let refused = directory.commission(client, &taken).await.expect_err("refused");
        assert!(matches!(refused, CommissionError::Exists), "{refused:?}");
    }
    assert_eq!(directory.site(client, "s1").await.expect("reads"), before);
    assert_eq!(directory.site(client, "s2").await.expect("reads"), None);
    assert_eq!(device_ids(&bench, client, "s1").await, ["a", "b"]);
    assert!(device_ids(&bench, client, "s2").await.is_empty());

    // A deleted device begins anew elsewhere; one that was imported without a site joins, with its modulus.
    assert!(directory.delete_site_device(client, "s1", "a").await.expect("deletes"));
    bench
        .import(
            r#"{"client":"client-a","device_id":"loose","counter_modulus_wh":7}
{"client":"client-a","device_id":"placed","site_id":"s3"}"#,
        )
        .await;
    let loose = directory.commission(client, &site_with("s2", &["a", "loose"])).await;
    loose.expect("commissions");
    assert_eq!(device_ids(&bench, client, "s2").await, ["a", "loose"]);
    assert_eq!(device_ids(&bench, client, "s1").await, ["b"]);
    let token = bench.token("client-a").await;
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let handle = caller(&snapshot, &token);
    assert_eq!(snapshot.device(&handle, "loose").map(|limits| limits.modulus_mwh), Some(7_000));
    // A site that an import made is there already.
    let refused = directory.commission(client, &site_with("s3", &[])).await;
    assert!(matches!(refused, Err(CommissionError::Exists)));
    // The largest body that is taken.
    let ids: Vec<_> = (0..1_000).map(|number| format!("bulk-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    directory.commission(client, &site_with("bulk", &ids)).await.expect("commissions");
    assert_eq!(device_ids(&bench, client, "bulk").await.len(), 1_000);
}

async fn the_same_ids_of_two_clients_are_two_sites(bench: Bench) {
    let (a, b) = clients(&bench).await;
    let directory = &bench.directory;
    directory.commission(a, &site_with("s", &["d"])).await.expect("commissions");
    assert_eq!(directory.site(b, "s").await.expect("reads"), None);
    assert!(directory.sites(b, 0, 10).await.expect("reads").is_empty());
    directory.commission(b, &site_with("s", &["d", "e"])).await.expect("commissions");

    let change = SiteChange::parse(br#"{"city":"A"}"#, "s").expect("valid");
    directory.patch_site(a, "s", change).await.expect("changes").expect("is there");
    let city = async |client| {
        let site = directory.site(client, "s").await.expect("reads").expect("is there");
        site.details.get("city").map(str::to_owned)
    };
    assert_eq!((city(a).await.as_deref(), city(b).await), (Some("A"), None));
    assert!(directory.delete_site_device(a, "s", "d").await.expect("deletes"));
    assert_eq!((device_ids(&bench, a, "s").await.len(), device_ids(&bench, b, "s").await.len()), (0, 2));

    let (token_a, token_b) = (bench.token("client-a").await, bench.token("client-b").await);
    let follower = bench.follow().await;
    let snapshot = follower.snapshot();
    let (handle_a, handle_b) = (caller(&snapshot, &token_a), caller(&snapshot, &token_b));
    assert!(snapshot.site_belongs(&handle_a, "s") && snapshot.site_belongs(&handle_b, "s"));
    assert!(snapshot.device(&handle_a, "d").is_none() && snapshot.device(&handle_b, "d").is_some());
    let rows = directory.list_clients().await.expect("lists");
    let counts: Vec<_> =
        rows.iter().map(|row| (&*row.id, row.active_tokens, row.sites, row.devices)).collect();
    assert_eq!(counts, [("client-a", 1, 1, 0), ("client-b", 1, 1, 2)]);
}

async fn a_change_touches_what_was_sent(bench: Bench) {
    let (client, _) = clients(&bench).await;
    let directory = &bench.directory;
    let body = commission(
        r#"{"site":{"id":"s","first_name":"Ada","email":"a@b"},"devices":[
            {"id":"d","type":"BATTERY","serial_number":"S","attributes":{"battery_capacity_wh":13500.1}},
            {"id":"e","type":"BATTERY"}]}"#,
    );
    directory.commission(client, &body).await.expect("commissions");
    let before = directory.site(client, "s").await.expect("reads").expect("is there");
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let patch = async |json: &str| {
        let change = SiteChange::parse(json.as_bytes(), "s").expect("valid");
        directory.patch_site(client, "s", change).await.expect("changes").expect("is there")
    };
    assert_eq!(patch(r#"{"first_name":"Ada","unknown":1}"#).await, before, "nothing has changed");
    let after = patch(r#"{"first_name":null,"city":"Ünì ☀ 'quoted'"}"#).await;
    assert_eq!(Some(&after), directory.site(client, "s").await.expect("reads").as_ref());
    assert_eq!((after.details.get("first_name"), after.details.get("email")), (None, Some("a@b")));
    assert_eq!(after.details.get("city"), Some("Ünì ☀ 'quoted'"));
    assert!(after.updated_at > before.updated_at && after.created_at == before.created_at);

    let patch = async |json: &str| {
        let change = DeviceChange::parse(json.as_bytes(), "s", "d").expect("valid");
        directory.patch_device(client, "s", "d", change).await.expect("changes").expect("is there")
    };
    // Numbers are absent, come, and go again: one prepared statement has to take both, the absent ones first.
    for round in 0..3 {
        let body = format!(
            r#"{{"product_name":"{round}","attributes":{{"battery_power_input_w":null}},"configuration":null}}"#
        );
        let bare = patch(&body).await.details;
        assert_eq!((bare.battery_power_input_w, bare.reserve_percentage), (None, None));
        let read = directory.device(client, "s", "d").await.expect("reads").expect("is there");
        assert_eq!(read.details, bare);
        let full = patch(
            r#"{"attributes":{"battery_power_input_w":5000.25},"configuration":{"reserve_percentage":20}}"#,
        );
        let full = full.await.details;
        assert_eq!((full.battery_power_input_w, full.reserve_percentage), (Some(5000.25), Some(20.0)));
        assert_eq!((full.battery_capacity_wh, full.serial_number.as_deref()), (Some(13500.1), Some("S")));
    }
    let change = || DeviceChange::parse(b"{}", "t", "d").expect("valid");
    assert_eq!(directory.patch_device(client, "t", "d", change()).await.expect("reads"), None);
    let other = directory.device(client, "s", "e").await.expect("reads").expect("is there");
    assert_eq!(other.details, body.devices[1].details);
    assert!(matches!(SiteChange::parse(b"{", "s"), Err(BodyError::Malformed(_))));
}

async fn ids_that_cannot_be_are_nobodys(bench: Bench) {
    let (client, _) = clients(&bench).await;
    let directory = &bench.directory;
    directory.commission(client, &site_with("s", &["d"])).await.expect("commissions");
    let long = "x".repeat(129);
    for id in ["", "s\0", "\0", "s\n", &long, "%", "S", "' OR 1=1 --"] {
        let no_change = || SiteChange::parse(b"{}", id).expect("valid");
        let no_device_change = || DeviceChange::parse(b"{}", id, id).expect("valid");
        assert_eq!(directory.site(client, id).await.expect("reads"), None, "{id:?}");
        assert_eq!(directory.patch_site(client, id, no_change()).await.expect("reads"), None);
        assert!(directory.devices(client, id).await.expect("reads").is_empty());
        assert_eq!(directory.device(client, "s", id).await.expect("reads"), None);
        let patched = directory.patch_device(client, "s", id, no_device_change()).await;
        assert_eq!(patched.expect("reads"), None);
        assert!(!directory.delete_site_device(client, "s", id).await.expect("reads"));
        assert!(!directory.delete_site_device(client, id, "d").await.expect("reads"));
    }
    assert_eq!(device_ids(&bench, client, "s").await, ["d"]);
}

async fn sites_come_in_pages(bench: Bench) {
    let (client, _) = clients(&bench).await;
    for number in 0..7 {
        let body = site_with(&format!("site-{number}"), &[]);
        bench.directory.commission(client, &body).await.expect("commissions");
    }
    let page = async |skip, limit| -> Vec<String> {
        let sites = bench.directory.sites(client, skip, limit).await.expect("reads");
        sites.into_iter().map(|site| site.id).collect()
    };
    assert_eq!(page(0, 3).await, ["site-0", "site-1", "site-2"]);
    assert_eq!(page(5, 3).await, ["site-5", "site-6"]);
    assert!(page(7, 3).await.is_empty() && page(0, 0).await.is_empty());
    assert_eq!(page(0, u32::MAX).await.len(), 7);
    assert!(page(u32::MAX, u32::MAX).await.is_empty());
}

async fn of_many_who_commission_one_site_one_does(bench: Bench) {
    let (client, _) = clients(&bench).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..8 {
        let directory = bench.directory.clone();
        tasks.spawn(async move {
            let body = site_with("contested", &[&format!("device-{number}")]);
            match directory.commission(client, &body).await {
                Ok(()) => 1,
                Err(CommissionError::Exists) => 0,
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    let won: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(won, 1);
    assert_eq!(device_ids(&bench, client, "contested").await.len(), 1);
}

async fn devices_are_listed_in_the_order_of_their_changes(bench: Bench) {
    let (a, b) = clients(&bench).await;
    let directory = &bench.directory;
    directory.commission(a, &site_with("site-1", &["bat-1", "bat-2"])).await.expect("commissions");
    directory.commission(b, &site_with("site-1", &["bat-1"])).await.expect("commissions");
    let listed = async |after, rows_max| {
        let listed = directory.devices_changed_after(after, rows_max).await.expect("lists");
        assert!(listed.is_sorted_by_key(|device| device.change), "{listed:?}");
        listed
    };
    let names = |listed: &[ListedDevice]| -> Vec<String> {
        listed.iter().map(|device| format!("{} {}", device.client, device.device_id)).collect()
    };
    let first = listed(0, 2).await;
    assert_eq!(names(&first), ["client-a bat-1", "client-a bat-2"]);
    let rest = listed(first[1].change, 2).await;
    assert_eq!(names(&rest), ["client-b bat-1"]);
    assert_eq!(directory.last_change().await.expect("a number"), rest[0].change);

    let change = DeviceChange::parse(
        br#"{"manufacturer_name":"M","attributes":{"battery_capacity_wh":13500.5}}"#,
        "site-1",
        "bat-2",
    );
    directory.patch_device(a, "site-1", "bat-2", change.expect("valid")).await.expect("changes");
    assert!(directory.delete_device("client-a", "bat-1").await.expect("deletes"));
    let changed = listed(rest[0].change, 10).await;
    assert_eq!(names(&changed), ["client-a bat-2", "client-a bat-1"]);
    let [patched, deleted] = &changed[..] else { panic!("{changed:?}") };
    assert_eq!(patched.site_id.as_deref(), Some("site-1"));
    assert_eq!(
        (patched.manufacturer_name.as_deref(), patched.battery_capacity_wh),
        (Some("M"), Some(13_500.5))
    );
    assert!(patched.deleted_at.is_none() && deleted.deleted_at.is_some());
    assert_eq!(listed(changed[1].change, 10).await, []);
}
