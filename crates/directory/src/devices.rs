//! Devices and their sites at rest: import in bulk, deletion by hand.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;

use anyhow::Context as _;
use sqlx::{Any, AssertSqlSafe, Transaction};

use crate::clock::now_ms;
use crate::database::{Directory, ensure_client, take_seqs};
use crate::import_line::{ImportError, ImportLine};
use crate::partitions::OF_NEW;
use crate::sql::{bind_number, number_parameter};

/// Devices written in one transaction: a sync for each, and gateways wait for none for long.
const CHUNK_ROWS: usize = 4_000;
/// Rows in one statement. SQLite looks parameters up by name along a list, so the cost of a statement
/// grows with the square of its rows: 250 are three times slower than 32.
const STATEMENT_ROWS: usize = 32;

const DEVICE_COLUMNS: [&str; 11] = [
    "client_no",
    "device_id",
    "site_id",
    "type",
    "manufacturer_name",
    "product_name",
    "serial_number",
    "battery_capacity_wh",
    "battery_power_input_w",
    "battery_power_output_w",
    "counter_modulus_mwh",
];
/// The columns that hold numbers with a fraction.
const NUMBER_COLUMNS: std::ops::Range<usize> = 7..10;
/// The columns that name a device; the rest is what an import may change.
const KEY_COLUMNS: usize = 2;

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub lines: u64,
    /// Devices that are new, changed, or back from deletion. A line that repeats what is known changes nothing.
    pub changed: u64,
}

impl Directory {
    /// Creates or updates devices, with their clients and sites, in transactions of some thousand lines.
    ///
    /// The first bad line ends the import; the transactions before it stay, and importing the mended
    /// file again is safe. Of two lines of one device, the later one holds.
    pub async fn import_devices(
        &self,
        lines: impl IntoIterator<Item = Result<ImportLine, ImportError>>,
    ) -> anyhow::Result<ImportReport> {
        let mut lines = lines.into_iter();
        let mut clients = HashMap::new();
        let mut report = ImportReport::default();
        loop {
            let chunk: Vec<_> =
                lines.by_ref().take(CHUNK_ROWS).collect::<Result<_, _>>().with_context(|| {
                    format!("import stopped; {} lines before were imported", report.lines)
                })?;
            if chunk.is_empty() {
                return Ok(report);
            }
            report.changed += self.import_chunk(&chunk, &mut clients).await?;
            report.lines += chunk.len() as u64;
        }
    }

    async fn import_chunk(
        &self,
        chunk: &[ImportLine],
        clients: &mut HashMap<String, i64>,
    ) -> anyhow::Result<u64> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        // A statement must not touch a row twice, so the chunk is made of distinct devices first.
        let mut devices = HashMap::with_capacity(chunk.len());
        let mut sites = BTreeSet::new();
        for (place, line) in chunk.iter().enumerate() {
            let client_no = match clients.get(&line.client) {
                Some(client_no) => *client_no,
                None => {
                    let client_no = ensure_client(&mut tx, &line.client, now_ms).await?;
                    clients.insert(line.client.clone(), client_no);
                    client_no
                }
            };
            if let Some(site_id) = &line.site_id {
                sites.insert((client_no, site_id.as_str()));
            }
            devices.insert((client_no, line.device_id.as_str()), (place, line));
        }
        let mut devices: Vec<_> = devices.into_iter().collect();
        devices.sort_unstable_by_key(|(_, (place, _))| *place);
        let sites: Vec<_> = sites.into_iter().collect();
        let mut changed_sites = 0;
        for rows in sites.chunks(STATEMENT_ROWS) {
            changed_sites += upsert_sites(&mut tx, rows, now_ms).await.context("cannot store sites")?;
        }
        let mut changed = 0;
        for rows in devices.chunks(STATEMENT_ROWS) {
            let rows = rows.iter().map(|((client_no, _), (_, line))| (*client_no, *line));
            changed += upsert_devices(&mut tx, rows, now_ms).await.context("cannot store devices")?;
        }
        if changed + changed_sites == 0 {
            // Sequence numbers that nothing took are given back, and nothing is written.
            tx.rollback().await?;
        } else {
            tx.commit().await.context("cannot commit devices")?;
        }
        Ok(changed)
    }

    /// Deletes a device of any site, by hand, which leaves a tombstone. False where the client has none of
    /// this id.
    pub async fn delete_device(&self, client: &str, device_id: &str) -> anyhow::Result<bool> {
        let mut tx = self.begin_change().await?;
        let seq = take_seqs(&mut tx, 1).await?;
        let deleted = sqlx::query(
            "UPDATE devices SET deleted_at_ms = $1, seq = $2 WHERE device_id = $3 AND deleted_at_ms IS NULL \
             AND client_no = (SELECT client_no FROM clients WHERE client_id = $4)",
        )
        .bind(now_ms())
        .bind(seq)
        .bind(device_id.to_owned())
        .bind(client.to_owned())
        .execute(&mut *tx)
        .await
        .context("cannot delete the device")?
        .rows_affected();
        if deleted == 0 {
            tx.rollback().await?;
        } else {
            tx.commit().await.context("cannot commit the deletion")?;
        }
        Ok(deleted > 0)
    }
}

async fn upsert_sites(
    tx: &mut Transaction<'_, Any>,
    rows: &[(i64, &str)],
    now_ms: i64,
) -> anyhow::Result<u64> {
    let seq_last = take_seqs(tx, rows.len() as i64).await?;
    let mut sql =
        "INSERT INTO sites (client_no, site_id, created_at_ms, updated_at_ms, seq) VALUES ".to_owned();
    push_values(&mut sql, rows.len(), 2, 0..0, &[]);
    sql.push_str(
        " ON CONFLICT (client_no, site_id) DO UPDATE SET updated_at_ms = excluded.updated_at_ms, \
         deleted_at_ms = NULL, seq = excluded.seq WHERE sites.deleted_at_ms IS NOT NULL",
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now_ms).bind(seq_last - rows.len() as i64);
    for (client_no, site_id) in rows {
        query = query.bind(*client_no).bind((*site_id).to_owned());
    }
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

async fn upsert_devices<'a>(
    tx: &mut Transaction<'_, Any>,
    rows: impl ExactSizeIterator<Item = (i64, &'a ImportLine)>,
    now_ms: i64,
) -> anyhow::Result<u64> {
    let row_count = rows.len();
    let seq_last = take_seqs(tx, row_count as i64).await?;
    let mut query = sqlx::query(AssertSqlSafe(upsert_devices_sql(row_count)))
        .bind(now_ms)
        .bind(seq_last - row_count as i64);
    for (client_no, line) in rows {
        query = query
            .bind(client_no)
            .bind(line.device_id.clone())
            .bind(line.site_id.clone())
            .bind(line.device_type.name())
            .bind(line.manufacturer_name.clone())
            .bind(line.product_name.clone())
            .bind(line.serial_number.clone());
        for number in [line.battery_capacity_wh, line.battery_power_input_w, line.battery_power_output_w] {
            query = bind_number(query, number);
        }
        query = query.bind(line.counter_modulus_mwh);
    }
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

/// An insert of devices that leaves a row alone where it would change nothing. A device that is there keeps its
/// number of partitions, and so its partition.
fn upsert_devices_sql(rows: usize) -> String {
    let columns = DEVICE_COLUMNS.join(", ");
    let mut sql =
        format!("INSERT INTO devices ({columns}, created_at_ms, updated_at_ms, seq, partitions) VALUES ");
    push_values(&mut sql, rows, DEVICE_COLUMNS.len(), NUMBER_COLUMNS, &[OF_NEW]);
    sql.push_str(" ON CONFLICT (client_no, device_id) DO UPDATE SET ");
    for column in &DEVICE_COLUMNS[KEY_COLUMNS..] {
        let _ = write!(sql, "{column} = excluded.{column}, ");
    }
    sql.push_str(
        "updated_at_ms = excluded.updated_at_ms, deleted_at_ms = NULL, seq = excluded.seq \
         WHERE devices.deleted_at_ms IS NOT NULL",
    );
    for column in &DEVICE_COLUMNS[KEY_COLUMNS..] {
        let _ = write!(sql, " OR devices.{column} IS DISTINCT FROM excluded.{column}");
    }
    sql
}

/// Appends the value lists of `rows` rows: the columns' own parameters from $3 on, the time in $1 twice,
/// a sequence number, counted up from the one in $2, and what else each row is given.
fn push_values(
    sql: &mut String,
    rows: usize,
    columns: usize,
    numbers: std::ops::Range<usize>,
    besides: &[&str],
) {
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            let place = 3 + row * columns + column;
            let _ = match numbers.contains(&column) {
                true => write!(sql, "{}, ", number_parameter(place)),
                false => write!(sql, "${place}, "),
            };
        }
        let _ = write!(sql, "$1, $1, $2 + {}", row + 1);
        for value in besides {
            let _ = write!(sql, ", {value}");
        }
        sql.push(')');
    }
}
