//! A Kafka of a test's own that speaks TLS, asks for certificates and passwords, and keeps to rights.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::authority::Authority;
use crate::process::{Process, until};
use crate::site::Site;

const READY_DEADLINE: Duration = Duration::from_secs(90);
pub const PASSWORD: &str = "canary-secret-of-kafka";
/// May do everything, and nothing but what it is granted.
pub const USERS: [&str; 2] = ["owner", "guest"];

pub struct Broker {
    pub secured: String,
    plain: String,
    _process: Process,
}

#[expect(clippy::disallowed_methods, reason = "a test has nobody to hand it its arguments")]
pub fn java() -> Command {
    let jars = std::env::var("WATTLINE_TEST_KAFKA_JARS").unwrap_or_else(|_| {
        panic!("WATTLINE_TEST_KAFKA_JARS is not set: `cargo xtask test -- -p wattline` sets it")
    });
    let mut java = Command::new("java");
    java.args(["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    java.arg("-cp").arg(PathBuf::from(jars).join("*"));
    java
}

impl Broker {
    pub fn start(site: &Site, authority: &Authority) -> Self {
        let folder = site.path("kafka");
        fs::create_dir(&folder).expect("a folder");
        let signed = authority.sign(&["127.0.0.1"]);
        let pair = folder.join("broker.pem");
        fs::write(&pair, format!("{}{}", signed.key, signed.certificate)).expect("the broker's pair");
        let trusted = authority.write(folder.join("trusted.pem"));
        let [plain, secured, controller] = free_ports();
        let properties = folder.join("server.properties");
        let data = folder.join("data");
        let user = |name: &str| format!("user_{name}=\"{PASSWORD}\"");
        let text = format!(
            "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{plain},SECURED://127.0.0.1:{secured},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{plain},SECURED://127.0.0.1:{secured}
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,SECURED:SASL_SSL,CONTROLLER:PLAINTEXT
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:owner
listener.name.secured.ssl.keystore.type=PEM
listener.name.secured.ssl.keystore.location={pair}
listener.name.secured.ssl.truststore.type=PEM
listener.name.secured.ssl.truststore.location={trusted}
listener.name.secured.ssl.client.auth=required
listener.name.secured.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secured.plain.sasl.jaas.config=\
             org.apache.kafka.common.security.plain.PlainLoginModule required {users};
listener.name.secured.scram-sha-256.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secured.scram-sha-512.sasl.jaas.config=\
             org.apache.kafka.common.security.scram.ScramLoginModule required;
",
            data = data.display(),
            pair = pair.display(),
            users = USERS.map(user).join(" "),
        );
        fs::write(&properties, text).expect("the properties");
        let mut format = java();
        format.args(["kafka.tools.StorageTool", "format", "-t", "d2F0dGxpbmUtc2VjdXJlZA", "-c"]);
        format.arg(&properties);
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let scram = format!("{mechanism}=[name=owner,password={PASSWORD}]");
            format.args(["--add-scram", &scram]);
        }
        run(format);
        let mut command = java();
        command.arg("kafka.Kafka").arg(&properties);
        let process = Process::start("kafka".to_owned(), command, &folder);
        let broker = Broker {
            secured: format!("127.0.0.1:{secured}"),
            plain: format!("127.0.0.1:{plain}"),
            _process: process,
        };
        until("Kafka listens", READY_DEADLINE, || {
            [&broker.plain, &broker.secured].iter().all(|port| TcpStream::connect(port).is_ok()).then_some(())
        });
        broker
    }

    /// What `kafka-acls.sh` does.
    pub fn grant(&self, user: &str, arguments: &[&str]) {
        let mut acls = java();
        acls.args(["org.apache.kafka.tools.AclCommand", "--bootstrap-server", &self.plain, "--add"]);
        acls.args(["--allow-principal", &format!("User:{user}")]).args(arguments);
        run(acls);
    }
}

fn free_ports() -> [u16; 3] {
    let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

fn run(mut command: Command) {
    let output = command.output().expect("java starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
