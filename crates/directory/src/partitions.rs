//! Among how many Kafka partitions a device is placed: as many as there were when it came.

use anyhow::Context as _;
use sqlx::Row as _;

use crate::database::{Directory, take_seqs};

/// What is kept of a device has room for no more.
pub const PARTITIONS_MAX: u32 = 8_191;

/// The value of `devices.partitions` of a device that comes now.
pub(crate) const OF_NEW: &str = "(SELECT of_new FROM kafka_partitions WHERE one = 1)";

/// There where partitions were added, or are about to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partitions {
    /// Of devices that came before any were added.
    pub base: u32,
    /// Of devices that come from now on.
    pub of_new: u32,
}

impl Directory {
    pub async fn partitions(&self) -> anyhow::Result<Option<Partitions>> {
        let row = sqlx::query("SELECT base, of_new FROM kafka_partitions WHERE one = 1")
            .fetch_optional(&self.pool)
            .await
            .context(
                "cannot read how many partitions there are; `wattline migrate` creates what is missing",
            )?;
        row.map(|row| {
            let number = |place: usize| anyhow::Ok(u32::try_from(row.try_get::<i64, _>(place)?)?);
            Ok(Partitions { base: number(0)?, of_new: number(1)? })
        })
        .transpose()
    }

    /// Notes how many there are before some are added, unless that was noted already.
    pub async fn keep_partitions(&self, base: u32) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO kafka_partitions (one, base, of_new) VALUES (1, $1, $1) ON CONFLICT (one) DO NOTHING",
        )
        .bind(i64::from(base))
        .execute(&self.pool)
        .await
        .context("cannot note how many partitions there are")?;
        Ok(())
    }

    /// Places the devices that come from now on among so many.
    pub async fn use_partitions(&self, of_new: u32) -> anyhow::Result<()> {
        let mut tx = self.begin_change().await?;
        take_seqs(&mut tx, 1).await?;
        let noted = sqlx::query("UPDATE kafka_partitions SET of_new = $1 WHERE one = 1")
            .bind(i64::from(of_new))
            .execute(&mut *tx)
            .await
            .context("cannot note how many partitions there are")?;
        anyhow::ensure!(noted.rows_affected() == 1, "no partitions were added");
        tx.commit().await.context("cannot note how many partitions there are")
    }
}
