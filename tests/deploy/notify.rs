//! systemd's notify protocol, as `Type=notify` of deploy/systemd/flagpost.service expects it, spoken by the real program.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};

use flagpost_tests::{Answer, Client, PATIENCE, Setup, Target, client, events, program_path, until};
use rustix::process::{Pid, Signal, kill_process};

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    child: Child,
}

impl Manager {
    /// Starts the relay as a unit with these variables would.
    fn start(setup: &Setup, variables: &[(&str, &str)]) -> Manager {
        let path = setup.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(program_path());
        command.current_dir(setup.directory()).arg("--config").arg(setup.config());
        command.env("NOTIFY_SOCKET", &path).envs(variables.iter().copied()).stdin(Stdio::null());
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Manager { socket, child }
    }

    /// The next message; its lines.
    fn message(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("the program says something");
        String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test]
async fn ready_is_said_once_the_program_listens_and_stopping_when_it_ends() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let mut manager = Manager::start(&setup, &[]);
    let ready = manager.message();
    assert_eq!(ready[0], "READY=1", "{ready:?}");
    assert!(ready.contains(&format!("STATUS=listening on 127.0.0.1:{}", setup.port)), "{ready:?}");
    // Without asking again: whoever was told may connect.
    let (status, text) = Client::new(setup.port).get("/health/ready").await;
    assert_eq!(status, 200, "{text}");
    manager.signal(Signal::TERM);
    let stopping = manager.message();
    assert_eq!(stopping[0], "STOPPING=1", "{stopping:?}");
    // The default `shutdownTimeout` and what comes after it.
    assert!(stopping.contains(&"EXTEND_TIMEOUT_USEC=15000000".to_owned()), "{stopping:?}");
    let status = until("it ends", async || manager.child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn stopping_is_said_before_what_waits_is_delivered_and_the_manager_is_asked_for_the_whole_time() {
    let target = Target::start(|_| Answer::Hang).await;
    let hook = format!("  - {{ kind: webhook, name: hook, endpointUrl: \"{}\", flushInterval: 10 }}", target.url("/"));
    let setup = Setup::new().with_head("evaluation: none\nshutdownTimeout: 2h\n").with_exporters(&hook);
    let manager = Manager::start(&setup, &[]);
    assert_eq!(manager.message()[0], "READY=1");
    Client::new(setup.port).try_post(&client(), &events(1..2)).await.unwrap();
    until("the target is asked", async || (target.requests() == 1).then_some(())).await;
    manager.signal(Signal::TERM);
    let stopping = manager.message();
    assert!(stopping.contains(&"STOPPING=1".to_owned()) && stopping.contains(&"EXTEND_TIMEOUT_USEC=7205000000".to_owned()), "{stopping:?}");
}

#[tokio::test]
async fn the_watchdog_is_fed_when_the_unit_asks_for_it() {
    let setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let manager = Manager::start(&setup, &[("WATCHDOG_USEC", "20000")]);
    let (mut ready, mut fed) = (false, 0);
    while !ready || fed < 3 {
        let message = manager.message();
        ready |= message.contains(&"READY=1".to_owned());
        fed += usize::from(message.contains(&"WATCHDOG=1".to_owned()));
    }
}

#[tokio::test]
async fn a_reload_is_said_when_it_begins_and_when_it_is_over() {
    let mut setup = Setup::new().with_exporters("  - { kind: file, name: out, outputDir: out }");
    let manager = Manager::start(&setup, &[]);
    assert_eq!(manager.message()[0], "READY=1");
    for (exporters, refused) in [("  - { kind: file, name: other, outputDir: out }", false), ("  - { kind: nothing }", true)] {
        setup.set_exporters(exporters);
        manager.signal(Signal::HUP);
        let begins = manager.message();
        let since = begins[1].strip_prefix("MONOTONIC_USEC=").unwrap_or_else(|| panic!("{begins:?}"));
        assert!(begins[0] == "RELOADING=1" && since.parse::<u64>().is_ok(), "{begins:?}");
        let over = manager.message();
        assert!(over[0] == "READY=1" && over[1].contains("was refused") == refused, "{over:?}");
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_never_ready() {
    let setup = Setup::new().with_head("evaluation: none\nbufer: {}\n");
    let mut manager = Manager::start(&setup, &[]);
    let status = until("it ends", async || manager.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(1));
    manager.socket.set_nonblocking(true).unwrap();
    assert!(manager.socket.recv(&mut [0; 100]).is_err(), "nothing was said");
}
