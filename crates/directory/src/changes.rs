//! What changed since a sequence number, as the follower reads it.

use sqlx::Row as _;
use wattline_auth::{KeyId, TokenHash};

use crate::api::DeviceType;
use crate::database::Directory;
use crate::device_table::DeviceLimits;

pub(crate) struct ClientChange {
    pub seq: i64,
    pub client_no: u32,
    pub client_id: String,
}

pub(crate) struct TokenChange {
    pub seq: i64,
    pub client_no: u32,
    pub key_id: KeyId,
    pub stored: (u16, TokenHash),
    /// It lies ahead where the token was rotated.
    pub revoked_at_ms: Option<i64>,
}

pub(crate) struct SiteChange {
    pub seq: i64,
    pub client_no: u32,
    pub site_id: String,
    pub is_deleted: bool,
}

pub(crate) struct DeviceChange {
    pub seq: i64,
    pub client_no: u32,
    pub device_id: String,
    /// `None` once the device is deleted.
    pub limits: Option<DeviceLimits>,
}

impl Directory {
    /// The sequence number of the latest change.
    pub(crate) async fn last_seq(&self) -> anyhow::Result<i64> {
        let seq =
            sqlx::query_scalar("SELECT seq FROM change_counter WHERE one = 1").fetch_one(&self.pool).await?;
        Ok(seq)
    }

    pub(crate) async fn client_changes(
        &self,
        after: i64,
        rows_max: i64,
    ) -> anyhow::Result<Vec<ClientChange>> {
        let rows =
            sqlx::query("SELECT seq, client_no, client_id FROM clients WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(after)
                .bind(rows_max)
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|row| {
                Ok(ClientChange {
                    seq: row.try_get(0)?,
                    client_no: u32::try_from(row.try_get::<i64, _>(1)?)?,
                    client_id: row.try_get(2)?,
                })
            })
            .collect()
    }

    pub(crate) async fn token_changes(
        &self,
        after: i64,
        upto: i64,
        rows_max: i64,
    ) -> anyhow::Result<Vec<TokenChange>> {
        let rows = sqlx::query(
            "SELECT seq, client_no, key_id, pepper_version, hash_hex, revoked_at_ms FROM tokens \
             WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
        )
        .bind(after)
        .bind(upto)
        .bind(rows_max)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let key_id: KeyId = row.try_get::<&str, _>(2)?.parse()?;
                let hash = TokenHash::from_hex(row.try_get(4)?)
                    .ok_or_else(|| anyhow::anyhow!("the hash of token {key_id} is malformed"))?;
                let version = u16::try_from(row.try_get::<i64, _>(3)?)?;
                Ok(TokenChange {
                    seq: row.try_get(0)?,
                    client_no: u32::try_from(row.try_get::<i64, _>(1)?)?,
                    key_id,
                    stored: (version, hash),
                    revoked_at_ms: row.try_get(5)?,
                })
            })
            .collect()
    }

    pub(crate) async fn site_changes(
        &self,
        after: i64,
        upto: i64,
        rows_max: i64,
    ) -> anyhow::Result<Vec<SiteChange>> {
        let rows = sqlx::query(
            "SELECT seq, client_no, site_id, deleted_at_ms FROM sites \
             WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
        )
        .bind(after)
        .bind(upto)
        .bind(rows_max)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(SiteChange {
                    seq: row.try_get(0)?,
                    client_no: u32::try_from(row.try_get::<i64, _>(1)?)?,
                    site_id: row.try_get(2)?,
                    is_deleted: row.try_get::<Option<i64>, _>(3)?.is_some(),
                })
            })
            .collect()
    }

    pub(crate) async fn device_changes(
        &self,
        after: i64,
        upto: i64,
        rows_max: i64,
    ) -> anyhow::Result<Vec<DeviceChange>> {
        let rows = sqlx::query(
            "SELECT seq, client_no, device_id, battery_power_input_w, battery_power_output_w, \
             counter_modulus_mwh, \
             CASE WHEN deleted_at_ms IS NOT NULL THEN 0 WHEN type = 'BATTERY' THEN 1 ELSE 2 END \
             + 4 * COALESCE(partitions, 0) \
             FROM devices \
             WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
        )
        .bind(after)
        .bind(upto)
        .bind(rows_max)
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                // Every column costs, and this is read for every device when a gateway starts.
                let packed: i64 = row.try_get(6)?;
                let partitions = u16::try_from(packed / 4)?;
                let device_type = match packed % 4 {
                    0 => None,
                    1 => Some(DeviceType::Battery),
                    _ => Some(DeviceType::EvCharger),
                };
                let limits = |device_type| {
                    anyhow::Ok(DeviceLimits {
                        charge_w: whole_watts(row.try_get(3)?),
                        discharge_w: whole_watts(row.try_get(4)?),
                        modulus_mwh: row.try_get::<Option<i64>, _>(5)?.map_or(Ok(0), u64::try_from)?,
                        device_type,
                        partitions,
                    })
                };
                Ok(DeviceChange {
                    seq: row.try_get(0)?,
                    client_no: u32::try_from(row.try_get::<i64, _>(1)?)?,
                    device_id: row.try_get(2)?,
                    limits: device_type.map(limits).transpose()?,
                })
            })
            .collect()
    }
}

/// Rounded up: a limit must never be under what the device can do.
fn whole_watts(power_w: Option<f64>) -> u32 {
    power_w.map_or(0, |power_w| power_w.ceil() as u32)
}
