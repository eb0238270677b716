//! The devices of the directory, for whoever asks by site or manufacturer.

use serde::Serialize;

use crate::client::ClickHouse;
use crate::error::ClickHouseError;
use crate::neighbours::Thousandths;

/// A device as the directory has it after a change.
#[derive(Clone, Debug, PartialEq, Eq, clickhouse::Row, Serialize)]
pub struct PublishedDevice {
    pub client_id: String,
    pub device_id: String,
    pub site_id: Option<String>,
    pub r#type: &'static str,
    pub manufacturer_name: Option<String>,
    pub product_name: Option<String>,
    pub battery_capacity_wh: Option<Thousandths>,
    pub battery_power_input_w: Option<Thousandths>,
    pub battery_power_output_w: Option<Thousandths>,
    pub counter_modulus_wh: Option<Thousandths>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    pub deleted_at: Option<i64>,
    /// The number of the change.
    #[serde(rename = "_version")]
    pub version: u64,
}

impl ClickHouse {
    /// The number of the latest change that is in the table; 0 where it is empty.
    pub async fn last_published_device(&self) -> Result<u64, ClickHouseError> {
        let query = self.client.query("SELECT max(_version) FROM devices");
        Ok(self.fetch_all("read the published devices", query).await?.pop().unwrap_or(0))
    }

    /// Writes devices, all of them or none.
    pub async fn publish_devices(&self, devices: &[PublishedDevice]) -> Result<(), ClickHouseError> {
        let write = async {
            let mut insert = self.client.insert::<PublishedDevice>("devices").await?;
            for device in devices {
                insert.write(device).await?;
            }
            insert.end().await
        };
        self.answered("publish devices", write).await
    }
}
