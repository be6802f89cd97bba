//! A directory with everything that one relay has: its configuration, store, plugins and outputs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// A relay's configuration and directories. Outlives the program, so that it can be started again.
#[derive(Debug)]
pub struct Setup {
    directory: Arc<TempDir>,
    /// Where the relay listens.
    pub port: u16,
    server: String,
    head: String,
    exporters: String,
}

impl Setup {
    /// A relay without exporters.
    pub fn new() -> Setup {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        fs::create_dir(directory.path().join("plugins")).unwrap();
        let setup = Setup { directory, port: free_port(), server: String::new(), head: String::new(), exporters: String::new() };
        setup.with_head("evaluation: none\n")
    }

    /// Replaces what stands before the exporters, beside `server`, `pluginsDir`, `buffer.path` and `logLevel`.
    #[must_use]
    pub fn with_head(mut self, head: &str) -> Setup {
        head.clone_into(&mut self.head);
        self.write();
        self
    }

    /// Sets more keys of `server`, beside `host` and `port`: YAML, the members of the map.
    #[must_use]
    pub fn with_server(mut self, server: &str) -> Setup {
        server.clone_into(&mut self.server);
        self.write();
        self
    }

    /// Changes what stands before the exporters, while the relay runs or before the next start.
    pub fn set_head(&mut self, head: &str) {
        head.clone_into(&mut self.head);
        self.write();
    }

    /// Sets the exporters: YAML, the items of the list.
    #[must_use]
    pub fn with_exporters(mut self, exporters: &str) -> Setup {
        self.set_exporters(exporters);
        self
    }

    /// Changes the exporters, while the relay runs or before the next start.
    pub fn set_exporters(&mut self, exporters: &str) {
        exporters.clone_into(&mut self.exporters);
        self.write();
    }

    /// A path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("flagpost.yaml")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Puts a component into the plugin directory.
    pub fn plugin(&self, name: &str, bytes: impl AsRef<[u8]>) {
        // As an operator should: a file appears whole.
        let scratch = self.path("plugin.part");
        fs::write(&scratch, bytes).unwrap();
        fs::rename(scratch, self.path("plugins").join(name)).unwrap();
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory from being removed.
    pub(crate) fn hold(&self) -> Arc<TempDir> {
        self.directory.clone()
    }

    fn write(&self) {
        let Setup { port, server, head, exporters, .. } = self;
        let exporters = if exporters.is_empty() { String::new() } else { format!("exporters:\n{exporters}\n") };
        let buffer = if head.contains("buffer:") { String::new() } else { "buffer: { path: store, minFree: 1MiB }\n".to_owned() };
        let text = format!("server: {{ host: 127.0.0.1, port: {port}, {server} }}\npluginsDir: plugins\n{buffer}{head}\n{exporters}");
        // As an editor should: the file appears whole.
        let scratch = self.path("flagpost.yaml.part");
        fs::write(&scratch, text).unwrap();
        fs::rename(scratch, self.config()).unwrap();
    }
}

impl Default for Setup {
    fn default() -> Self {
        Setup::new()
    }
}

/// A port that nobody has, below the range that the system gives to outgoing connections: it stays free between two starts.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 150) as u16 * 100;
    loop {
        let port = 12_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 18_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
