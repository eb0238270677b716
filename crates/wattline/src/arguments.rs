use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use wattline_model::RejectReason;

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
    /// Look whether everything that is configured is there and fits, and say what to do where it does not; exit 1
    /// where something failed. Nothing is changed.
    Doctor {
        #[arg(long)]
        json: bool,
    },
    /// Compare what Kafka has with what is in ClickHouse and in Parquet; exit 1 where they differ.
    Audit {
        #[arg(long)]
        json: bool,
        /// Demand everything up to the end of each partition, not only what the workers say they stored.
        #[arg(long)]
        complete: bool,
        /// Write the outcome into this file too, for the textfile collector of Prometheus' node exporter.
        #[arg(long, value_name = "FILE")]
        prometheus: Option<PathBuf>,
    },
    /// What was answered OK and could not be stored: look at it, append it to its topic again.
    Rejected {
        #[command(subcommand)]
        command: RejectedCommand,
    },
    /// Compute all tables and files anew, with the workers stopped, and exchange them for those that are there.
    Rebuild {
        /// Where to read the points: the records in Kafka, or the Parquet files where Kafka no longer has all.
        #[arg(long, value_enum, default_value_t = RebuildSource::Kafka)]
        from: RebuildSource,
        /// Where the new files go: another place in a bucket than parquet.dir, such as s3://bucket/prefix. Only
        /// where parquet.dir is a bucket.
        #[arg(long, value_name = "URL")]
        into: Option<String>,
        /// Do it; otherwise it is only said what would be done.
        #[arg(long)]
        yes: bool,
    },
    /// Partitions of the topics: see how many there are, and add some. No device changes its own.
    Partitions {
        #[command(subcommand)]
        command: PartitionsCommand,
    },
    /// Clients: who sends telemetry.
    Client {
        #[command(subcommand)]
        command: ClientCommand,
    },
    /// The developer portal, where clients make and revoke their tokens: serve it, or let somebody in.
    Portal {
        #[command(subcommand)]
        command: Option<PortalCommand>,
    },
    /// Tokens of clients.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// The keys that site tokens are signed with.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Sites of clients.
    Site {
        #[command(subcommand)]
        command: SiteCommand,
    },
    /// Devices of clients.
    Devices {
        #[command(subcommand)]
        command: DevicesCommand,
    },
}

#[derive(Debug, Args)]
pub struct RejectedSelection {
    /// Only those of this reason.
    #[arg(long, value_parser = RejectReason::ALL.map(RejectReason::name))]
    pub reason: Option<String>,
    /// Only those of this Kafka topic.
    #[arg(long)]
    pub topic: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum RejectedCommand {
    /// List the newest.
    List {
        #[command(flatten)]
        selection: RejectedSelection,
        /// So many at most.
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        /// One JSON object a line, with the record in base64.
        #[arg(long)]
        json: bool,
    },
    /// Append the original bytes to their topic and partition again, where a worker takes them anew.
    Replay {
        #[command(flatten)]
        selection: RejectedSelection,
        /// So many at most, the oldest of each partition first.
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Also what was replayed before.
        #[arg(long)]
        again: bool,
        /// Also what would be rejected again.
        #[arg(long)]
        force: bool,
        /// Do it; otherwise it is only said what would be done.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RebuildSource {
    Kafka,
    Parquet,
}

impl std::fmt::Display for RebuildSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            RebuildSource::Kafka => "Kafka",
            RebuildSource::Parquet => "Parquet",
        })
    }
}

#[derive(Debug, Subcommand)]
pub enum PartitionsCommand {
    /// Print how many each topic has, and how many new devices are spread over.
    Show,
    /// Add partitions to both topics of points, until each has COUNT. Nothing is appended to them yet.
    Add {
        count: u32,
        /// Do it; otherwise it is only said what would be done.
        #[arg(long)]
        yes: bool,
    },
    /// Spread the devices that are new from now on over all partitions, once gateways know of them.
    Use {
        /// Do it; otherwise it is only said what would be done.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Create a client and print its name.
    Create {
        /// 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit.
        name: String,
        #[arg(long)]
        json: bool,
    },
    /// List the clients, with how much each has.
    List {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum PortalCommand {
    /// Print a link that signs in for a client, once and for a limited time.
    Invite { client: String },
    /// End all sessions of a client and void its links. Its tokens stay as they are.
    SignOut { client: String },
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
        /// Print the token in a JSON object with its key id.
        #[arg(long)]
        json: bool,
    },
    /// List the tokens of all clients; the secrets are not known.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Revoke a token by its key id. It is refused by every gateway within seconds.
    Revoke { key_id: String },
    /// Create the successor of a token and print it, once and never again. The old one ends after the overlap.
    Rotate {
        key_id: String,
        /// How long the old token goes on: a number with s, m, h or d; 0s ends it at once.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = time)]
        overlap: Duration,
        /// Print the token in a JSON object with its key id.
        #[arg(long)]
        json: bool,
    },
}

/// A whole number with its unit.
fn time(text: &str) -> Result<Duration, &'static str> {
    const RULE: &str = "must be a whole number with s, m, h or d, for example 24h";
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(RULE)?;
    let unit_s: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(RULE),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number).ok_or(RULE)?;
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or("is too long")
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the signing keys, the newest first; the keys themselves are stored nowhere.
    List {
        #[arg(long)]
        json: bool,
    },
    /// Create a new signing key and print its id. Site tokens of the keys before it count for two hours more.
    Rotate {
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum SiteCommand {
    /// List the sites of all clients, or of one. JSON has all that the API has of a site.
    List {
        #[arg(long, value_name = "NAME")]
        client: Option<String>,
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Import devices from a file of JSON lines; `-` is standard input.
    Import { file: PathBuf },
    /// Write the devices that are new or changed into ClickHouse, for questions by site and manufacturer.
    Publish,
}
