//! The devices of a site at rest, one at a time.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::api::{Device, DeviceChange, DeviceDetails, NewDevice};
use crate::check_device_id;
use crate::clock::now_ms;
use crate::database::{Directory, take_seqs};
use crate::partitions::OF_NEW;
use crate::sql::{AnyQuery, bind_number, number_parameter, push_assignments};

/// The most devices of one answer.
pub const DEVICES_OF_SITE_MAX: u32 = 10_000;

/// The columns of [`DeviceDetails`], in the order in which they are bound and read.
const COLUMNS: [&str; 9] = [
    "type",
    "manufacturer_name",
    "product_name",
    "serial_number",
    "install_date",
    "battery_capacity_wh",
    "battery_power_input_w",
    "battery_power_output_w",
    "reserve_percentage",
];
const TEXT_COLUMNS: usize = 5;

fn is_number(column: &str) -> bool {
    COLUMNS[TEXT_COLUMNS..].contains(&column)
}

/// Reads devices of a site: the client is $1, the site $2.
fn select(condition: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT device_id, site_id, created_at_ms, updated_at_ms, {} FROM devices \
         WHERE client_no = $1 AND site_id = $2 AND deleted_at_ms IS NULL {condition}",
        COLUMNS.join(", ")
    ))
}

fn device(row: &AnyRow) -> anyhow::Result<Device> {
    let device_type: &str = row.try_get(4)?;
    Ok(Device {
        id: row.try_get(0)?,
        site_id: row.try_get(1)?,
        created_at: Timestamp::from_millisecond(row.try_get(2)?)?,
        updated_at: Timestamp::from_millisecond(row.try_get(3)?)?,
        details: DeviceDetails {
            device_type: device_type.parse().map_err(|rule| anyhow::anyhow!("a device's type {rule}"))?,
            manufacturer_name: row.try_get(5)?,
            product_name: row.try_get(6)?,
            serial_number: row.try_get(7)?,
            install_date: row.try_get(8)?,
            battery_capacity_wh: row.try_get(9)?,
            battery_power_input_w: row.try_get(10)?,
            battery_power_output_w: row.try_get(11)?,
            reserve_percentage: row.try_get(12)?,
        },
    })
}

fn bind_details<'q>(query: AnyQuery<'q>, details: &DeviceDetails) -> AnyQuery<'q> {
    let query = query
        .bind(details.device_type.name())
        .bind(details.manufacturer_name.clone())
        .bind(details.product_name.clone())
        .bind(details.serial_number.clone())
        .bind(details.install_date.clone());
    let numbers = [
        details.battery_capacity_wh,
        details.battery_power_input_w,
        details.battery_power_output_w,
        details.reserve_percentage,
    ];
    numbers.into_iter().fold(query, bind_number)
}

impl Directory {
    /// The devices of a client's site in the order of their ids; none where the site is not the client's.
    pub async fn devices(&self, client_index: u32, site_id: &str) -> anyhow::Result<Vec<Device>> {
        if check_device_id(site_id).is_err() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(select("ORDER BY device_id LIMIT $3"))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .bind(i64::from(DEVICES_OF_SITE_MAX))
            .fetch_all(&self.pool)
            .await
            .context("cannot read the devices")?;
        rows.iter().map(device).collect()
    }

    pub async fn device(
        &self,
        client_index: u32,
        site_id: &str,
        device_id: &str,
    ) -> anyhow::Result<Option<Device>> {
        if check_device_id(site_id).and(check_device_id(device_id)).is_err() {
            return Ok(None);
        }
        let row = sqlx::query(select("AND device_id = $3"))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .bind(device_id.to_owned())
            .fetch_optional(&self.pool)
            .await
            .context("cannot read the device")?;
        row.as_ref().map(device).transpose()
    }

    /// Changes what was sent of a device, and returns it as it is then. None where the site has no such device.
    pub async fn patch_device(
        &self,
        client_index: u32,
        site_id: &str,
        device_id: &str,
        change: DeviceChange,
    ) -> anyhow::Result<Option<Device>> {
        if check_device_id(site_id).and(check_device_id(device_id)).is_err() {
            return Ok(None);
        }
        let mut tx = self.begin_change().await?;
        let row = sqlx::query(select("AND device_id = $3"))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .bind(device_id.to_owned())
            .fetch_optional(&mut *tx)
            .await
            .context("cannot read the device")?;
        let Some(before) = row.as_ref().map(device).transpose()? else { return Ok(None) };
        let mut after = before.clone();
        change.apply(&mut after.details);
        if after == before {
            return Ok(Some(before));
        }
        after.updated_at = Timestamp::from_millisecond(now_ms())?;
        let seq = take_seqs(&mut tx, 1).await?;
        let mut sql = "UPDATE devices SET updated_at_ms = $3, seq = $4, ".to_owned();
        push_assignments(&mut sql, COLUMNS, is_number, 5);
        sql.push_str(" WHERE client_no = $1 AND device_id = $2");
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::from(client_index))
            .bind(device_id.to_owned())
            .bind(after.updated_at.as_millisecond())
            .bind(seq);
        bind_details(query, &after.details).execute(&mut *tx).await.context("cannot store the device")?;
        tx.commit().await.context("cannot commit the device")?;
        Ok(Some(after))
    }

    /// Deletes a device of a site, which leaves a tombstone. False where the site has no such device.
    pub async fn delete_site_device(
        &self,
        client_index: u32,
        site_id: &str,
        device_id: &str,
    ) -> anyhow::Result<bool> {
        if check_device_id(site_id).and(check_device_id(device_id)).is_err() {
            return Ok(false);
        }
        let mut tx = self.begin_change().await?;
        let seq = take_seqs(&mut tx, 1).await?;
        let deleted = sqlx::query(
            "UPDATE devices SET deleted_at_ms = $1, seq = $2 \
             WHERE client_no = $3 AND site_id = $4 AND device_id = $5 AND deleted_at_ms IS NULL",
        )
        .bind(now_ms())
        .bind(seq)
        .bind(i64::from(client_index))
        .bind(site_id.to_owned())
        .bind(device_id.to_owned())
        .execute(&mut *tx)
        .await
        .context("cannot delete the device")?
        .rows_affected();
        if deleted > 0 {
            tx.commit().await.context("cannot commit the deletion")?;
        }
        Ok(deleted > 0)
    }
}

/// Stores a device that no site of the client has. One that is there without a site, by an import, keeps
/// its age and its counters' modulus; one that was deleted begins anew, in the partition that it had.
pub(crate) async fn insert_device(
    tx: &mut Transaction<'_, Any>,
    client_index: u32,
    site_id: &str,
    new: &NewDevice,
    now_ms: i64,
    seq: i64,
) -> anyhow::Result<()> {
    const FIRST_PLACE: usize = 6;
    let parameters: Vec<_> = (FIRST_PLACE..)
        .zip(COLUMNS)
        .map(|(place, column)| if is_number(column) { number_parameter(place) } else { format!("${place}") })
        .collect();
    let kept = COLUMNS.map(|column| format!("{column} = excluded.{column}")).join(", ");
    let sql = format!(
        "INSERT INTO devices (client_no, device_id, site_id, created_at_ms, updated_at_ms, seq, partitions, {}) \
         VALUES ($1, $2, $3, $4, $4, $5, {OF_NEW}, {}) \
         ON CONFLICT (client_no, device_id) DO UPDATE SET site_id = excluded.site_id, \
         created_at_ms = CASE WHEN devices.deleted_at_ms IS NULL THEN devices.created_at_ms \
         ELSE excluded.created_at_ms END, \
         counter_modulus_mwh = CASE WHEN devices.deleted_at_ms IS NULL THEN devices.counter_modulus_mwh END, \
         updated_at_ms = excluded.updated_at_ms, deleted_at_ms = NULL, seq = excluded.seq, {kept}",
        COLUMNS.join(", "),
        parameters.join(", "),
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(i64::from(client_index))
        .bind(new.id.clone())
        .bind(site_id.to_owned())
        .bind(now_ms)
        .bind(seq);
    bind_details(query, &new.details).execute(&mut **tx).await.context("cannot store a device")?;
    Ok(())
}
