//! What was rejected, for a person to look at and to replay.

use serde::Deserialize;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::insert::QUERY_BYTES_MAX;

/// Which of the rejected; an empty text means all.
#[derive(Clone, Debug, Default)]
pub struct RejectedFilter {
    pub reason: String,
    pub topic: String,
}

/// Where a rejected record or point stood in Kafka.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct RejectedPlace {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub index: i32,
}

/// A rejected record or point.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Deserialize)]
pub struct RejectedRow {
    pub reason: String,
    pub rejected_at_ms: i64,
    /// The original bytes.
    #[serde(with = "crate::neighbours::bytes_of_string")]
    pub record: Vec<u8>,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub index: i32,
    /// When it was last appended to its topic again; 0 when it was not.
    pub replayed_at_ms: i64,
}

impl RejectedRow {
    pub fn place(&self) -> RejectedPlace {
        let Self { partition, offset, index, .. } = *self;
        RejectedPlace { topic: self.topic.clone(), partition, offset, index }
    }
}

const ROWS: &str = "SELECT reason, toUnixTimestamp64Milli(rejected_at) AS rejected_at_ms, record, \
     _topic AS topic, _partition AS partition, _offset AS offset, _index AS index, \
     toUnixTimestamp64Milli(replayed_at) AS replayed_at_ms FROM rejected FINAL";

impl ClickHouse {
    /// The newest of what was rejected, newest first.
    pub async fn newest_rejected(
        &self,
        filter: &RejectedFilter,
        rows_max: u32,
    ) -> Result<Vec<RejectedRow>, ClickHouseError> {
        let query = self
            .client
            .query(&format!(
                "{ROWS} WHERE (? = '' OR reason = ?) AND (? = '' OR _topic = ?) \
                 ORDER BY rejected_at DESC, _topic, _partition, _offset DESC, _index DESC LIMIT ?"
            ))
            .bind(&filter.reason)
            .bind(&filter.reason)
            .bind(&filter.topic)
            .bind(&filter.topic)
            .bind(rows_max);
        self.fetch_all("list the rejected", query).await
    }

    /// The places of what was rejected, each partition's in the order of its offsets.
    pub async fn rejected_places(
        &self,
        filter: &RejectedFilter,
        with_replayed: bool,
    ) -> Result<Vec<RejectedPlace>, ClickHouseError> {
        let query = self
            .client
            .query(
                "SELECT _topic AS topic, _partition AS partition, _offset AS offset, _index AS index \
                 FROM rejected FINAL WHERE (? = '' OR reason = ?) AND (? = '' OR _topic = ?) \
                 AND (? OR toUnixTimestamp64Milli(replayed_at) = 0) \
                 ORDER BY _topic, _partition, _offset, _index",
            )
            .bind(&filter.reason)
            .bind(&filter.reason)
            .bind(&filter.topic)
            .bind(&filter.topic)
            .bind(with_replayed);
        self.fetch_all("list the rejected", query).await
    }

    /// What was rejected at these places, each partition's in the order of its offsets.
    pub async fn rejected_at(&self, places: &[RejectedPlace]) -> Result<Vec<RejectedRow>, ClickHouseError> {
        let query = self
            .client
            .query(&format!(
                "{ROWS} WHERE (_topic, _partition, _offset, _index) IN ? \
                 ORDER BY _topic, _partition, _offset, _index"
            ))
            .bind(tuples(places))
            .with_setting("max_query_size", QUERY_BYTES_MAX);
        self.fetch_all("read the rejected", query).await
    }

    /// Marks these places as replayed now. The row of a place is written again under its version: of rows of
    /// one version the last one written is the one that a reader sees.
    pub async fn mark_replayed(&self, places: &[RejectedPlace]) -> Result<(), ClickHouseError> {
        let query = self
            .client
            .query(
                "INSERT INTO rejected \
                 (reason, rejected_at, record, _topic, _partition, _offset, _index, _version, replayed_at) \
                 SELECT reason, rejected_at, record, _topic, _partition, _offset, _index, _version, now64(3) \
                 FROM rejected FINAL WHERE (_topic, _partition, _offset, _index) IN ?",
            )
            .bind(tuples(places))
            .with_setting("insert_deduplicate", "0")
            .with_setting("max_query_size", QUERY_BYTES_MAX);
        self.answered("mark the replayed", query.execute()).await
    }
}

fn tuples(places: &[RejectedPlace]) -> Vec<(&str, i32, i64, i32)> {
    places.iter().map(|place| (place.topic.as_str(), place.partition, place.offset, place.index)).collect()
}
