//! `wattline-cookbook`: the data of the cookbook for an installation of one's own.

use std::io::Write as _;

use clap::{Parser, Subcommand};
use wattline_cookbook::Topics;
use wattline_kafka::Connection;

/// The data that the answers of docs/cookbook.md are of.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the batteries, as `wattline devices import` takes them.
    Devices,
    /// Append the points to Kafka, as a gateway would have done at the time. Do it once.
    Append {
        /// host:port of a broker.
        #[arg(long)]
        brokers: String,
        #[arg(long, default_value = "wattline.intervals")]
        topic_intervals: String,
        #[arg(long, default_value = "wattline.counters")]
        topic_counters: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match Arguments::parse().command {
        Command::Devices => {
            for line in wattline_cookbook::device_lines() {
                writeln!(out, "{line}")?;
            }
        }
        Command::Append { brokers, topic_intervals, topic_counters } => {
            let kafka = Connection { brokers, properties: Default::default() };
            let topics = Topics { intervals: topic_intervals, counters: topic_counters };
            let points = wattline_cookbook::append(&kafka, &topics).await?;
            writeln!(out, "{points} points")?;
        }
    }
    Ok(())
}
