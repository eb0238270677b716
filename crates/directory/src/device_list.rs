//! All devices in the order of their changes, for whoever keeps a copy of them.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::api::DeviceType;
use crate::database::Directory;

/// A device as it is now, deleted ones too.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedDevice {
    /// The number of the latest change of the device; numbers grow, over all clients.
    pub change: u64,
    pub client: String,
    pub device_id: String,
    pub site_id: Option<String>,
    pub device_type: DeviceType,
    pub manufacturer_name: Option<String>,
    pub product_name: Option<String>,
    pub battery_capacity_wh: Option<f64>,
    pub battery_power_input_w: Option<f64>,
    pub battery_power_output_w: Option<f64>,
    pub counter_modulus_mwh: Option<i64>,
    pub created_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

impl Directory {
    /// The number of the latest change of anything.
    pub async fn last_change(&self) -> anyhow::Result<u64> {
        Ok(u64::try_from(self.last_seq().await?)?)
    }

    /// Devices that were changed after that change, in the order of their latest changes.
    pub async fn devices_changed_after(
        &self,
        change: u64,
        rows_max: u32,
    ) -> anyhow::Result<Vec<ListedDevice>> {
        let rows = sqlx::query(
            "SELECT devices.seq, client_id, device_id, site_id, type, manufacturer_name, product_name, \
             battery_capacity_wh, battery_power_input_w, battery_power_output_w, counter_modulus_mwh, \
             devices.created_at_ms, devices.deleted_at_ms \
             FROM devices INNER JOIN clients ON clients.client_no = devices.client_no \
             WHERE devices.seq > $1 ORDER BY devices.seq LIMIT $2",
        )
        .bind(i64::try_from(change)?)
        .bind(i64::from(rows_max))
        .fetch_all(&self.pool)
        .await
        .context("cannot read the devices")?;
        rows.iter().map(listed).collect()
    }
}

fn listed(row: &AnyRow) -> anyhow::Result<ListedDevice> {
    let device_type: &str = row.try_get(4)?;
    let deleted_at_ms: Option<i64> = row.try_get(12)?;
    Ok(ListedDevice {
        change: u64::try_from(row.try_get::<i64, _>(0)?)?,
        client: row.try_get(1)?,
        device_id: row.try_get(2)?,
        site_id: row.try_get(3)?,
        device_type: device_type.parse().map_err(|rule| anyhow::anyhow!("a device's type {rule}"))?,
        manufacturer_name: row.try_get(5)?,
        product_name: row.try_get(6)?,
        battery_capacity_wh: row.try_get(7)?,
        battery_power_input_w: row.try_get(8)?,
        battery_power_output_w: row.try_get(9)?,
        counter_modulus_mwh: row.try_get(10)?,
        created_at: Timestamp::from_millisecond(row.try_get(11)?)?,
        deleted_at: deleted_at_ms.map(Timestamp::from_millisecond).transpose()?,
    })
}
