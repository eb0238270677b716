//! Sites at rest.

use anyhow::Context as _;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row as _, Transaction};

use crate::api::{NewSite, SITE_FIELDS, Site, SiteChange, SiteDetails};
use crate::check_device_id;
use crate::clock::now_ms;
use crate::database::{Directory, take_seqs};
use crate::sql::{AnyQuery, push_assignments};

/// The most sites of one answer.
pub const SITES_PAGE_MAX: u32 = 1_000;

fn columns() -> String {
    SITE_FIELDS.map(|field| field.name).join(", ")
}

/// Reads sites. The condition's parameters follow the client's, which is $1.
fn select(condition: &str) -> AssertSqlSafe<String> {
    AssertSqlSafe(format!(
        "SELECT site_id, created_at_ms, updated_at_ms, {} FROM sites \
         WHERE client_no = $1 AND deleted_at_ms IS NULL {condition}",
        columns()
    ))
}

fn site(row: &AnyRow) -> anyhow::Result<Site> {
    let mut details = SiteDetails::default();
    for (place, value) in details.0.iter_mut().enumerate() {
        *value = row.try_get(3 + place)?;
    }
    Ok(Site {
        id: row.try_get(0)?,
        details,
        created_at: Timestamp::from_millisecond(row.try_get(1)?)?,
        updated_at: Timestamp::from_millisecond(row.try_get(2)?)?,
    })
}

impl Directory {
    /// Sites of a client in the order of their ids, at most [`SITES_PAGE_MAX`].
    pub async fn sites(&self, client_index: u32, skip: u32, limit: u32) -> anyhow::Result<Vec<Site>> {
        let rows = sqlx::query(select("ORDER BY site_id LIMIT $2 OFFSET $3"))
            .bind(i64::from(client_index))
            .bind(i64::from(limit.min(SITES_PAGE_MAX)))
            .bind(i64::from(skip))
            .fetch_all(&self.pool)
            .await
            .context("cannot read the sites")?;
        rows.iter().map(site).collect()
    }

    pub async fn site(&self, client_index: u32, site_id: &str) -> anyhow::Result<Option<Site>> {
        if check_device_id(site_id).is_err() {
            return Ok(None);
        }
        let row = sqlx::query(select("AND site_id = $2"))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .fetch_optional(&self.pool)
            .await
            .context("cannot read the site")?;
        row.as_ref().map(site).transpose()
    }

    /// Changes what was sent of a site, and returns it as it is then. None where the client has no such site.
    pub async fn patch_site(
        &self,
        client_index: u32,
        site_id: &str,
        change: SiteChange,
    ) -> anyhow::Result<Option<Site>> {
        if check_device_id(site_id).is_err() {
            return Ok(None);
        }
        let mut tx = self.begin_change().await?;
        let row = sqlx::query(select("AND site_id = $2"))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .fetch_optional(&mut *tx)
            .await
            .context("cannot read the site")?;
        let Some(before) = row.as_ref().map(site).transpose()? else { return Ok(None) };
        let mut after = before.clone();
        change.apply(&mut after.details);
        if after == before {
            return Ok(Some(before));
        }
        after.updated_at = Timestamp::from_millisecond(now_ms())?;
        let seq = take_seqs(&mut tx, 1).await?;
        let mut sql = "UPDATE sites SET updated_at_ms = $3, seq = $4, ".to_owned();
        push_assignments(&mut sql, SITE_FIELDS.map(|field| field.name), |_| false, 5);
        sql.push_str(" WHERE client_no = $1 AND site_id = $2");
        let query = sqlx::query(AssertSqlSafe(sql))
            .bind(i64::from(client_index))
            .bind(site_id.to_owned())
            .bind(after.updated_at.as_millisecond())
            .bind(seq);
        bind_details(query, &after.details).execute(&mut *tx).await.context("cannot store the site")?;
        tx.commit().await.context("cannot commit the site")?;
        Ok(Some(after))
    }
}

/// Stores a site that the client does not have, or has no longer.
pub(crate) async fn insert_site(
    tx: &mut Transaction<'_, Any>,
    client_index: u32,
    new: &NewSite,
    now_ms: i64,
) -> anyhow::Result<()> {
    let seq = take_seqs(tx, 1).await?;
    let places: Vec<_> = (5..5 + SITE_FIELDS.len()).map(|place| format!("${place}")).collect();
    let kept = SITE_FIELDS.map(|field| format!("{0} = excluded.{0}", field.name)).join(", ");
    let sql = format!(
        "INSERT INTO sites (client_no, site_id, created_at_ms, updated_at_ms, seq, {}) \
         VALUES ($1, $2, $3, $3, $4, {}) \
         ON CONFLICT (client_no, site_id) DO UPDATE SET created_at_ms = excluded.created_at_ms, \
         updated_at_ms = excluded.updated_at_ms, deleted_at_ms = NULL, seq = excluded.seq, {kept}",
        columns(),
        places.join(", "),
    );
    let query = sqlx::query(AssertSqlSafe(sql))
        .bind(i64::from(client_index))
        .bind(new.id.clone())
        .bind(now_ms)
        .bind(seq);
    bind_details(query, &new.details).execute(&mut **tx).await.context("cannot store the site")?;
    Ok(())
}

fn bind_details<'q>(query: AnyQuery<'q>, details: &SiteDetails) -> AnyQuery<'q> {
    details.0.iter().fold(query, |query, value| query.bind(value.clone()))
}
