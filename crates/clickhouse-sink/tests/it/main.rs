//! Against a real ClickHouse engine, at WATTLINE_TEST_CLICKHOUSE.

mod audit;
mod fixture;
mod insert;
mod neighbours;
mod rejected;
mod views;

use fixture::{settings, with_database};
use wattline_clickhouse_sink::{ClickHouse, MigrateError, Settings};

#[test]
fn a_second_migration_applies_nothing_and_a_changed_one_is_refused() {
    with_database("migrate", |database| async move {
        assert_eq!(database.sink.migrate().await.unwrap(), Vec::<&str>::new());
        let undescribed = database
            .ask("SELECT table || '.' || name FROM system.columns WHERE database = currentDatabase() AND comment = ''")
            .await;
        assert_eq!(undescribed, Vec::<String>::new(), "every column says its unit and meaning");

        database
            .run("INSERT INTO schema_migrations (name, sql) SELECT '0001_tables', 'something else'")
            .await;
        let changed = database.sink.migrate().await.unwrap_err();
        assert!(matches!(changed, MigrateError::Changed { name: "0001_tables" }), "{changed}");
    });
}

#[test]
fn failures_are_told_apart() {
    with_database("failures", |database| async move {
        database.run("DROP TABLE rejected").await;
        let gone = database.sink.rejected_positions("t", 0, 0).await.unwrap_err();
        assert_eq!((gone.kind(), gone.is_transient()), ("refused", false), "{gone}");

        // A port that nobody listens at.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody =
            ClickHouse::new(Settings { url: format!("http://{free}"), ..settings("x") }).expect("a client");
        let away = nobody.ping().await.unwrap_err();
        assert_eq!((away.kind(), away.is_transient()), ("unreachable", true), "{away}");
        assert!(std::error::Error::source(&away).is_some());

        // A server that takes the connection and never answers.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", silent.local_addr().unwrap());
        let request_timeout = std::time::Duration::from_millis(200);
        let mute = ClickHouse::new(Settings { url, request_timeout, ..settings("x") }).expect("a client");
        assert_eq!(mute.ping().await.unwrap_err().kind(), "unreachable");
    });
}
