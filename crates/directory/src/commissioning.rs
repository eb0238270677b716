//! A site and its devices come into service together, or not at all.

use anyhow::Context as _;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::api::Commission;
use crate::clock::now_ms;
use crate::database::{Directory, take_seqs};
use crate::site_devices::insert_device;
use crate::sites::insert_site;

/// Ids asked for in one statement.
const STATEMENT_IDS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum CommissionError {
    /// The client has the site already, or a device of another site.
    #[error("the site or one of the devices is there already")]
    Exists,
    #[error(transparent)]
    Directory(#[from] anyhow::Error),
}

impl Directory {
    /// Stores a site of a client with its devices, in one transaction.
    ///
    /// A site that an import made is there already. A device that an import made without a site joins this one.
    pub async fn commission(
        &self,
        client_index: u32,
        commission: &Commission,
    ) -> Result<(), CommissionError> {
        let now_ms = now_ms();
        let mut tx = self.begin_change().await?;
        if is_taken(&mut tx, client_index, commission).await? {
            return Err(CommissionError::Exists);
        }
        insert_site(&mut tx, client_index, &commission.site, now_ms).await?;
        let count = commission.devices.len() as i64;
        let last = take_seqs(&mut tx, count).await.context("cannot number the devices")?;
        for (seq, device) in (last - count + 1..).zip(&commission.devices) {
            insert_device(&mut tx, client_index, &commission.site.id, device, now_ms, seq).await?;
        }
        tx.commit().await.context("cannot commit the site")?;
        Ok(())
    }
}

async fn is_taken(
    tx: &mut Transaction<'_, Any>,
    client_index: u32,
    commission: &Commission,
) -> anyhow::Result<bool> {
    let site = sqlx::query(
        "SELECT site_id FROM sites WHERE client_no = $1 AND site_id = $2 AND deleted_at_ms IS NULL",
    )
    .bind(i64::from(client_index))
    .bind(commission.site.id.clone())
    .fetch_optional(&mut **tx)
    .await
    .context("cannot read the site")?;
    if site.is_some() {
        return Ok(true);
    }
    for devices in commission.devices.chunks(STATEMENT_IDS) {
        let places: Vec<_> = (2..2 + devices.len()).map(|place| format!("${place}")).collect();
        let sql = format!(
            "SELECT COUNT(*) FROM devices WHERE client_no = $1 AND device_id IN ({}) \
             AND site_id IS NOT NULL AND deleted_at_ms IS NULL",
            places.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(i64::from(client_index));
        for device in devices {
            query = query.bind(device.id.clone());
        }
        let row = query.fetch_one(&mut **tx).await.context("cannot read the devices")?;
        if row.try_get::<i64, _>(0).context("cannot count the devices")? > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}
