//! Redis: every write is on its disk before it is answered. Read back over a socket of the tests' own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::process::controlled;
use super::{Process, Running, Toxiproxy, given, installed};
use crate::setup::free_port;
use crate::until;

/// A server.
#[derive(Debug)]
pub struct Redis {
    address: String,
    password: Option<String>,
    /// `None`: it is somebody else's.
    directory: Option<TempDir>,
    process: Running,
}

/// An answer of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nil,
    /// A status or a text.
    Text(String),
    /// An error.
    Error(String),
    /// A number.
    Number(i64),
    /// A list.
    List(Vec<Answer>),
}

/// The server of all tests: `FLAGPOST_TEST_REDIS_URL` (`host:port`, without a password), or ours. `None`: skipped.
pub async fn shared() -> Option<Arc<Redis>> {
    static SHARED: OnceCell<Option<Arc<Redis>>> = OnceCell::const_new();
    let start = async || match given("redis") {
        Some(address) => Some(Arc::new(Redis { address, password: None, directory: None, process: Running::default() })),
        None => own(None).await.map(Arc::new),
    };
    SHARED.get_or_init(start).await.clone()
}

/// A server of the test's own, which may ask for a password. `None`: skipped.
pub async fn own(password: Option<&str>) -> Option<Redis> {
    installed("redis")?;
    let address = format!("127.0.0.1:{}", free_port());
    let (password, directory) = (password.map(str::to_owned), Some(tempfile::tempdir().unwrap()));
    let server = Redis { address, password, directory, process: Running::default() };
    server.restart().await;
    Some(server)
}

controlled!(Redis, process);

impl Redis {
    /// Where it is: `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts it again with what it has, and waits until it answers.
    pub async fn restart(&self) {
        let home = installed("redis").expect("it was there before");
        let directory = self.directory.as_ref().expect("the test needs a server of its own").path();
        let (_, port) = self.address.rsplit_once(':').unwrap();
        let mut options = vec![("bind", "127.0.0.1"), ("port", port), ("dir", directory.to_str().unwrap()), ("save", "")];
        options.extend([("appendonly", "yes"), ("appendfsync", "always")]);
        options.extend(self.password.as_deref().map(|password| ("requirepass", password)));
        let arguments: Vec<String> = options.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]).collect();
        let process = Process::unpacked(&home, "usr/bin/redis-server", &arguments, &directory.join("log"));
        self.process.set(process);
        until("Redis answers", async || {
            let answer = self.try_ask(&["PING"]).await.ok()?;
            (answer == Answer::Text("PONG".to_owned())).then_some(())
        })
        .await;
    }

    /// A fault proxy before it, and its address. `None`: skipped.
    pub async fn proxied(&self) -> Option<(Toxiproxy, String)> {
        let directory = self.directory.as_ref().expect("the test needs a server of its own");
        let (port, upstream) = (free_port(), self.address.rsplit_once(':').unwrap().1.parse().unwrap());
        let proxy = Toxiproxy::before(directory.path(), port, upstream).await?;
        Some((proxy, format!("127.0.0.1:{port}")))
    }

    /// A command's answer.
    pub async fn ask(&self, words: &[&str]) -> Answer {
        self.try_ask(words).await.unwrap()
    }

    async fn try_ask(&self, words: &[&str]) -> std::io::Result<Answer> {
        let mut stream = BufReader::new(TcpStream::connect(&self.address).await?);
        if let Some(password) = &self.password {
            send(&mut stream, &["AUTH", password]).await?;
        }
        send(&mut stream, words).await
    }

    /// The entries of a stream: the fields of each.
    pub async fn entries(&self, stream: &str) -> Vec<BTreeMap<String, String>> {
        let Answer::List(entries) = self.ask(&["XRANGE", stream, "-", "+"]).await else { panic!("{stream} is no stream") };
        let fields = |entry: &Answer| {
            let Answer::List(parts) = entry else { panic!("no entry: {entry:?}") };
            let [_, Answer::List(words)] = parts.as_slice() else { panic!("no entry: {entry:?}") };
            let text = |answer: &Answer| match answer {
                Answer::Text(text) => text.clone(),
                other => panic!("no text: {other:?}"),
            };
            words.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
        };
        entries.iter().map(fields).collect()
    }
}

async fn send(stream: &mut BufReader<TcpStream>, words: &[&str]) -> std::io::Result<Answer> {
    let mut bytes = format!("*{}\r\n", words.len());
    words.iter().for_each(|word| bytes += &format!("${}\r\n{word}\r\n", word.len()));
    stream.write_all(bytes.as_bytes()).await?;
    read(stream).await
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Answer> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let rest = line.trim_end();
    let number = || rest[1..].parse::<i64>().unwrap();
    Ok(match &rest[..1] {
        "+" => Answer::Text(rest[1..].to_owned()),
        "-" => Answer::Error(rest[1..].to_owned()),
        ":" => Answer::Number(number()),
        "$" if number() < 0 => Answer::Nil,
        "$" => {
            let mut bytes = vec![0; number() as usize + 2];
            stream.read_exact(&mut bytes).await?;
            bytes.truncate(bytes.len() - 2);
            Answer::Text(String::from_utf8(bytes).unwrap())
        }
        "*" => {
            let mut list = Vec::new();
            for _ in 0..number() {
                list.push(Box::pin(read(stream)).await?);
            }
            Answer::List(list)
        }
        other => panic!("no answer of Redis: {other}"),
    })
}
