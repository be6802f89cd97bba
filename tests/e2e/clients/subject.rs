//! A client's program as a child process: commands in, answers out (`tests/clients/README.md`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Stdio};

use flagpost_tests::{PATIENCE, Setup, until};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::KEY;
use super::kind::{Kind, metadata};
use super::shop::{Asked, Result};

/// A running client; killed when it goes out of scope.
#[derive(Debug)]
pub(super) struct Subject {
    pub kind: Kind,
    child: Child,
    input: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
    log: PathBuf,
}

impl Subject {
    /// Starts the program and the client in it.
    pub(super) async fn start(kind: Kind, setup: &Setup, endpoint: String) -> Subject {
        let log = setup.path("client.log");
        let mut command = kind.command();
        command.current_dir(setup.directory()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            // Clients print what they like; answers are marked.
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let sent = match line.strip_prefix("= ") {
                    Some(answer) => sender.send(answer.to_owned()),
                    None => Ok(()),
                };
                if sent.is_err() {
                    return;
                }
            }
        });
        let mut subject = Subject { kind, child, input, answers, log };
        let start = json!({
            "do": "start", "endpoint": endpoint, "key": KEY, "flush": kind.flush(), "metadata": metadata(), "mode": kind.mode(),
        });
        subject.tell(&start).await;
        subject
    }

    /// Gives a command and waits for its answer.
    pub(super) async fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.answers.recv()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{:?} does not answer {command}", self.kind));
        serde_json::from_str(&answer.unwrap_or_else(|| panic!("{:?} ended at {command}", self.kind))).unwrap()
    }

    /// Evaluates.
    pub(super) async fn evaluate(&mut self, asked: &[Asked]) -> Vec<Result> {
        let answer = self.tell(&json!({ "do": "evaluate", "evaluations": asked })).await;
        let results: Vec<Result> = serde_json::from_value(answer["results"].clone()).unwrap();
        assert_eq!(results.len(), asked.len());
        results
    }

    /// What it logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until it says, more often than before, that it could not deliver.
    pub(super) async fn fails_to_deliver(&self, before: usize) {
        let failure = self.kind.reports().failure;
        until(&format!("{:?} says that it cannot deliver", self.kind), async || {
            (self.log().matches(failure).count() > before).then_some(())
        })
        .await;
    }

    /// Lets the client deliver what it holds, and waits for its end.
    pub(super) async fn close(&mut self) {
        self.tell(&json!({ "do": "close" })).await;
        let status = until("the client's program ends", async || self.child.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            #[expect(clippy::print_stderr, reason = "shown with a failed test")]
            {
                eprintln!("the client's last lines:");
                tail.iter().rev().for_each(|line| eprintln!("  {line}"));
            }
        }
    }
}
