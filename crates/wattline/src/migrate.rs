use tracing::info;
use wattline_clickhouse_sink::ClickHouse;
use wattline_directory::Directory;

use crate::config::Config;

/// Creates what is missing, in Kafka, in ClickHouse and in the directory. A second run does nothing.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let created = wattline_kafka::create_topics(&config.kafka.connection()?, &config.kafka.topics()?).await?;
    info!(?created, "Kafka topics");
    let applied = ClickHouse::new(config.clickhouse.settings()?).migrate().await?;
    info!(?applied, "ClickHouse migrations");
    let directory = Directory::open(&config.directory.url).await?;
    directory.migrate().await?;
    directory.close().await;
    info!("directory");
    Ok(())
}
