//! The server, its database, the rights in it, and its clock.

use std::sync::Arc;

use jiff::Timestamp;
use wattline_clickhouse_sink::{ClickHouse, MigrateError, ServerState, Table};

use super::check::Check;
use super::{within, words};
use crate::config::Config;

/// A clock that differs by less is as good as right.
const OFF_MAX_MS: i64 = 2_000;

pub(super) async fn examine(config: Arc<Config>) -> Vec<Check> {
    let settings = match config.clickhouse.settings() {
        Ok(settings) => settings,
        Err(cause) => {
            let advice = "mend [clickhouse]: docs/configuration.md";
            return vec![Check::failed("clickhouse.configuration", words(&cause), advice)];
        }
    };
    let (url, database) = (without_user(&settings.url), settings.database.clone());
    let tables = match ClickHouse::new(settings) {
        Ok(tables) => tables,
        Err(cause) => {
            let found = words(&cause.into());
            return vec![Check::failed("clickhouse.configuration", found, "mend clickhouse.tls_ca_file")];
        }
    };
    let began = Timestamp::now().as_millisecond();
    let state = match within(async { Ok(tables.server_state().await?) }).await {
        Ok(state) => state,
        Err(cause) => return vec![unreachable(&url, &cause)],
    };
    let mut checks = vec![Check::ok("clickhouse.reachable", format!("version {} at {url}", state.version))];
    let here_ms = (began + Timestamp::now().as_millisecond()) / 2;
    checks.push(clock(state.now_ms - here_ms));
    checks.push(if state.async_insert {
        Check::ok("clickhouse.async_insert", "on, and our inserts are not: they turn it off for themselves")
    } else {
        Check::ok("clickhouse.async_insert", "off")
    });
    checks.extend(within_database(&tables, &state, &database).await);
    checks
}

/// A URL may hold a name and a password, which is nobody's business here.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let (authority, _) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}")
}

fn unreachable(url: &str, cause: &anyhow::Error) -> Check {
    let found = words(cause);
    let advice = if found.contains("certificate") {
        "clickhouse.tls_ca_file must have the authority that vouches for the server, and clickhouse.url the name that \
         stands in its certificate"
            .to_owned()
    } else if found.contains("refused") && !found.contains("Connection refused") {
        "mend clickhouse.user and its password".to_owned()
    } else {
        format!("start ClickHouse or mend clickhouse.url; from this machine: curl {url}/ping")
    };
    Check::failed("clickhouse.reachable", format!("{url}: {found}"), advice)
}

fn clock(off_ms: i64) -> Check {
    let found = format!("ClickHouse is {} ms {}", off_ms.abs(), if off_ms < 0 { "behind" } else { "ahead" });
    if off_ms.abs() <= OFF_MAX_MS {
        return Check::ok("clocks.clickhouse", found);
    }
    Check::warning("clocks.clickhouse", found, "set both clocks by NTP: timedatectl set-ntp true")
}

async fn within_database(tables: &ClickHouse, state: &ServerState, database: &str) -> Vec<Check> {
    const MIGRATE: &str = "type: wattline migrate";
    if !state.has_database {
        return vec![Check::failed(
            "clickhouse.database",
            format!("there is no database {database}"),
            MIGRATE,
        )];
    }
    let mut checks = vec![Check::ok("clickhouse.database", database)];
    match within(async { Ok(tables.missing_migrations().await) }).await {
        Ok(Ok(missing)) if missing.is_empty() => {
            checks.push(Check::ok("clickhouse.migrations", "all are applied"));
        }
        Ok(Ok(missing)) => {
            let found = format!("not applied: {}", missing.join(", "));
            checks.push(Check::failed("clickhouse.migrations", found, MIGRATE));
        }
        Ok(Err(cause @ MigrateError::Changed { .. })) => checks.push(Check::failed(
            "clickhouse.migrations",
            cause.to_string(),
            "use the version of wattline that migrated this database, or a later one",
        )),
        Ok(Err(cause)) => checks.push(no_right(database, "clickhouse.migrations", &cause.into())),
        Err(cause) => checks.push(no_right(database, "clickhouse.migrations", &cause)),
    }
    for table in Table::ALL {
        match within(async { Ok(tables.rehearse_insert(table).await?) }).await {
            Ok(()) => {}
            Err(cause) => {
                checks.push(no_right(database, "clickhouse.insert", &cause.context(table.name())));
                return checks;
            }
        }
    }
    checks.push(Check::ok("clickhouse.insert", "rows may be read and inserted in each table"));
    checks
}

fn no_right(database: &str, check: &'static str, cause: &anyhow::Error) -> Check {
    let found = words(cause);
    let advice = if found.contains("Code: 60.") {
        "type: wattline migrate".to_owned()
    } else {
        format!(
            "as an administrator of ClickHouse, after deploy/clickhouse/roles.sql: GRANT wattline_writer TO NAME \
             (for the database {database})"
        )
    };
    Check::failed(check, found, advice)
}

#[cfg(test)]
mod tests {
    use super::without_user;

    #[test]
    fn a_url_is_shown_without_who_we_are() {
        assert_eq!(without_user("http://h:8123"), "http://h:8123");
        assert_eq!(without_user("https://me:secret@h:8443/?password=secret"), "https://h:8443");
        assert_eq!(without_user("http://h?password=s@x"), "http://h");
    }
}
