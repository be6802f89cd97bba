//! The real program as a child process.

use std::fs::{self, File};
use std::ops::Deref;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Client, Setup, program_path, until};

/// A running relay; killed when it goes out of scope.
#[derive(Debug)]
pub struct Program {
    child: Child,
    client: Client,
    log: std::path::PathBuf,
    _directory: Arc<TempDir>,
}

/// A command that ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// Its standard output and error.
    pub text: String,
}

/// Runs the program with arguments to its end.
pub fn flagpost(setup: &Setup, arguments: &[&str]) -> Finished {
    let output = Command::new(program_path()).current_dir(setup.directory()).envs(setup.environment()).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Finished { status: output.status, text }
}

impl Program {
    /// Starts the relay and waits until it is ready.
    pub async fn start(setup: &Setup) -> Program {
        let mut program = Program::spawn(setup);
        let http = crate::client();
        let url = program.client.url("/health/ready");
        until("the relay is ready", async || {
            if let Some(status) = program.child.try_wait().unwrap() {
                panic!("the relay ended at once ({status}):\n{}", program.log());
            }
            let answer = http.get(&url).send().await.ok()?;
            (answer.status() == 200).then_some(())
        })
        .await;
        program.client.begin().await;
        program
    }

    /// Starts the relay and does not wait.
    pub fn spawn(setup: &Setup) -> Program {
        let file = File::options().create(true).append(true).open(setup.path("relay.log")).unwrap();
        Program::spawn_with(setup, file.try_clone().unwrap().into(), file.into())
    }

    /// Starts the relay with its standard error in a pipe, and does not wait.
    pub fn spawn_with_pipe(setup: &Setup) -> (Program, ChildStderr) {
        let mut program = Program::spawn_with(setup, Stdio::null(), Stdio::piped());
        let pipe = program.child.stderr.take().unwrap();
        (program, pipe)
    }

    fn spawn_with(setup: &Setup, stdout: Stdio, stderr: Stdio) -> Program {
        let mut command = Command::new(program_path());
        command.current_dir(setup.directory()).envs(setup.environment()).arg("--config").arg(setup.config());
        let child = command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().unwrap();
        Program { child, client: Client::new(setup.port), log: setup.path("relay.log"), _directory: setup.hold() }
    }

    /// What it and its predecessors in this setup printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it had at any time, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        until("the relay ends", async || self.child.try_wait().unwrap()).await
    }

    /// Asks it to end and waits for a clean end.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended().await;
        assert!(status.success(), "{status}:\n{}", self.log());
    }
}

impl Deref for Program {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(60).collect();
            #[expect(clippy::print_stderr, reason = "shown with a failed test")]
            {
                eprintln!("the relay's last lines:");
                tail.iter().rev().for_each(|line| eprintln!("  {line}"));
            }
        }
    }
}
