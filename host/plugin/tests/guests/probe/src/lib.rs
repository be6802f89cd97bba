//! A guest that tries what its configuration's `do` says, and answers with a `rejected` that holds what came of it.

wit_bindgen::generate!({ path: "../../../../../wit", world: "plugin" });

use std::io::Read as _;
use std::sync::atomic::{AtomicU32, Ordering};

use exports::flagpost::plugin::exporter::*;
use flagpost::plugin::{call, config, http, key_value, log, metrics, secrets};
use serde_json::{Value, json};

struct Probe;
export!(Probe);

static CALLS: AtomicU32 = AtomicU32::new(0);

impl Guest for Probe {
    fn is_bulk() -> bool {
        true
    }

    fn export(events: Vec<Event>) -> Result<(), ExportError> {
        let config: Value = serde_json::from_str(&config::get()).unwrap();
        let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = match text("do").as_str() {
            "http" => simple(&config),
            "wasi-http" => standard(&text("method"), &text("url"), &text("body")),
            "env" => json!(std::env::vars().collect::<Vec<_>>()),
            "files" => json!([
                std::fs::read("/etc/passwd").map_err(|why| why.to_string()).is_ok(),
                std::fs::read_dir("/").is_ok(),
                std::fs::read_dir(".").is_ok(),
                std::fs::write("x", "x").is_ok(),
            ]),
            "sockets" => json!([
                std::net::TcpStream::connect(text("address")).err().map(|why| why.to_string()),
                std::net::UdpSocket::bind("0.0.0.0:0").err().map(|why| why.to_string()),
                std::net::ToSocketAddrs::to_socket_addrs("localhost:80").err().map(|why| why.to_string()),
            ]),
            "read" => json!([
                told(std::fs::read_to_string(text("file"))),
                std::fs::write(text("file"), "x").is_ok(),
                std::fs::write(format!("{}.new", text("file")), "x").is_ok(),
                std::fs::remove_file(text("file")).is_ok(),
                std::fs::read_dir("/").is_ok(),
            ]),
            "socket" => told(talk(&text("address"))),
            "listen" => told(std::net::TcpListener::bind(text("address")).map(|_| String::new())),
            "secret" => json!({ "secret": secrets::get(&text("name")), "env": std::env::var(text("name")).ok() }),
            "send-secret" => {
                let header = text("header").replace("PLACEHOLDER", &secrets::get(&text("name")).unwrap_or_default());
                let header = if config["basic"] == true { format!("Basic {}", base64(header.as_bytes())) } else { header };
                let body = text("body").replace("PLACEHOLDER", &secrets::get(&text("name")).unwrap_or_default());
                let mut config = config.clone();
                config["headers"] = json!({ "authorization": header });
                config["body"] = json!(body);
                if config["wasi"] == true { standard_with(&text("method"), &text("url"), &body, &[("authorization", &header)]) } else { simple(&config) }
            }
            "say-secret" => {
                let secret = secrets::get(&text("name")).unwrap_or_default();
                log::log(log::Level::Warn, &format!("the secret is {secret}"));
                return Err(ExportError::Misconfigured(format!("the secret is {secret}")));
            }
            "count" => {
                for n in 0..config["times"].as_u64().unwrap() {
                    metrics::counter_add("rows", 2.5, &[("n".into(), n.to_string())]);
                }
                metrics::gauge_set("lag", 7.0, &[]);
                metrics::gauge_add("lag", -3.0, &[]);
                json!(null)
            }
            "state" => json!(config["steps"].as_array().unwrap().iter().map(step).collect::<Vec<_>>()),
            "stdin" => json!(std::io::stdin().read_to_end(&mut Vec::new()).unwrap()),
            "call" => json!({ "batch": call::batch_id(), "attempt": call::attempt(), "calls": calls }),
            "clock" => json!(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()),
            "events" => json!(format!("{events:?}")),
            "panic" => {
                eprintln!("about to fail\u{1b}[2J");
                panic!("the reason of the panic");
            }
            "exit" => {
                println!("leaving");
                std::process::exit(7)
            }
            "log" => {
                for _ in 0..100 {
                    log::log(log::Level::Warn, &"log ".repeat(1024));
                }
                json!(null)
            }
            "print" => {
                for _ in 0..100 {
                    println!("{}", "print ".repeat(1024));
                }
                print!("no newline");
                std::io::Write::flush(&mut std::io::stdout()).unwrap();
                json!(null)
            }
            "random" => json!(wasip2::random::random::get_random_bytes(config["bytes"].as_u64().unwrap()).len()),
            "hostcall" => {
                log::log(log::Level::Info, &"x".repeat(40 << 20));
                json!(null)
            }
            "handles" => {
                for _ in 0..100_000 {
                    std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(1));
                }
                json!(null)
            }
            "leak" => {
                for _ in 0..config["handles"].as_u64().unwrap() {
                    std::mem::forget(wasip2::clocks::monotonic_clock::subscribe_duration(1));
                }
                json!({ "calls": calls })
            }
            "swarm" => swarm(&text("url"), config["requests"].as_u64().unwrap()),
            "sleep" => {
                std::thread::sleep(std::time::Duration::from_secs(3600));
                json!(null)
            }
            "nap" => {
                // Waits are no CPU time: 40 of them, each longer than a tick.
                (0..40).for_each(|_| std::thread::sleep(std::time::Duration::from_millis(15)));
                json!(null)
            }
            "hold" => {
                std::mem::forget(vec![1u8; config["bytes"].as_u64().unwrap() as usize]);
                json!({ "calls": calls })
            }
            "giant" => return Err(ExportError::Rejected("x".repeat(16 << 20))),
            other => json!(format!("unknown: {other}")),
        };
        Err(ExportError::Rejected(answer.to_string()))
    }
}

/// A result as the test reads it.
fn told(result: std::io::Result<String>) -> Value {
    match result {
        Ok(text) => json!({ "Ok": text }),
        Err(why) => json!({ "Err": why.to_string() }),
    }
}

/// One step of `key-value`.
fn step(step: &Value) -> Value {
    let text = |at: usize| step[at].as_str().unwrap_or_default();
    let told = |why: key_value::Error| match why {
        key_value::Error::Denied(why) => json!({ "denied": why }),
        key_value::Error::Quota(why) => json!({ "quota": why }),
        key_value::Error::Other(why) => json!({ "other": why }),
    };
    match text(0) {
        "get" => key_value::get(text(1)).map_or_else(told, |value| json!(value.map(|value| String::from_utf8(value).unwrap()))),
        "set" => key_value::set(text(1), text(2).as_bytes()).map_or_else(told, |()| json!(true)),
        "fill" => key_value::set(text(1), &vec![b'x'; step[2].as_u64().unwrap() as usize]).map_or_else(told, |()| json!(true)),
        "delete" => key_value::delete(text(1)).map_or_else(told, |()| json!(true)),
        _ => key_value::list_keys(text(1)).map_or_else(told, |keys| json!(keys)),
    }
}

/// One line to a TCP server, and the one it answers.
fn talk(address: &str) -> std::io::Result<String> {
    use std::io::{BufRead as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.write_all(b"hello\n")?;
    let mut line = String::new();
    std::io::BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().chain([&0, &0]).take(3).fold(0u32, |bits, &byte| bits << 8 | u32::from(byte));
        for at in 0..4 {
            let letter = if at <= three.len() { LETTERS[(bits >> (18 - 6 * at) & 63) as usize] } else { b'=' };
            out.push(char::from(letter));
        }
    }
    out
}

/// Through our own interface.
fn simple(config: &Value) -> Value {
    let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
    let headers = config["headers"].as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    let body = if text("body").is_empty() { http::Body::Empty } else { http::Body::Text(text("body")) };
    let timeout_ms = config["timeoutMs"].as_u64().map(|ms| ms as u32);
    match http::send(&http::Request { method: text("method"), url: text("url"), headers, body, timeout_ms }) {
        Ok(reply) => json!({ "status": reply.status, "headers": reply.headers, "length": reply.body.len(), "body": &reply.body[..reply.body.len().min(200)] }),
        Err(http::SendError::Denied(why)) => json!({ "denied": why }),
        Err(http::SendError::Timeout) => json!("timeout"),
        Err(http::SendError::Connect(why)) => json!({ "connect": why }),
        Err(http::SendError::Other(why)) => json!({ "other": why }),
    }
}

/// Through wasi:http.
fn standard(method: &str, url: &str, body: &str) -> Value {
    standard_with(method, url, body, &[])
}

fn standard_with(method: &str, url: &str, body: &str, headers: &[(&str, &str)]) -> Value {
    use wstd::http::{Body, Client, Method, Request};
    wstd::runtime::block_on(async {
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        match Client::new().send(request).await {
            Ok(reply) => {
                let status = reply.status().as_u16();
                match reply.into_body().str_contents().await {
                    Ok(text) => json!({ "status": status, "length": text.len(), "body": &text[..text.len().min(200)] }),
                    Err(why) => json!({ "status": status, "error": format!("{why:?}") }),
                }
            }
            Err(why) => json!({ "error": format!("{why:?}") }),
        }
    })
}

/// Many requests at once; the failures.
fn swarm(url: &str, requests: u64) -> Value {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
    let authority = url.strip_prefix("http://").unwrap();
    let begin = |_| {
        let request = OutgoingRequest::new(Fields::new());
        request.set_scheme(Some(&Scheme::Http)).unwrap();
        request.set_authority(Some(authority)).unwrap();
        request.set_path_with_query(Some("/")).unwrap();
        handle(request, None).unwrap()
    };
    let pending: Vec<_> = (0..requests).map(begin).collect();
    let failure = |reply: wasip2::http::types::FutureIncomingResponse| {
        reply.subscribe().block();
        match reply.get() {
            Some(Ok(Ok(_))) => None,
            other => Some(format!("{other:?}")),
        }
    };
    json!(pending.into_iter().filter_map(failure).collect::<Vec<_>>())
}
