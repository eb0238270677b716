//! What an analyst reads: comments, views that stay true, devices, and how long rows are kept.

use wattline_clickhouse_sink::{PublishedDevice, Retention, Table, Thousandths};

use crate::fixture::{Database, with_database};

const DAY: &str = "since = '2026-06-01 00:00:00', until = '2026-06-02 00:00:00'";

/// The arguments of a view that has parameters.
fn arguments(view: &str) -> String {
    let minutes = if view.starts_with("energy_by_") { ", minutes = 60" } else { "" };
    format!("{DAY}{minutes}")
}

/// An interval of minutes of the first of June, with its energy in Wh; unlike versions for unlike rows.
async fn interval(
    database: &Database,
    device: &str,
    source: &str,
    minutes: [u32; 2],
    charge: &str,
    version: u32,
) {
    let [from, to] = minutes
        .map(|minutes| format!("toDateTime64('2026-06-01 00:00:00', 3, 'UTC') + INTERVAL {minutes} MINUTE"));
    let quality = if source == "REPORTED" { "REPORTED" } else { "VALID" };
    database
        .run(&format!(
            "INSERT INTO intervals (client_id, device_id, source, start_time, end_time, battery_total_energy_charge_wh, \
             battery_total_energy_discharge_wh, home_total_energy_wh, solar_total_energy_wh, \
             battery_total_energy_charge_quality, last_is_online, _version) \
             SELECT 'demo', '{device}', '{source}', {from}, {to}, {charge}, 0, 1, 2, '{quality}', true, {version}"
        ))
        .await;
}

async fn charged(database: &Database) -> Vec<String> {
    database
        .ask(&format!(
            "SELECT concat(device_id, ' ', toString(intervals), ' ', ifNull(toString(battery_total_energy_charge_wh), '-')) \
             FROM energy_by_device({}) ORDER BY period_start, device_id",
            arguments("energy_by_device")
        ))
        .await
}

#[test]
fn every_table_view_and_column_has_a_comment() {
    with_database("comments", |database| async move {
        let bare = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = '' UNION ALL \
                    SELECT concat(table, '.', name) FROM system.columns \
                    WHERE database = currentDatabase() AND comment = ''";
        assert_eq!(database.ask(bare).await, Vec::<String>::new());

        // The columns of a view with parameters are in what made it only.
        let with_parameters = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name NOT IN \
                               (SELECT table FROM system.columns WHERE database = currentDatabase()) ORDER BY name";
        let views = database.ask(with_parameters).await;
        assert_eq!(views.len(), 7, "{views:?}");
        for view in views {
            let made = database
                .ask(&format!(
                    "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = '{view}'"
                ))
                .await
                .concat();
            let client = &database.client;
            let columns: Vec<(String, String, String, String, String, String, String)> = client
                .query(&format!("DESCRIBE TABLE (SELECT * FROM {view}({}))", arguments(&view)))
                .fetch_all()
                .await
                .expect("the columns");
            assert!(columns.len() > 4, "{columns:?}");
            for (name, of_type, ..) in columns {
                assert!(
                    made.contains(&format!("`{name}` {of_type} COMMENT '")),
                    "{view}.{name} {of_type}: {made}"
                );
            }
        }
    });
}

#[test]
fn energies_follow_what_is_replaced() {
    with_database("replaced", |database| async move {
        interval(&database, "a", "COUNTER", [0, 10], "10", 1).await;
        assert_eq!(charged(&database).await, ["a 1 10"]);
        // A late reading splits it, and a replay writes a half again.
        interval(&database, "a", "COUNTER", [0, 5], "4", 2).await;
        interval(&database, "a", "COUNTER", [5, 10], "6", 2).await;
        interval(&database, "a", "COUNTER", [5, 10], "6", 2).await;
        assert_eq!(charged(&database).await, ["a 2 10"]);
        // A correction comes, and the energy of another is not known.
        interval(&database, "a", "COUNTER", [5, 10], "7.5", 3).await;
        interval(&database, "a", "COUNTER", [10, 15], "NULL", 4).await;
        assert_eq!(charged(&database).await, ["a 3 11.5"]);
        let incomplete =
            format!("SELECT toString(sum(incomplete)) FROM energy_by_site({})", arguments("energy_by_site"));
        assert_eq!(database.ask(&incomplete).await, ["1"]);
        database.run("OPTIMIZE TABLE intervals FINAL").await;
        assert_eq!(charged(&database).await, ["a 3 11.5"]);
    });
}

#[test]
fn no_time_of_a_device_is_counted_from_two_sources() {
    with_database("sources", |database| async move {
        // Derived ones: within, before, touching, and across the reported ones, which overlap themselves.
        interval(&database, "both", "REPORTED", [60, 100], "1", 1).await;
        interval(&database, "both", "REPORTED", [62, 65], "2", 2).await;
        for (at, minutes) in (10..).zip([[55, 60], [58, 63], [90, 95], [95, 101], [100, 105], [101, 106]]) {
            interval(&database, "both", "COUNTER", minutes, "100", at).await;
        }
        interval(&database, "counts", "COUNTER", [60, 65], "3", 20).await;
        interval(&database, "reports", "REPORTED", [60, 65], "4", 21).await;
        let taken = database
            .ask(&format!(
                "SELECT concat(device_id, ' ', source, ' ', toString(dateDiff('minute', toDateTime64('2026-06-01 00:00:00', 3, 'UTC'), start_time))) \
                 FROM energy_intervals({DAY}) ORDER BY device_id, end_time"
            ))
            .await;
        let both = [
            "both COUNTER 55",
            "both REPORTED 62",
            "both REPORTED 60",
            "both COUNTER 100",
            "both COUNTER 101",
        ];
        assert_eq!(taken, [both.as_slice(), &["counts COUNTER 60", "reports REPORTED 60"]].concat());
        // Outside of the range an interval is asked for, and decides all the same.
        let narrow = "since = '2026-06-01 01:01:00', until = '2026-06-01 01:04:00'";
        let taken = database.ask(&format!("SELECT source FROM energy_intervals({narrow})")).await;
        assert_eq!(taken, Vec::<String>::new());
    });
}

#[test]
fn a_device_is_at_the_site_where_it_was_published_last() {
    with_database("devices", |database| async move {
        let device = |device_id: &str, site: Option<&str>, version| PublishedDevice {
            client_id: "demo".into(),
            device_id: device_id.into(),
            site_id: site.map(str::to_owned),
            r#type: "BATTERY",
            manufacturer_name: None,
            product_name: Some("P".into()),
            battery_capacity_wh: Some(Thousandths(13_500_500)),
            battery_power_input_w: None,
            battery_power_output_w: None,
            counter_modulus_wh: None,
            created_at: 1_780_272_000_123,
            deleted_at: None,
            version,
        };
        assert_eq!(database.sink.last_published_device().await.unwrap(), 0);
        let first = [device("a", Some("north"), 5), device("b", Some("south"), 6), device("c", None, 7)];
        database.sink.publish_devices(&first).await.unwrap();
        database.sink.publish_devices(&[device("b", Some("north"), 9)]).await.unwrap();
        assert_eq!(database.sink.last_published_device().await.unwrap(), 9);
        let row = "SELECT toString((battery_capacity_wh, battery_power_input_w, created_at, deleted_at)) \
                   FROM devices_latest WHERE device_id = 'a'";
        assert_eq!(database.ask(row).await, ["(13500.5,NULL,'2026-06-01 00:00:00.123',NULL)"]);

        for (at, of) in (1..).zip(["a", "b", "c", "d"]) {
            interval(&database, of, "REPORTED", [0, 5], &at.to_string(), at).await;
        }
        let by_site = "SELECT concat(ifNull(site_id, '-'), ' ', toString(devices), ' ', ifNull(toString(battery_total_energy_charge_wh), '-')) \
                       FROM energy_by_site";
        let sites =
            database.ask(&format!("{by_site}({}) ORDER BY site_id", arguments("energy_by_site"))).await;
        assert_eq!(sites, ["north 2 3", "- 2 7"]);
        let silent = format!("SELECT device_id FROM availability({DAY}) WHERE present_share = 0");
        assert_eq!(database.ask(&silent).await, Vec::<String>::new());
        database.sink.publish_devices(&[device("e", None, 10)]).await.unwrap();
        assert_eq!(database.ask(&silent).await, ["e"]);
    });
}

#[test]
fn rows_are_kept_for_as_long_as_is_set() {
    with_database("retention", |database| async move {
        let sink = &database.sink;
        let keep =
            |intervals_days, readings_days| Retention { intervals_days, readings_days, rejected_days: 0 };
        assert_eq!(sink.keep_for(Retention::default()).await.unwrap(), []);
        interval(&database, "a", "REPORTED", [0, 5], "1", 1).await;
        database.run("INSERT INTO intervals (device_id, end_time, _version) SELECT 'b', now64(3) - INTERVAL 3 DAY, 2").await;
        database
            .run("INSERT INTO intervals (device_id, end_time, _version) SELECT 'c', '2020-01-01 00:00:00', 3")
            .await;

        assert_eq!(sink.keep_for(keep(2_000, 400)).await.unwrap(), [Table::Intervals, Table::Readings]);
        assert_eq!(sink.keep_for(keep(2_000, 400)).await.unwrap(), []);
        database.run("OPTIMIZE TABLE intervals FINAL SETTINGS mutations_sync = 2").await;
        assert_eq!(database.ask("SELECT device_id FROM intervals ORDER BY device_id").await, ["a", "b"]);
        // What is old by the new measure goes with the tables as they are, and with what comes.
        assert_eq!(sink.keep_for(keep(100, 0)).await.unwrap(), [Table::Intervals, Table::Readings]);
        interval(&database, "a", "REPORTED", [5, 10], "1", 4).await;
        database.run("OPTIMIZE TABLE intervals FINAL SETTINGS mutations_sync = 2").await;
        assert_eq!(database.ask("SELECT DISTINCT device_id FROM intervals").await, ["b"]);
        assert_eq!(sink.keep_for(Retention::default()).await.unwrap(), [Table::Intervals]);
    });
}
