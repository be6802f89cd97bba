//! The image's last stage without an engine: the program alone in a read-only root, as another user, with one directory to write.
//!
//! As root this is a mount namespace, chroot and a real change of user. Otherwise a user namespace gives the same root, and the user stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flagpost_tests::{Client, Guest, PATIENCE, Target, assert_lines, events, guest, lines_in, program_path, until};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::tools::{out, run};

/// The image's user.
const USER: u32 = 65532;

/// What the image has, laid out in a directory.
struct Image {
    directory: TempDir,
    port: u16,
}

impl Image {
    fn new(exporters: &str) -> Image {
        let directory = tempfile::tempdir().unwrap();
        // The way to it must be open for another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let image = Image { directory, port: free_port() };
        let root = image.root();
        for place in ["usr/local/bin", "goff/plugins", "var/lib/flagpost", "etc/ssl/certs", "proc", "dev"] {
            fs::create_dir_all(root.join(place)).unwrap();
        }
        fs::copy(program_path(), root.join("usr/local/bin/flagpost")).unwrap();
        for library in libraries() {
            let place = root.join(library.strip_prefix("/").unwrap());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(&library, place).unwrap();
        }
        fs::copy("/etc/ssl/certs/ca-certificates.crt", root.join("etc/ssl/certs/ca-certificates.crt")).unwrap();
        fs::write(root.join("dev/null"), "").unwrap();
        let head = format!("server: {{ host: 127.0.0.1, port: {} }}\nevaluation: none\nbuffer: {{ minFree: 1MiB }}\n", image.port);
        fs::write(root.join("goff/goff-proxy.yaml"), format!("{head}exporters:\n{exporters}\n")).unwrap();
        fs::write(root.join("goff/plugins/acme.wasm"), guest(Guest::Takes, true)).unwrap();
        // A volume of a cluster: a file system of its own, with a directory in it that only root may open.
        fs::create_dir(image.volume().join("lost+found")).unwrap();
        fs::set_permissions(image.volume().join("lost+found"), fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            chown(image.volume(), Some(USER), Some(USER)).unwrap();
        }
        image
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    fn volume(&self) -> PathBuf {
        self.root().join("var/lib/flagpost")
    }

    /// The image's entry point with arguments, as the engine would run it with `--read-only` and the volume.
    fn command(&self, arguments: &str) -> Command {
        // The bind mounts come first, then the root becomes read-only around them; the volume stays writable. chroot changes the user after
        // the root: that clears every capability, and none can come back.
        let user = if is_root() { format!("--userspec={USER}:{USER} --groups={USER}") } else { String::new() };
        let script = format!(
            "set -e
             mount --bind $ROOT $ROOT
             mount --bind $ROOT/var/lib/flagpost $ROOT/var/lib/flagpost
             mount --bind /dev/null $ROOT/dev/null
             mount --rbind /proc $ROOT/proc
             mount -o remount,bind,ro $ROOT
             exec setpriv --no-new-privs chroot {user} $ROOT /usr/local/bin/flagpost {arguments}"
        );
        let mut command = Command::new("unshare");
        command.args(if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"][..] });
        command.args(["sh", "-c", &script]).env_clear().env("ROOT", self.root()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command
    }

    fn start(&self) -> Child {
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        self.command("").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

fn is_root() -> bool {
    geteuid().is_root()
}

/// The shared libraries of the program.
fn libraries() -> Vec<PathBuf> {
    let listed = out(Command::new("ldd").arg(program_path()));
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    paths.map(PathBuf::from).collect()
}

/// Below the system's range for outgoing connections, beside the one that other tests choose from.
fn free_port() -> u16 {
    let start = 30_100 + (std::process::id() % 200) as u16 * 10;
    (start..start + 400).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Everything in the root that is not the volume, with what it holds.
fn outside(root: &Path, volume: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let mut places = vec![root.to_owned()];
    while let Some(place) = places.pop() {
        for entry in fs::read_dir(place).unwrap() {
            let entry = entry.unwrap();
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() && path != volume {
                places.push(path.clone());
            }
            found.push((path, if metadata.is_dir() { 0 } else { metadata.len() }));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn the_program_runs_as_another_user_on_a_read_only_root_and_writes_only_its_volume() {
    let target = Target::good().await;
    let exporters = format!(
        "  - {{ kind: file, name: files, outputDir: /var/lib/flagpost/out, flushInterval: 20 }}
  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 20 }}
  - {{ kind: wasm, name: acme, path: acme.wasm, flushInterval: 20 }}",
        target.url("/")
    );
    let image = Image::new(&exporters);
    let before = outside(&image.root(), &image.volume());
    let mut child = image.start();
    let relay = Client::new(image.port);
    let http = flagpost_tests::client();
    until("the relay is ready", async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended:\n{}", image.log());
        (http.get(relay.url("/health/ready")).send().await.ok()?.status() == 200).then_some(())
    })
    .await;
    relay.post(&events(1..1_001)).await;
    // The plugin was compiled there, by a child process, and kept in the volume.
    relay.drained(&["files", "hook", "acme"]).await;
    assert_lines(&lines_in(&image.volume().join("out")), &events(1..1_001));
    assert_eq!(target.taken().len(), 1_000);
    assert!(fs::read_dir(image.volume().join("cache")).unwrap().count() > 0);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let status = tokio::time::timeout(PATIENCE, async { until("it ends", async || child.try_wait().unwrap()).await }).await.unwrap();
    assert!(status.success(), "{status}:\n{}", image.log());
    assert_eq!(outside(&image.root(), &image.volume()), before, "nothing else was written");
    if is_root() {
        let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
        assert_eq!(owner(&image.volume().join("ledger.sqlite")), USER, "it was another user");
    }
}

#[test]
fn a_store_that_may_not_be_written_is_said_with_the_ways_out() {
    let image = Image::new("  - { kind: log }");
    // Below the read-only root: there nobody may write, whoever it is.
    let config = image.root().join("goff/goff-proxy.yaml");
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("buffer: {", "buffer: { path: /goff/store,")).unwrap();
    let finished = run(&mut image.command(""));
    assert_eq!(finished.status.code(), Some(1), "{}", finished.text);
    for words in ["/goff/store", "buffer.path", "buffer.type: memory", "Read-only file system"] {
        assert!(finished.text.contains(words), "no `{words}` in:\n{}", finished.text);
    }
}

#[tokio::test]
async fn a_drain_runs_in_the_image_too() {
    let image = Image::new("  - { kind: file, name: files, outputDir: /var/lib/flagpost/out, flushInterval: 3600000 }");
    let mut child = image.start();
    let relay = Client::new(image.port);
    let http = flagpost_tests::client();
    until("the relay is ready", async || {
        assert!(child.try_wait().unwrap().is_none(), "it ended:\n{}", image.log());
        (http.get(relay.url("/health/ready")).send().await.ok()?.status() == 200).then_some(())
    })
    .await;
    relay.post(&events(1..101)).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut command = image.command("drain");
    let drained = tokio::task::spawn_blocking(move || run(&mut command)).await.unwrap();
    assert!(drained.status.success(), "{}", drained.text);
    assert_lines(&lines_in(&image.volume().join("out")), &events(1..101));
}
