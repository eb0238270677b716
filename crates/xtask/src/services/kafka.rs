//! One Kafka node (KRaft: broker and controller in one process) from Kafka's own jars, and the mock
//! broker that stands in for it where Java cannot be had.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Data;
use crate::cargo::{self, Profile};
use crate::process::{free_ports, run_within, wait_for};
use crate::stack::Stack;
use crate::{paths, process};

const INSTALL_DEADLINE: Duration = Duration::from_secs(15 * 60);
const FORMAT_DEADLINE: Duration = Duration::from_secs(60);
/// A broker that was killed is let in again when its old session is over.
const READY_DEADLINE: Duration = Duration::from_secs(90);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
pub const SERVICE: &str = "kafka";

/// Any 16 bytes in base64: it keeps the folder of one cluster from being used by another.
const CLUSTER_ID: &str = "d2F0dGxpbmUtbG9jYWwtMQ";

/// The topics that `wattline migrate` makes; the mock broker cannot make any when it runs.
const MOCK_TOPICS: [&str; 3] = ["wattline.intervals:12", "wattline.counters:12", "wattline.rejected:12"];

/// The folder with Kafka's jars.
pub struct Jars(PathBuf);

impl Jars {
    /// Copies the jars from Maven's repository, unless the cache has them.
    pub fn install() -> anyhow::Result<Jars> {
        let pom = paths::root().join("deploy/local/kafka/pom.xml");
        let wanted = fs::read_to_string(&pom).context("reading the versions of Kafka's jars")?;
        let folder = paths::cache()?.join("kafka");
        let installed = folder.join("installed.xml");
        if fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            return Ok(Jars(folder));
        }
        println!("Copying Kafka's jars from Maven Central (about 60 MB, once) …");
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
        let mut maven = Command::new("mvn");
        maven
            .args(["-B", "-q", "-ntp", "-Dstyle.color=never", "-f"])
            .arg(&pom)
            .arg("dependency:copy-dependencies")
            .arg(format!("-DoutputDirectory={}", folder.display()));
        run_within(INSTALL_DEADLINE, &mut maven).context("copying Kafka's jars")?;
        fs::write(&installed, wanted).context("noting the installation")?;
        Ok(Jars(folder))
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The sum of the values of all records in segments of a log, decompressed, by Kafka's own tool.
    pub fn value_bytes(&self, segments: &[PathBuf]) -> anyhow::Result<u64> {
        let files: Vec<String> = segments.iter().map(|path| path.display().to_string()).collect();
        let mut dump = self.java();
        dump.args(["kafka.tools.DumpLogSegments", "--deep-iteration", "--files", &files.join(",")]);
        let text = process::output(&mut dump)?;
        let sizes = text.lines().filter_map(|line| line.split_once(" valueSize: ")?.1.split(' ').next());
        sizes.map(|size| size.parse::<u64>().with_context(|| format!("a record of {size} bytes"))).sum()
    }

    /// Java with a small heap and the jars, up to the name of the main class.
    fn java(&self) -> Command {
        let mut java = Command::new("java");
        java.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
            .arg("-cp")
            .arg(self.0.join("*"));
        java
    }
}

/// A second way to the broker. Clients that begin there are led back there, as they are told only of this
/// way: so whatever stands on it sees all their traffic.
#[derive(Clone, Copy)]
pub struct Detour {
    /// Where the broker listens.
    pub port: u16,
    /// Where it says that it does.
    pub advertised: u16,
}

/// A node that is ready to be started, any number of times, on the same data and ports.
pub struct Node {
    jars: Jars,
    properties: PathBuf,
    controller: u16,
    pub bootstrap: String,
}

impl Node {
    pub fn prepare(stack: &Stack, jars: &Jars, data: Data, detour: Option<Detour>) -> anyhow::Result<Node> {
        let folder = match data {
            Data::Fresh => stack.fresh_folder(SERVICE)?,
            Data::Kept => stack.folder().join(SERVICE),
        };
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let [broker, controller] = free_ports()?;
        let text = server_properties(broker, Controller::Within(controller), detour, &folder.join("data"));
        let properties = write_properties(&folder, &text)?;
        format_storage(stack, jars, &properties)?;
        let jars = Jars(jars.0.clone());
        Ok(Node { jars, properties, controller, bootstrap: format!("127.0.0.1:{broker}") })
    }

    /// A second broker of this node's cluster, with empty data.
    pub fn prepare_second(&self, stack: &Stack) -> anyhow::Result<Node> {
        let folder = stack.fresh_folder("kafka-2")?;
        let [broker, detour] = free_ports()?;
        let detour = Detour { port: detour, advertised: detour };
        let controller = Controller::Elsewhere(self.controller);
        let text = server_properties(broker, controller, Some(detour), &folder.join("data"));
        let properties = write_properties(&folder, &text)?;
        format_storage(stack, &self.jars, &properties)?;
        let bootstrap = format!("127.0.0.1:{broker}");
        Ok(Node { jars: Jars(self.jars.0.clone()), properties, controller: self.controller, bootstrap })
    }

    pub fn command(&self) -> Command {
        let mut java = self.jars.java();
        java.arg("kafka.Kafka").arg(&self.properties);
        java
    }

    /// What `kafka-consumer-groups.sh` runs.
    pub fn consumer_groups(&self) -> Command {
        let mut java = self.jars.java();
        java.arg("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand");
        java
    }
}

/// Starts the node and returns its bootstrap servers; `wait_ready` waits for it.
pub fn start(stack: &mut Stack, jars: &Jars, data: Data) -> anyhow::Result<String> {
    let node = Node::prepare(stack, jars, data, None)?;
    stack.start(SERVICE, &mut node.command())?;
    Ok(node.bootstrap)
}

fn write_properties(folder: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let properties = folder.join("server.properties");
    fs::write(&properties, text).with_context(|| format!("writing {}", properties.display()))?;
    Ok(properties)
}

fn format_storage(stack: &Stack, jars: &Jars, properties: &Path) -> anyhow::Result<()> {
    let mut format = jars.java();
    format
        .args(["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID, "-c"])
        .arg(properties)
        .stdout(fs::File::create(stack.log("kafka-format"))?);
    run_within(FORMAT_DEADLINE, &mut format).context("formatting Kafka's storage")
}

/// The port of the cluster's controller, and whether it is in the same process.
#[derive(Clone, Copy)]
enum Controller {
    Within(u16),
    Elsewhere(u16),
}

fn server_properties(broker: u16, controller: Controller, detour: Option<Detour>, data: &Path) -> String {
    let [mut listener, mut advertised, mut protocol] = [const { String::new() }; 3];
    let (roles, id, controller) = match controller {
        Controller::Within(port) => {
            listener = format!(",CONTROLLER://127.0.0.1:{port}");
            ("broker,controller", 1, port)
        }
        Controller::Elsewhere(port) => ("broker", 2, port),
    };
    if let Some(detour) = detour {
        listener += &format!(",DETOUR://127.0.0.1:{}", detour.port);
        advertised = format!(",DETOUR://127.0.0.1:{}", detour.advertised);
        protocol = ",DETOUR:PLAINTEXT".to_owned();
    }
    format!(
        "# Written at every start: the ports are free ones.
process.roles={roles}
node.id={id}
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=BROKER://127.0.0.1:{broker}{listener}
advertised.listeners=BROKER://127.0.0.1:{broker}{advertised}
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}
log.dirs={data}

# As a rule there is no second node to hold a copy.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Topics are made on purpose, by `wattline migrate`.
auto.create.topics.enable=false

# Quick to start, to form a group, and to come back after a SIGKILL.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=2

# A development machine runs much besides.
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
",
        data = data.display()
    )
}

pub fn wait_ready(stack: &mut Stack, bootstrap: &str) -> anyhow::Result<()> {
    wait_for("an answer of Kafka", READY_DEADLINE, || {
        stack.check()?;
        Ok(answers(bootstrap).then_some(()))
    })
}

pub fn answers(bootstrap: &str) -> bool {
    // Refused and cut connections are what a starting broker has to offer.
    brokers(bootstrap).is_ok_and(|brokers| brokers > 0)
}

/// How many brokers the cluster has, by a Metadata request, version 1, for no topic.
pub fn brokers(bootstrap: &str) -> io::Result<i32> {
    const METADATA: i16 = 3;
    const VERSION: i16 = 1;
    const CORRELATION_ID: i32 = 1;
    const NO_CLIENT_ID: i16 = -1;
    const NO_TOPICS: i32 = 0;

    let mut request = Vec::new();
    request.extend(METADATA.to_be_bytes());
    request.extend(VERSION.to_be_bytes());
    request.extend(CORRELATION_ID.to_be_bytes());
    request.extend(NO_CLIENT_ID.to_be_bytes());
    request.extend(NO_TOPICS.to_be_bytes());
    let size = i32::try_from(request.len()).map_err(io::Error::other)?;

    let mut stream = TcpStream::connect(bootstrap)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(&[&size.to_be_bytes()[..], &request].concat())?;
    // The answer: its size, the correlation id, the number of brokers, and then the brokers.
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    let [.., a, b, c, d] = answer;
    Ok(i32::from_be_bytes([a, b, c, d]))
}

/// Starts the mock broker and returns its bootstrap servers.
pub fn start_mock(stack: &mut Stack) -> anyhow::Result<String> {
    println!("Building the mock broker …");
    let folder = cargo::build(&["-p", "wattline-kafka", "--bin", "mock-broker"], Profile::Dev)?;
    let mut command = Command::new(folder.join("mock-broker"));
    for topic in MOCK_TOPICS {
        command.args(["--topic", topic]);
    }
    stack.start(SERVICE, &mut command)?;
    let log = stack.log(SERVICE);
    wait_for("the address of the mock broker", READY_DEADLINE, || {
        stack.check()?;
        let text = fs::read_to_string(&log).unwrap_or_default();
        // A line is whole when its end is there.
        let line = text.split_inclusive('\n').find_map(|line| line.strip_prefix("bootstrap="));
        match line {
            Some(line) if line.trim().is_empty() => bail!("no address:\n{}", process::log_tail(&log)),
            Some(line) if line.ends_with('\n') => Ok(Some(line.trim().to_owned())),
            _ => Ok(None),
        }
    })
}
