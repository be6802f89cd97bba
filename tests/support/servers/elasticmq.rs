//! ElasticMQ: SQS with a memory that outlives it. It checks no signatures.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::boto::Access;
use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed};
use crate::setup::free_port;

/// A server.
#[derive(Debug)]
pub struct ElasticMq {
    access: Access,
    port: u16,
    ours: Option<(TempDir, PathBuf)>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_ELASTICMQ_URL`, or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<ElasticMq>> {
    static SHARED: OnceCell<Option<Arc<ElasticMq>>> = OnceCell::const_new();
    let start = async || match given("elasticmq") {
        Some(url) => {
            installed("aws")?;
            Some(Arc::new(ElasticMq { access: Access::new(&url, "any", "any"), port: 0, ours: None, process: Running::default() }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<ElasticMq> {
    // What reads it back.
    installed("aws")?;
    let home = installed("elasticmq")?;
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let config = fs::read_to_string(home.join("server.conf")).unwrap();
    let config = config.replace("@DIR@", directory.path().to_str().unwrap()).replace("@PORT@", &port.to_string());
    fs::write(directory.path().join("server.conf"), config.replace("@STATS@", &free_port().to_string())).unwrap();
    let access = Access::new(&format!("http://127.0.0.1:{port}"), "any", "any");
    let server = ElasticMq { access, port, ours: Some((directory, home)), process: Running::default() };
    tokio::task::block_in_place(|| server.run());
    Some(server)
}

controlled!(ElasticMq, process);

impl ElasticMq {
    /// Where it is.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// A fault proxy, and where the service is behind it. `None`: skipped.
    pub async fn proxied(&self) -> Option<(Toxiproxy, Access)> {
        let directory = &self.ours.as_ref().expect("the test needs a server of its own").0;
        let port = free_port();
        let proxy = Toxiproxy::before(directory.path(), port, self.port).await?;
        Some((proxy, Access { endpoint: format!("http://127.0.0.1:{port}"), ..self.access.clone() }))
    }

    /// Starts it again, with the same messages on the same port.
    pub async fn restart(&self) {
        tokio::task::block_in_place(|| self.run());
    }

    fn run(&self) {
        let (directory, home) = self.ours.as_ref().expect("the test needs a server of its own");
        let log = directory.path().join("log");
        let from = fs::metadata(&log).map_or(0, |log| log.len() as usize);
        let options = ["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned).into_iter();
        let own = [
            format!("-Dconfig.file={}", directory.path().join("server.conf").display()),
            "-cp".to_owned(),
            format!("{}/libs/*", home.display()),
            "org.elasticmq.server.Main".to_owned(),
        ];
        let mut process = Process::start("java".as_ref(), &options.chain(own).collect::<Vec<_>>(), &log);
        process.wait_for("started in", from);
        self.process.set(process);
    }
}
