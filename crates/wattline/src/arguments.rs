use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Telemetry ingestion for home batteries.
#[derive(Debug, Parser)]
#[command(name = "wattline", version, propagate_version = true)]
pub struct Arguments {
    /// The configuration, a TOML file. Every key can also be set in the environment: WATTLINE_SECTION_KEY.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take telemetry over HTTP and append it to Kafka.
    Gateway,
    /// Take telemetry from Kafka and write it to ClickHouse and Parquet.
    Worker,
    /// Create or update what the other commands need: Kafka topics, ClickHouse tables, the directory.
    Migrate,
    /// Compare what Kafka has with what is in ClickHouse and in Parquet; exit 1 where they differ.
    Audit {
        #[arg(long)]
        json: bool,
        /// Demand everything up to the end of each partition, not only what the workers say they stored.
        #[arg(long)]
        complete: bool,
    },
    /// Tokens of clients.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Devices of clients.
    Devices {
        #[command(subcommand)]
        command: DevicesCommand,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, once and never again. A client that is new is created too.
    Create {
        #[arg(long, value_name = "NAME")]
        client: String,
        /// What to call the token in lists.
        #[arg(long, value_name = "LABEL", default_value = "")]
        name: String,
        /// Make a token for tests: it begins with wl_test_.
        #[arg(long)]
        test: bool,
    },
    /// List the tokens of all clients; the secrets are not known.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token by its key id. It is refused by every gateway within seconds.
    Revoke { key_id: String },
}

#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Import devices from a file of JSON lines; `-` is standard input.
    Import { file: PathBuf },
}
