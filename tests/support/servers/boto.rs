//! Amazon's own client for Python, as a process that is told what to do: `tests/servers/aws/client.py`.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{Process, installed};

/// A service that speaks Amazon's protocols, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `http://host:port`.
    pub endpoint: String,
    /// `eu-west-1`.
    pub region: String,
    /// The access key's id.
    pub key: String,
    /// The access key's secret.
    pub secret: String,
    /// The session's token, for credentials that last a while.
    pub token: Option<String>,
}

/// What a service said instead of doing what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `AccessDenied`; of the client itself when `status` is 0.
    pub code: String,
    /// In words.
    pub message: String,
    /// The HTTP status.
    pub status: u64,
}

#[derive(Debug)]
struct Tool {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Process,
}

/// The tool of all tests. Commands of several tests wait for each other. `None`: not installed.
fn tool() -> Option<Arc<Tool>> {
    static TOOL: OnceLock<Option<Arc<Tool>>> = OnceLock::new();
    let start = || {
        let home = installed("aws")?;
        let program = home.join("client.py").to_str().unwrap().to_owned();
        let mut process = Process::piped(&home.join("python/bin/python"), &["-u".to_owned(), program], &home.join("client.log"));
        let (input, output) = process.pipes();
        Some(Arc::new(Tool { pipes: Mutex::new((input, BufReader::new(output))), _process: process }))
    };
    TOOL.get_or_init(start).clone()
}

impl Access {
    /// Who is asked where, in a region that all tests use.
    pub fn new(endpoint: &str, key: &str, secret: &str) -> Access {
        let owned = |text: &str| text.to_owned();
        Access { endpoint: owned(endpoint), region: owned("eu-west-1"), key: owned(key), secret: owned(secret), token: None }
    }

    /// The variables of a program's environment that say the same, and that this is no machine of Amazon's. `AWS_ENDPOINT_URL` is not among them.
    pub fn environment(&self) -> Vec<(&str, &str)> {
        let mut variables = vec![
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_REGION", self.region.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.key),
            ("AWS_SECRET_ACCESS_KEY", &self.secret),
        ];
        variables.extend(self.token.as_deref().map(|token| ("AWS_SESSION_TOKEN", token)));
        variables
    }

    /// Calls an operation by its name in Python: `ask("sqs", "send_message", json!({ "QueueUrl": … }))`. Bytes are `{ "base64": … }`.
    pub async fn ask(&self, service: &str, operation: &str, arguments: Value) -> Result<Value, Refusal> {
        let Access { endpoint, region, key, secret, token } = self;
        let server = json!({ "endpoint": endpoint, "region": region, "key": key, "secret": secret, "token": token });
        let command = json!({ "server": server, "service": service, "operation": operation, "arguments": arguments });
        let tool = tool().expect("who has a server has the client, too");
        tokio::task::spawn_blocking(move || tool.answer(&command)).await.unwrap()
    }

    /// The same for what is expected to succeed.
    pub async fn call(&self, service: &str, operation: &str, arguments: Value) -> Value {
        self.ask(service, operation, arguments).await.unwrap_or_else(|refusal| panic!("{service} {operation}: {refusal:?}"))
    }
}

impl Tool {
    fn answer(&self, command: &Value) -> Result<Value, Refusal> {
        // A test that failed in between changes nothing for the others.
        let mut pipes = self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (input, output) = &mut *pipes;
        writeln!(input, "{command}").unwrap();
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "Python ended: see client.log at {command}");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        if answer.get("ok").is_some() {
            return Ok(answer["ok"].take());
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Err(Refusal { code: text(&answer["error"]), message: text(&answer["message"]), status: answer["status"].as_u64().unwrap_or(0) })
    }
}

/// The bytes in an answer.
pub fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value["base64"].as_str().unwrap_or_else(|| panic!("no bytes: {value}"))).unwrap()
}
