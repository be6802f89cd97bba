//! Apache Kafka: one node in KRaft mode, with a listener for each way of coming in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::kafka_tool::{Record, Tool};
use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed, unique};
use crate::setup::free_port;

/// A way of coming in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Anybody may do anything.
    Plain,
    /// PLAIN and SCRAM without encryption. `alice` with `alice-secret` is known to both and has no rights, `admin` with `admin-secret` (PLAIN) all.
    Sasl,
    /// The same with encryption.
    SaslTls,
    /// A client certificate is needed: the one in [`Broker::file`] is `alice`'s.
    Mtls,
    /// OAUTHBEARER; the broker takes tokens without a signature.
    OAuth,
    /// Anybody may do anything, through [`Broker::proxy`].
    Proxied,
}

/// A broker.
#[derive(Debug)]
pub struct Broker {
    tool: Arc<Tool>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Given(String),
    Ours(Ours),
}

#[derive(Debug)]
struct Ours {
    directory: TempDir,
    home: PathBuf,
    /// In the order of [`Listener`]; then where the fault proxy listens, and the controller.
    ports: [u16; 8],
    process: Running,
}

/// The plain broker of all tests: `FLAGPOST_TEST_KAFKA_URL` (`host:port`), or [`local`]'s. `None`: skipped.
pub async fn shared() -> Option<Arc<Broker>> {
    let Some(address) = given("kafka") else { return local().await };
    Some(Arc::new(Broker { tool: tool()?, place: Place::Given(address) }))
}

/// The broker of all tests that is certainly ours: it has every listener. `None`: skipped.
pub async fn local() -> Option<Arc<Broker>> {
    static SHARED: OnceCell<Option<Arc<Broker>>> = OnceCell::const_new();
    SHARED.get_or_init(async || own().await.map(Arc::new)).await.clone()
}

/// A broker of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<Broker> {
    let (home, tool) = (installed("kafka")?, tool()?);
    let broker = tokio::task::spawn_blocking(move || Broker::start(home, tool));
    Some(broker.await.unwrap())
}

fn tool() -> Option<Arc<Tool>> {
    installed("kafka-tool").map(|_| Tool::shared())
}

controlled!(Broker, ours().process);

impl Broker {
    fn start(home: PathBuf, tool: Arc<Tool>) -> Broker {
        let directory = tempfile::tempdir().unwrap();
        let ports: [u16; 8] = std::array::from_fn(|_| free_port());
        let path = directory.path().to_str().unwrap();
        let made = Command::new("bash").arg(home.join("certificates.sh")).arg(path).status().unwrap();
        assert!(made.success(), "certificates.sh");
        let mut text = fs::read_to_string(home.join("server.properties")).unwrap().replace("@DIR@", path);
        for (name, port) in ["P0", "P1", "P2", "P3", "P4", "P5", "PX", "CTRL"].iter().zip(ports) {
            text = text.replace(&format!("@{name}@"), &port.to_string());
        }
        fs::write(directory.path().join("server.properties"), text).unwrap();
        let ours = Ours { directory, home, ports, process: Running::default() };
        let users = ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|kind| format!("{kind}=[name=alice,password=alice-secret]"));
        let format = ["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "--standalone", "-c"].map(str::to_owned).into_iter();
        let users = users.into_iter().flat_map(|user| ["--add-scram".to_owned(), user]);
        let arguments = ours.java("kafka.tools.StorageTool", format.chain([ours.file("server.properties")]).chain(users));
        let formatted = Command::new("java").args(arguments).output().unwrap();
        assert!(formatted.status.success(), "{}", String::from_utf8_lossy(&formatted.stderr));
        ours.run();
        Broker { tool, place: Place::Ours(ours) }
    }

    fn ours(&self) -> &Ours {
        match &self.place {
            Place::Ours(ours) => ours,
            Place::Given(address) => panic!("the test needs a broker of its own, not {address}"),
        }
    }

    /// Where a listener is.
    pub fn address(&self, listener: Listener) -> String {
        match &self.place {
            Place::Given(address) if listener == Listener::Plain => address.clone(),
            // What clients are told is the proxy's port; they begin there, too.
            _ if listener == Listener::Proxied => format!("127.0.0.1:{}", self.ours().ports[6]),
            _ => format!("127.0.0.1:{}", self.ours().ports[listener as usize]),
        }
    }

    /// `ca.pem`, `client.crt`, `client.key`.
    pub fn file(&self, name: &str) -> String {
        self.ours().file(name)
    }

    /// Makes a topic with a name of its own and that many partitions; settings are `key=value`.
    pub async fn topic(&self, partitions: u32, settings: &[&str]) -> String {
        let name = unique("events");
        self.make_topic(&name, partitions, settings).await;
        name
    }

    /// Makes a topic.
    pub async fn make_topic(&self, name: &str, partitions: u32, settings: &[&str]) {
        let partitions = partitions.to_string();
        let parts = [name, &partitions].into_iter().chain(settings.iter().copied());
        self.admin("topic", &parts.collect::<Vec<_>>()).await;
    }

    /// Does something to the broker: see `KafkaTool.java`.
    pub async fn admin(&self, command: &str, parts: &[&str]) -> Vec<String> {
        self.tool.run(command, &self.address(Listener::Plain), parts).await.unwrap_or_else(|why| panic!("{command} {parts:?}: {why}"))
    }

    /// All committed messages of a topic by Kafka's official client, partition by partition; waits until there are `count`.
    pub async fn read(&self, topic: &str, count: usize) -> Vec<Record> {
        self.read_as(topic, "read_committed", count).await
    }

    /// The same with that `isolation.level`.
    pub async fn read_as(&self, topic: &str, isolation: &str, count: usize) -> Vec<Record> {
        let answer = self.admin("read", &[topic, isolation, &count.to_string(), "30000"]).await;
        answer.iter().map(|line| Record::parse(line)).collect()
    }

    /// A fault proxy before [`Listener::Proxied`]. `None`: skipped.
    pub async fn proxy(&self) -> Option<Toxiproxy> {
        let ours = self.ours();
        Toxiproxy::before(ours.directory.path(), ours.ports[6], ours.ports[5]).await
    }

    /// Starts it again, with the same data on the same ports.
    pub async fn restart(&self) {
        let ours = self.ours();
        tokio::task::block_in_place(|| ours.run());
    }
}

impl Ours {
    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Java's arguments for one of Kafka's programs. The archive of classes halves the start.
    fn java(&self, class: &str, arguments: impl Iterator<Item = String>) -> Vec<String> {
        let home = self.home.to_str().unwrap();
        let options = ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"].map(str::to_owned);
        let own = [
            format!("-Dlog4j2.configurationFile={home}/log4j2.yaml"),
            format!("-XX:SharedArchiveFile={home}/kafka.jsa"),
            "-cp".to_owned(),
            format!("{home}/libs/*"),
            class.to_owned(),
        ];
        options.into_iter().chain(own).chain(arguments).collect()
    }

    fn run(&self) {
        let log = self.directory.path().join("log");
        let from = fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let arguments = self.java("kafka.Kafka", [self.file("server.properties")].into_iter());
        let mut process = Process::start("java".as_ref(), &arguments, &log);
        process.wait_for("Kafka Server started", from);
        self.process.set(process);
    }
}
