//! A service that answers as a test says, for what no emulator answers.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each request with the first entry whose start its first line has: `POST /v1/projects/p/topics/t:test`, status, body. Others get 404 in
/// plain text. Gives the address, and what was asked.
pub(crate) async fn service(script: Vec<(&'static str, u16, &'static str)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // The requests of these tests fit into what comes at once, bodies included or not.
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer).await {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let line = String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned();
            let found = script.iter().find(|(start, _, _)| line.starts_with(start));
            let (status, body) = found.map_or((404, "Not Found"), |(_, status, body)| (*status, *body));
            seen.lock().unwrap().push(line);
            let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
            let head =
                format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            // A client that went away is its own matter.
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    });
    (address, asked)
}
