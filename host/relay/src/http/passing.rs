//! Tests of the pass-through over real connections: streams, upgrades, failures, the end.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::tests::door_with;
use super::*;
use crate::config::Upstream;

/// A door in front of `upstream`, listening.
async fn front(upstream: &str) -> (Server, Arc<Proxy>, CancellationToken) {
    front_with(upstream, |_| {}).await
}

async fn front_with(upstream: &str, adjust: impl FnOnce(&mut Upstream)) -> (Server, Arc<Proxy>, CancellationToken) {
    flagpost_exporter::install_crypto();
    let mut upstream = Upstream::at(upstream.parse().unwrap());
    adjust(&mut upstream);
    let proxy = Arc::new(Proxy::new(upstream).unwrap());
    let (door, _log) = door_with(1 << 20, Some(proxy.clone()), |_| {});
    let draining = door.ending.draining.clone();
    (
        Server::start(Listen::Tcp("127.0.0.1".to_owned(), 0, None), Side::Main, Arc::new(door), &Handle::current()).await.unwrap(),
        proxy,
        draining,
    )
}

async fn client(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// An upstream that says what it was asked, in its body.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(|request: Request<Incoming>| async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let said =
                    format!("{} {} {:?} {}", head.method, head.uri, head.headers.get("x-forwarded-for"), String::from_utf8_lossy(&body));
                Ok::<_, Infallible>(
                    Response::builder()
                        .status(203)
                        .header("etag", "\"1\"")
                        .header("connection", "x-own")
                        .header("x-own", "1")
                        .body(Full::new(Bytes::from(said)))
                        .unwrap(),
                )
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    format!("http://{address}/base")
}

#[tokio::test]
async fn a_request_and_its_answer_are_passed_unchanged() {
    let (server, proxy, _draining) = front(&echo().await).await;
    let mut client = client(server.address().unwrap()).await;
    let request = Request::post("/v1/feature/x/eval?a=1").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 203);
    assert_eq!(response.headers()["etag"], "\"1\"");
    assert!(!response.headers().contains_key("x-own"), "what upstream's connection names stays behind");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "POST /base/v1/feature/x/eval?a=1 Some(\"127.0.0.1\") {}");
    assert_eq!(proxy.counts(), (1, 0));
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_and_a_counter() {
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (server, proxy, _draining) = front(&format!("http://{unused}")).await;
    let response =
        client(server.address().unwrap()).await.send_request(Request::get("/v1/flag/change").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 502);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"message\":\"the relay behind `upstream.url` did not answer\"}\n");
    assert_eq!(proxy.counts(), (0, 1));
}

#[tokio::test]
async fn an_event_stream_is_passed_frame_by_frame_and_cut_at_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (frames, source) = mpsc::channel::<Result<Frame<Bytes>, Infallible>>(1);
    let source = Arc::new(tokio::sync::Mutex::new(Some(source)));
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(move |_| {
            let source = source.clone();
            async move {
                let mut source = source.lock().await.take().unwrap();
                let body = StreamBody::new(futures_util::stream::poll_fn(move |context| source.poll_recv(context)));
                Ok::<_, Infallible>(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
            }
        });
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
    });
    let (server, _proxy, draining) = front(&upstream).await;
    let mut client = client(server.address().unwrap()).await;
    let mut body =
        client.send_request(Request::get("/stream/v1/sse/flag/change").body(Full::default()).unwrap()).await.unwrap().into_body();
    // Each frame arrives before the next one is sent.
    for text in ["data: 1\n\n", "data: 2\n\n"] {
        frames.send(Ok(Frame::data(Bytes::from(text)))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    draining.cancel();
    assert!(body.frame().await.is_none_or(|frame| frame.is_err()), "the stream ends");
    assert!(server.finish(Duration::from_secs(30)).await, "and the connection with it");
}

#[tokio::test]
async fn an_upgraded_connection_carries_bytes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("get /ws/v1/flag/change?apikey=k http/1.1"), "{head}");
        assert!(
            head.contains("upgrade: websocket") && head.contains("connection: upgrade") && head.contains("sec-websocket-key: abc"),
            "{head}"
        );
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhi",
            )
            .await
            .unwrap();
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.unwrap();
        stream.write_all(&said).await.unwrap();
    });
    let (server, _proxy, _draining) = front(&upstream).await;
    let mut client = client(server.address().unwrap()).await;
    let request = Request::get("/ws/v1/flag/change?apiKey=k")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-key", "abc")
        .body(Full::default())
        .unwrap();
    let mut response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "x");
    let mut switched = TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap());
    let mut said = [0; 2];
    switched.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hi");
    switched.write_all(b"ping").await.unwrap();
    let mut back = Vec::new();
    switched.read_to_end(&mut back).await.unwrap();
    assert_eq!(back, b"ping");
}

#[tokio::test]
async fn a_connection_that_comes_while_the_program_ends_gets_its_answer() {
    let (server, _proxy, draining) = front("http://127.0.0.1:1").await;
    let mut before = client(server.address().unwrap()).await;
    assert_eq!(before.send_request(Request::get("/health/ready").body(Full::default()).unwrap()).await.unwrap().status(), 200);
    draining.cancel();
    assert!(server.finish(Duration::from_secs(30)).await, "an idle connection is closed");
    let response =
        client(server.address().unwrap()).await.send_request(Request::get("/health/ready").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 503);
}

/// An upstream that takes connections and requests and says nothing.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taking = tokio::spawn(async move {
        let mut taken = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            taken.push(tokio::spawn(async move { while stream.read_u8().await.is_ok() {} }));
        }
    });
    (url, taking)
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_given_up_and_its_place_is_free_again() {
    let (url, _taking) = silent().await;
    let (server, proxy, _draining) = front_with(&url, |upstream| {
        upstream.response_timeout = Duration::from_millis(50);
        upstream.max_connections = 1;
    })
    .await;
    for _ in 0..2 {
        let request = Request::get("/v1/flag/change").body(Full::default()).unwrap();
        let response = client(server.address().unwrap()).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), 504);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("within 50 ms (`upstream.responseTimeout`)"), "{body:?}");
    }
    assert_eq!(proxy.counts(), (0, 2));
}

#[tokio::test]
async fn a_client_that_does_not_go_on_with_its_body_is_given_up() {
    let (url, _taking) = silent().await;
    let (server, proxy, _draining) = front_with(&url, |upstream| upstream.response_timeout = Duration::from_millis(50)).await;
    let mut stream = TcpStream::connect(server.address().unwrap()).await.unwrap();
    stream.write_all(b"POST /v1/x HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    // Whichever of the two limits is met first.
    assert!(matches!(&answer, b"HTTP/1.1 408" | b"HTTP/1.1 504"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(proxy.counts().0, 0);
}

#[tokio::test]
async fn streams_take_their_places_and_leave_the_collectors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let (end, ended) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut ended = ended.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let switch: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
                let events: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                stream.write_all(if head.starts_with(b"GET /ws") { switch } else { events }).await.unwrap();
                ended.wait_for(|ended| *ended).await.unwrap();
            });
        }
    });
    let (server, _proxy, _draining) = front_with(&upstream, |upstream| upstream.max_connections = 2).await;
    let mut streaming = client(server.address().unwrap()).await;
    let stream = streaming.send_request(Request::get("/stream").body(Full::default()).unwrap()).await.unwrap();
    let mut switching = client(server.address().unwrap()).await;
    let request = Request::get("/ws").header("connection", "upgrade").header("upgrade", "websocket");
    let mut switched = switching.send_request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((stream.status().as_u16(), switched.status().as_u16()), (200, 101));
    let socket = hyper::upgrade::on(&mut switched).await.unwrap();
    drop(switching);
    let mut other = client(server.address().unwrap()).await;
    let refused = other.send_request(Request::get("/stream").body(Full::default()).unwrap()).await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    drop(refused.into_body().collect().await.unwrap());
    let events =
        Request::post("/v1/data/collector").header("content-type", "application/json").body(Full::from("{\"events\":[]}")).unwrap();
    assert_eq!(other.send_request(events).await.unwrap().status(), 200, "the collector has places of its own");
    end.send(true).unwrap();
    drop((stream, socket));
    loop {
        let again =
            client(server.address().unwrap()).await.send_request(Request::get("/stream").body(Full::default()).unwrap()).await.unwrap();
        if again.status() == 200 {
            break;
        }
        assert_eq!(again.status(), 503);
        tokio::task::yield_now().await;
    }
}
