//! Kafka's official client, in Java, as a process that is told what to do: `tests/servers/kafka/KafkaTool.java`.

use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::{Process, tools};

/// The process. Commands of several tests wait for each other.
#[derive(Debug)]
pub struct Tool {
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _process: Process,
}

/// A message as a consumer got it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// Its partition.
    pub partition: u32,
    /// Its key; `None` is null.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: String,
}

impl Tool {
    /// The tool of all tests.
    pub(crate) fn shared() -> Arc<Tool> {
        static TOOL: OnceLock<Arc<Tool>> = OnceLock::new();
        Arc::clone(TOOL.get_or_init(|| Arc::new(Tool::start())))
    }

    fn start() -> Tool {
        let (home, jars) = (tools().join("kafka-tool"), tools().join("kafka/libs"));
        let (classes, jars) = (home.display(), jars.display());
        let options = ["-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"].map(str::to_owned).into_iter();
        // Its log would stand between the answers.
        let own = ["-Dlog4j2.level=OFF".to_owned(), "-cp".to_owned(), format!("{classes}:{jars}/*"), "KafkaTool".to_owned()];
        let log = home.join("log");
        let mut process = Process::piped("java".as_ref(), &options.chain(own).collect::<Vec<_>>(), &log);
        let (input, output) = process.pipes();
        Tool { pipes: Mutex::new((input, BufReader::new(output))), _process: process }
    }

    /// Gives a command to the broker at that address. The answer's lines, or what Kafka said.
    pub(crate) async fn run(self: &Arc<Self>, command: &str, address: &str, parts: &[&str]) -> Result<Vec<String>, String> {
        let line = [command, address].into_iter().chain(parts.iter().copied()).collect::<Vec<_>>().join("\t");
        let tool = Arc::clone(self);
        tokio::task::spawn_blocking(move || tool.answer(&line)).await.unwrap()
    }

    fn answer(&self, line: &str) -> Result<Vec<String>, String> {
        // A test that failed in between changes nothing for the others.
        let mut pipes = self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (input, output) = &mut *pipes;
        writeln!(input, "{line}").unwrap();
        let mut found = Vec::new();
        loop {
            let mut text = String::new();
            assert!(output.read_line(&mut text).unwrap() > 0, "the Kafka tool ended");
            let text = text.trim_end_matches('\n');
            match text.strip_prefix('\t') {
                Some(answer) => found.push(answer.to_owned()),
                None if text == "ok" => return Ok(found),
                None => return Err(text.to_owned()),
            }
        }
    }
}

impl Record {
    /// `<partition> <key> <value>`, the latter two in base64.
    pub(crate) fn parse(line: &str) -> Record {
        let mut parts = line.split(' ');
        let mut next = || parts.next().unwrap_or_else(|| panic!("no record: {line}"));
        let (partition, key, value) = (next().parse().unwrap(), next(), next());
        let bytes = |text: &str| BASE64_STANDARD.decode(text).unwrap();
        Record { partition, key: (key != "null").then(|| bytes(key)), value: String::from_utf8(bytes(value)).unwrap() }
    }
}
