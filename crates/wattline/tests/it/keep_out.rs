//! Who may post: tokens, devices, and clients that must never meet.

use std::time::{Duration, Instant};

use crate::http::{Connection, exchange};
use crate::points::{BATTERY, COUNTER, MINUTE_MS, ago_ms, all_ok, interval, messages, post_points, reading};
use crate::process::until;
use crate::rebuild::drop_before;
use crate::refusals::check_problem;
use crate::site::{Audit, PEPPER, Site};
use crate::stored::{Row, Table, thousandths, value};

/// The key id of a token: its name in lists.
fn key_id(token: &str) -> &str {
    token.split('_').nth(2).expect("wl_live_<key id>_<secret>")
}

#[test]
fn a_revoked_token_is_refused_within_seconds_on_an_open_connection() {
    let site = Site::new("revoked");
    let (revoked, kept) = (site.token("demo"), site.token("demo"));
    site.import("demo", &["a"]);
    let gateway = site.gateway(&[]);
    let request = |token: &str| post_points(BATTERY, token, &[interval("a", ago_ms(10 * MINUTE_MS))]);
    let mut connection = Connection::open(gateway.address).unwrap();
    all_ok(&connection.exchange(&request(&revoked)), 1);

    site.run(&["token", "revoke", key_id(&revoked)]);
    let refused = until("the token is refused", Duration::from_secs(5), || {
        let answer = connection.exchange(&request(&revoked));
        (answer.status != 200).then_some(answer)
    });
    check_problem(&refused, 401, "UNAUTHORIZED", &[]);
    all_ok(&connection.exchange(&request(&kept)), 1);

    // Nobody learns from the answer what is wrong with a token.
    let never = site.token("demo");
    let unknown = {
        // Well formed, and of another directory.
        let other = Site::new("revoked_other");
        other.token("demo")
    };
    let mut malformed = never.clone();
    malformed.truncate(malformed.len() - 1);
    let mut bodies: Vec<Vec<u8>> = [revoked.as_str(), &unknown, &malformed, "x", ""]
        .map(|token| {
            let answer = exchange(gateway.address, &request(token).header("X-Request-Id", "the-same"));
            check_problem(&answer, 401, "UNAUTHORIZED", &[]);
            answer.body
        })
        .into();
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(site.output(&["token", "revoke", key_id(&revoked)]).status.code(), Some(1));
}

#[test]
fn a_new_device_may_post_within_a_second() {
    let site = Site::new("new_device");
    let token = site.token("demo");
    site.import("demo", &["first"]);
    let gateway = site.gateway(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    let mut waited: Vec<Duration> = ["a", "b", "c"]
        .map(|device| {
            let request = post_points(BATTERY, &token, &[interval(device, ago_ms(10 * MINUTE_MS))]);
            assert_eq!(messages(&connection.exchange(&request)), ["unknown device"]);
            site.import("demo", &[device]);
            let began = Instant::now();
            until("the device is known", Duration::from_secs(10), || {
                (messages(&connection.exchange(&request)) == [""]).then_some(())
            });
            began.elapsed()
        })
        .into();
    // The machine may be slow once.
    waited.sort();
    assert!(waited[1] < Duration::from_secs(1), "{waited:?}");
}

/// What comes together is joined to one record for each partition, of whichever clients it is.
#[test]
fn requests_that_share_a_record_have_each_its_own_answer_client_and_place() {
    const REQUESTS: i64 = 4;
    let site = Site::new("shared_records");
    let tokens = ["ours", "theirs"].map(|client| {
        site.import(client, &["a", "b", "c", "d", "e"]);
        (client, site.token(client))
    });
    // Far longer than the requests need to come together, and shorter than they wait.
    let gateway = site.gateway(&[("WATTLINE_GATEWAY_LINGER_MS", "1500")]);
    let mut worker = site.worker(&[]);
    let first_ms = ago_ms(60 * MINUTE_MS);
    let records = || {
        let reader = wattline_kafka::Reader::new(&site.kafka()).expect("a reader");
        let end = |partition| reader.watermarks(&site.topic("counters"), partition).expect("its offsets").1;
        (0..Site::PARTITIONS as i32).map(end).sum::<i64>()
    };
    for round in 0..2 {
        std::thread::scope(|scope| {
            for (client, token) in &tokens {
                for step in 0..REQUESTS {
                    let at_ms = first_ms + (REQUESTS * round + step) * 5 * MINUTE_MS;
                    let counter = if *client == "ours" { 100.0 } else { 900.0 }
                        + ((at_ms - first_ms) / MINUTE_MS * 10) as f64;
                    let mut points = ["a", "b", "c", "d", "e", "nobody's"]
                        .map(|device| reading(device, at_ms, [counter; 4]))
                        .to_vec();
                    points.rotate_left(step as usize);
                    scope.spawn(move || {
                        let answer = exchange(gateway.address, &post_points(COUNTER, token, &points));
                        let mut expected = ["", "", "", "", "", "unknown device"];
                        expected.rotate_left(step as usize);
                        assert_eq!(messages(&answer), expected);
                    });
                }
            }
        });
        assert!(records() <= (round + 1) * i64::from(Site::PARTITIONS), "{} records", records());
        site.wait_until_stored();
    }
    let intervals = || {
        let rows = site.rows(Table::Intervals, &["source", "battery_total_energy_charge_wh"]);
        // Requests of a round come in any order, and each device has a chain of its own.
        for (client, _) in &tokens {
            let of = rows.iter().filter(|row| value(row, "client_id") == *client);
            assert_eq!(of.clone().count() as i64, 5 * (2 * REQUESTS - 1), "{client}");
            for row in of {
                assert_eq!(thousandths(row, "battery_total_energy_charge_wh"), 50_000, "{row:?}");
            }
        }
        rows
    };
    let before = intervals();
    let points = 2 * 5 * 2 * REQUESTS as u64;
    let expected = Audit { kafka: points, clickhouse: points, parquet: points, rejected: 0, duplicates: 0 };
    assert_eq!(site.audit(), expected);

    // Computed anew from the files, which have rows and no records.
    worker.process.term();
    assert!(worker.process.wait(crate::restarts::STOP_DEADLINE).success());
    site.run(&["rebuild", "--from", "parquet", "--yes"]);
    assert_eq!(intervals(), before);
    drop_before(&site);
    assert_eq!(site.audit(), expected);
}

#[test]
fn two_clients_with_the_same_device_id_never_meet() {
    let site = Site::new("two_clients");
    let (ours, theirs) = (site.token("ours"), site.token("theirs"));
    site.import("ours", &["same", "only-ours"]);
    site.import("theirs", &["same"]);
    let gateway = site.gateway(&[]);
    let _worker = site.worker(&[]);
    let mut connection = Connection::open(gateway.address).unwrap();
    let first_ms = ago_ms(60 * MINUTE_MS);

    // The readings alternate, so that a chain across both would show in every interval.
    for step in 0..6 {
        let at_ms = first_ms + step * 5 * MINUTE_MS;
        for (token, counter) in [(&ours, 1_000.0 + step as f64), (&theirs, 900.0 + 10.0 * step as f64)] {
            let reading = reading("same", at_ms, [counter; 4]);
            all_ok(&connection.exchange(&post_points(COUNTER, token, &[reading])), 1);
            all_ok(&connection.exchange(&post_points(BATTERY, token, &[interval("same", at_ms)])), 1);
        }
    }
    for path in [BATTERY, COUNTER] {
        let points = match path {
            BATTERY => [interval("only-ours", first_ms), interval("same", first_ms)],
            _ => [reading("only-ours", first_ms, [1.0; 4]), reading("same", first_ms, [900.0; 4])],
        };
        let answer = connection.exchange(&post_points(path, &theirs, &points));
        assert_eq!(messages(&answer), ["unknown device", ""]);
    }
    site.wait_until_stored();

    let intervals = site.rows(Table::Intervals, &["source", "battery_total_energy_charge_wh"]);
    let of = |client: &str, source: &str| -> Vec<&Row> {
        let of = |row: &&Row| value(row, "client_id") == client && value(row, "source") == source;
        intervals.iter().filter(of).collect()
    };
    for (client, step_mwh) in [("ours", 1_000), ("theirs", 10_000)] {
        assert_eq!(of(client, "REPORTED").len(), 6, "{client}");
        let derived = of(client, "COUNTER");
        assert_eq!(derived.len(), 5, "{client}");
        for row in derived {
            assert_eq!(thousandths(row, "battery_total_energy_charge_wh"), step_mwh, "{row:?}");
        }
    }
    assert!(intervals.iter().all(|row| value(row, "device_id") == "same"));
    assert_eq!(site.ask("SELECT count() FROM rejected"), "0");
}

#[test]
fn no_token_and_no_pepper_is_in_a_log() {
    let site = Site::new("no_token");
    let token = site.token("demo");
    site.import("demo", &["a"]);
    let keys: &[(&str, &str)] = &[("WATTLINE_LOG_LEVEL", "trace")];
    let gateway = site.gateway(keys);
    let mut worker = site.worker(keys);
    let point = interval("a", ago_ms(10 * MINUTE_MS));
    all_ok(&exchange(gateway.address, &post_points(BATTERY, &token, std::slice::from_ref(&point))), 1);
    let in_query = format!("{BATTERY}?access_token={token}");
    for refused in [
        post_points(&in_query, &token, std::slice::from_ref(&point)),
        post_points("/nowhere", &token, std::slice::from_ref(&point)),
        post_points(BATTERY, &format!("{token}x"), &[point]),
    ] {
        assert!(exchange(gateway.address, &refused).status >= 400);
    }
    site.wait_until_stored();
    site.run(&["token", "revoke", key_id(&token)]);
    until("the token is refused", Duration::from_secs(5), || {
        let answer = exchange(gateway.address, &post_points(BATTERY, &token, &[]));
        (answer.status == 401).then_some(())
    });
    worker.process.term();
    assert!(worker.process.wait(Duration::from_secs(30)).success());

    let (_, metrics) = gateway.ops.get("/metrics").unwrap();
    let secret = &token[token.len() - 49..];
    for (name, text) in
        [("gateway", gateway.process.log()), ("worker", worker.process.log()), ("metrics", metrics)]
    {
        assert!(text.lines().count() > 3, "{name} has said something");
        let told = text.lines().find(|line| line.contains(secret) || line.contains(PEPPER));
        assert_eq!(told, None, "{name}");
    }
}
