use tracing::info;
use wattline_clickhouse_sink::ClickHouse;
use wattline_directory::Directory;

use crate::config::Config;

/// Creates what is missing, in Kafka, in ClickHouse and in the directory. A second run does nothing.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let retention = config.retention()?;
    let created = wattline_kafka::create_topics(&config.kafka.connection()?, &config.kafka.topics()?).await?;
    info!(?created, "Kafka topics");
    let tables = ClickHouse::new(config.clickhouse.settings()?)?;
    let applied = tables.migrate().await?;
    info!(?applied, "ClickHouse migrations");
    let changed = tables.keep_for(retention).await?;
    info!(?changed, "ClickHouse retention");
    let directory = Directory::open(&config.directory.url).await?;
    directory.migrate().await?;
    directory.close().await;
    info!("directory");
    Ok(())
}
