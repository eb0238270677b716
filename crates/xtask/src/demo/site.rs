//! One installation of Wattline, used through its binary as a user does.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::account::Audit;
use crate::http;
use crate::process::{free_ports, output, run, wait_for};
use crate::services::Services;
use crate::stack::Stack;

/// What the folder of a site beside others begins with.
pub const SITE_PREFIX: &str = "wattline-";
const READY_DEADLINE: Duration = Duration::from_secs(60);
const READY_TIMEOUT: Duration = Duration::from_secs(2);
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
const ROLES: [&str; 2] = ["gateway", "worker"];

pub struct Site {
    binary: PathBuf,
    folder: PathBuf,
    gateway: String,
    /// Metrics and readiness of the roles, in the order of `ROLES`.
    operations: [String; 2],
    /// Settings by the names of their variables, which go before the configuration.
    variables: Vec<(&'static str, String)>,
}

impl Site {
    /// Writes the configuration of a new, empty installation; `more` are further sections of it.
    pub fn new(stack: &Stack, services: &Services, binaries: &Path, more: &str) -> anyhow::Result<Site> {
        Self::in_folder(stack.fresh_folder("wattline")?, services, binaries, more)
    }

    /// One of several, each of which is to be given topics and a database of its own.
    pub fn beside_others(
        stack: &Stack,
        services: &Services,
        binaries: &Path,
        name: &str,
    ) -> anyhow::Result<Site> {
        Self::in_folder(stack.fresh_folder(&format!("{SITE_PREFIX}{name}"))?, services, binaries, "")
    }

    fn in_folder(folder: PathBuf, services: &Services, binaries: &Path, more: &str) -> anyhow::Result<Site> {
        let [gateway, gateway_operations, worker_operations] = free_ports()?;
        let configuration = format!(
            r#"[kafka]
brokers = "{kafka}"

[directory]
url = "sqlite://{folder}/wattline.db"

[auth]
pepper = "{pepper}"

[gateway]
listen = "127.0.0.1:{gateway}"
ops_listen = "127.0.0.1:{gateway_operations}"

[worker]
ops_listen = "127.0.0.1:{worker_operations}"

[clickhouse]
url = "{clickhouse}"

[parquet]
dir = "{folder}/parquet"
# So that the files are there soon after the last point.
file_age_max_ms = 5000

{more}"#,
            kafka = services.kafka,
            clickhouse = services.clickhouse,
            folder = folder.display(),
            pepper = random_hex()?,
        );
        let site = Site {
            binary: binaries.join("wattline"),
            folder,
            gateway: format!("http://127.0.0.1:{gateway}"),
            operations: [gateway_operations, worker_operations]
                .map(|port| format!("http://127.0.0.1:{port}")),
            variables: Vec::new(),
        };
        let path = site.configuration();
        fs::write(&path, configuration).with_context(|| format!("writing {}", path.display()))?;
        Ok(site)
    }

    pub fn url(&self) -> &str {
        &self.gateway
    }

    /// Metrics and readiness of a gateway and of a worker.
    pub fn operations(&self) -> &[String; 2] {
        &self.operations
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn token_file(&self) -> PathBuf {
        self.folder.join("token")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("wattline.toml")
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.configuration()).args(arguments);
        // What a shell has set for another installation would win over the file.
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"WATTLINE_"))
        {
            command.env_remove(name);
        }
        if arguments == ["worker"] {
            // As its unit and its container have it.
            command.env("MIMALLOC_PURGE_DELAY", "10000");
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Changes a setting, for every command from now on.
    pub fn set(&mut self, variable: &'static str, value: &str) {
        self.variables.push((variable, value.to_owned()));
    }

    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        run(&mut self.command(arguments))
    }

    pub fn create_token(&self, client: &str) -> anyhow::Result<()> {
        let token = output(&mut self.command(&["token", "create", "--client", client]))?;
        fs::write(self.token_file(), token).context("keeping the token")
    }

    pub fn import_devices(&self, file: &Path) -> anyhow::Result<()> {
        run(self.command(&["devices", "import"]).arg(file))
    }

    /// Starts the gateway and the worker and waits until both are ready.
    pub fn serve(&self, stack: &mut Stack) -> anyhow::Result<()> {
        for role in ROLES {
            stack.start(role, &mut self.command(&[role]))?;
        }
        for (role, operations) in ROLES.iter().zip(&self.operations) {
            let url = format!("{operations}/readyz");
            wait_for(&format!("the readiness of the {role}"), READY_DEADLINE, || {
                stack.check()?;
                Ok(http::get(&url, READY_TIMEOUT).ok().map(|_| ()))
            })
            .with_context(|| format!("the log is {}", stack.log(role).display()))?;
        }
        Ok(())
    }

    /// What Kafka and the sinks hold; of what workers say they have stored, or, `complete`, of everything. An
    /// audit that is not exact has counts all the same.
    pub fn audit(&self, complete: bool) -> anyhow::Result<Audit> {
        let arguments: &[&str] =
            if complete { &["audit", "--json", "--complete"] } else { &["audit", "--json"] };
        let output =
            self.command(arguments).stderr(Stdio::inherit()).output().context("starting `wattline audit`")?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`wattline audit` ended with {} and no counts", output.status))
    }

    pub fn print_usage(&self, services: &Services, page: &str) -> anyhow::Result<()> {
        let token = fs::read_to_string(self.token_file()).context("reading the token")?;
        let point = self.write_point(services)?;
        let [gateway_operations, worker_operations] = &self.operations;
        println!(
            "Left running, beside a fleet that posts for an hour and then stops by itself:
  live page    {page}
  gateway      {gateway}   metrics {gateway_operations}/metrics
  worker       metrics {worker_operations}/metrics
  Kafka        {kafka}
  ClickHouse   {clickhouse}   database wattline
  Parquet      {folder}/parquet
  token        {token}

Post a point:
  curl {gateway}/v1/telemetry/BATTERY -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d @{point}
Read it a moment later:
  curl '{clickhouse}/?database=wattline' -d 'SELECT * FROM intervals FINAL ORDER BY received_at DESC LIMIT 1 FORMAT Vertical'
Compare the counts:
  {binary} --config {configuration} audit
Stop everything:
  cargo xtask down
",
            gateway = self.gateway,
            kafka = services.kafka,
            clickhouse = services.clickhouse,
            folder = self.folder.display(),
            token = token.trim(),
            point = point.display(),
            binary = self.binary.display(),
            configuration = self.configuration().display(),
        );
        Ok(())
    }

    /// A body with one point, five minutes old, of a device of the demo.
    fn write_point(&self, services: &Services) -> anyhow::Result<PathBuf> {
        let url = format!("{}/?database=wattline", services.clickhouse);
        // The engine has a calendar; these commands have none.
        let query =
            "SELECT formatDateTime(now('UTC') - 300, '%Y-%m-%dT%H:%i:%SZ'), min(device_id) FROM intervals";
        let answer = http::post(&url, query, QUERY_TIMEOUT)?;
        let (start_time, device_id) = answer.trim().split_once('\t').context("a time and a device")?;
        let point = serde_json::json!({"telemetry": [{
            "start_time": start_time,
            "duration_s": 300,
            "device_id": device_id,
            "last_is_online": true,
            "last_mode": "DISCHARGE",
            "battery_last_power_charge_w": 0,
            "battery_last_power_discharge_w": 2400,
            "battery_total_energy_charge_wh": 0,
            "battery_total_energy_discharge_wh": 200.125,
            "battery_last_stored_energy_wh": 8100,
            "battery_last_capacity_energy_wh": 13500,
            "last_is_grid_online": true,
            "home_total_energy_wh": 250,
            "home_last_power_w": 3000,
            "solar_total_energy_wh": 50,
            "solar_last_power_w": 600,
            "battery_last_state_of_charge_percentage": 60,
        }]});
        let path = self.folder.join("point.json");
        fs::write(&path, serde_json::to_string_pretty(&point)? + "\n")
            .with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }
}

/// 32 bytes of the kernel's randomness.
fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
