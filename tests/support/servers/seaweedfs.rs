//! SeaweedFS: S3 on disk, with signatures and rights checked. What it was given is there when it starts again after a kill.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::boto::Access;
use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed, unique};
use crate::setup::free_port;
use crate::{client, until};

/// A server.
#[derive(Debug)]
pub struct SeaweedFs {
    access: Access,
    /// S3's, then the others that it needs.
    ports: Vec<u16>,
    /// `None`: it is somebody else's.
    directory: Option<TempDir>,
    process: Running,
}

/// The server of all tests: `FLAGPOST_TEST_SEAWEEDFS_URL` (any S3 with the credentials of tests/servers/seaweedfs/s3.json), or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<SeaweedFs>> {
    static SHARED: OnceCell<Option<Arc<SeaweedFs>>> = OnceCell::const_new();
    let start = async || match given("seaweedfs") {
        Some(url) => {
            installed("aws")?;
            Some(Arc::new(SeaweedFs { access: SeaweedFs::access_at(&url), ports: vec![0], directory: None, process: Running::default() }))
        }
        None => own().await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, to be killed and stopped. `None`: skipped.
pub async fn own() -> Option<SeaweedFs> {
    // What reads it back.
    installed("aws")?;
    installed("seaweedfs")?;
    let ports: Vec<u16> = (0..8).map(|_| free_port()).collect();
    let access = SeaweedFs::access_at(&format!("http://127.0.0.1:{}", ports[0]));
    let server = SeaweedFs { access, ports, directory: Some(tempfile::tempdir().unwrap()), process: Running::default() };
    server.restart().await;
    Some(server)
}

controlled!(SeaweedFs, process);

impl SeaweedFs {
    fn access_at(url: &str) -> Access {
        Access::new(url, "AKIATESTS", "tests-secret")
    }

    /// Where it is and who may do everything there.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Somebody who may read and not write.
    pub fn reader(&self) -> Access {
        Access::new(&self.access.endpoint, "AKIAREADER", "reader-secret")
    }

    /// Starts it again with what it has, and waits until it takes objects.
    pub async fn restart(&self) {
        let home = installed("seaweedfs").expect("it was there before");
        let directory = self.directory.as_ref().expect("the test needs a server of its own").path();
        let mut arguments: Vec<String> =
            ["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.autoCreateBucket=false"]
                .into_iter()
                // Quick elections and heartbeats: it is there again in two seconds instead of twenty. Each bucket takes some volumes.
                .chain([
                    "-master.electionTimeout=500ms",
                    "-master.heartbeatInterval=100ms",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=2000",
                ])
                // Doors of tables and vectors that nobody needs here.
                .chain(["-s3.port.iceberg=0", "-s3.port.lance=0"])
                .map(str::to_owned)
                .collect();
        arguments.push(format!("-dir={}", directory.display()));
        arguments.push(format!("-s3.config={}", home.join("s3.json").display()));
        let names = ["s3", "s3", "master", "master", "volume", "volume", "filer", "filer"];
        arguments.extend(names.iter().zip(&self.ports).enumerate().map(|(index, (name, port))| {
            let grpc = if index % 2 == 1 { ".grpc" } else { "" };
            format!("-{name}.port{grpc}={port}")
        }));
        let process = Process::start(&home.join("python/bin/weed"), &arguments, &directory.join("log"));
        self.process.set(process);
        until("SeaweedFS answers", async || client().get(&self.access.endpoint).send().await.ok()).await;
        let bucket = json!({ "Bucket": unique("ready") });
        until("SeaweedFS makes buckets", async || self.access.ask("s3", "create_bucket", bucket.clone()).await.ok()).await;
        let object = json!({ "Bucket": bucket["Bucket"], "Key": "ready", "Body": "ready" });
        until("SeaweedFS takes objects", async || self.access.ask("s3", "put_object", object.clone()).await.ok()).await;
    }

    /// A fault proxy in front of it, and the access through it.
    pub async fn proxy(&self) -> Option<(Toxiproxy, Access)> {
        let directory = self.directory.as_ref().expect("the test needs a server of its own");
        let port = free_port();
        let proxy = Toxiproxy::before(directory.path(), port, self.ports[0]).await?;
        Some((proxy, Access { endpoint: format!("http://127.0.0.1:{port}"), ..self.access.clone() }))
    }
}
