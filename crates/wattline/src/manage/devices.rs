use std::io::{BufReader, Write as _, stdin, stdout};
use std::path::Path;

use anyhow::{Context as _, bail};
use wattline_clickhouse_sink::{ClickHouse, PublishedDevice, Thousandths};
use wattline_directory::{Directory, ListedDevice, parse_lines};

use crate::arguments::DevicesCommand;
use crate::config;

/// Devices of one insert, and in memory at once.
const PUBLISHED_AT_ONCE_MAX: u32 = 20_000;

pub(super) async fn run(
    directory: &Directory,
    clickhouse: &config::ClickHouse,
    command: DevicesCommand,
) -> anyhow::Result<()> {
    match command {
        DevicesCommand::Import { file } => import(directory, &file).await,
        DevicesCommand::Publish => publish(directory, &ClickHouse::new(clickhouse.settings()?)?).await,
    }
}

async fn import(directory: &Directory, file: &Path) -> anyhow::Result<()> {
    let report = if file == Path::new("-") {
        directory.import_devices(parse_lines(BufReader::new(stdin()))).await
    } else {
        let lines = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        directory.import_devices(parse_lines(BufReader::new(lines))).await
    }?;
    writeln!(stdout(), "{} lines, {} devices new or changed", report.lines, report.changed)?;
    Ok(())
}

/// Changes are numbered and written in their order, so that the highest number in the table says how far it is.
async fn publish(directory: &Directory, tables: &ClickHouse) -> anyhow::Result<()> {
    let mut published = tables.last_published_device().await?;
    if directory.last_change().await? < published {
        bail!(
            "the table devices has changes that this directory does not have, so it is of another one; to publish \
             this one in its place: TRUNCATE TABLE devices"
        );
    }
    let mut changed = 0;
    loop {
        let listed = directory.devices_changed_after(published, PUBLISHED_AT_ONCE_MAX).await?;
        let Some(last) = listed.last() else { break };
        published = last.change;
        let devices: Vec<_> = listed.into_iter().map(published_device).collect();
        tables.publish_devices(&devices).await?;
        changed += devices.len();
    }
    writeln!(stdout(), "{changed} devices published")?;
    Ok(())
}

fn published_device(device: ListedDevice) -> PublishedDevice {
    let thousandths = |number: f64| Thousandths((number * 1e3).round() as i64);
    PublishedDevice {
        client_id: device.client,
        device_id: device.device_id,
        site_id: device.site_id,
        r#type: device.device_type.name(),
        manufacturer_name: device.manufacturer_name,
        product_name: device.product_name,
        battery_capacity_wh: device.battery_capacity_wh.map(thousandths),
        battery_power_input_w: device.battery_power_input_w.map(thousandths),
        battery_power_output_w: device.battery_power_output_w.map(thousandths),
        counter_modulus_wh: device.counter_modulus_mwh.map(Thousandths),
        created_at: device.created_at.as_millisecond(),
        deleted_at: device.deleted_at.map(|at| at.as_millisecond()),
        version: device.change,
    }
}
