//! The HTTP surface of the real program: a port for monitoring, unix sockets, request ids, the access log, and the description of the routes.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use flagpost_tests::{Client, Program, Setup, Upstream, assert_lines, body, client, events, free_port, lines_in, until};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

const FILE: &str = "  - { kind: file, name: out, outputDir: out, flushInterval: 20 }";

/// Waits until a relay that is asked elsewhere than at its own port is ready.
async fn ready(program: &Program, monitoring: &Client) {
    until("the relay is ready", async || {
        let answer = client().get(monitoring.url("/health/ready")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

#[tokio::test]
async fn monitoring_has_a_port_of_its_own() {
    let port = free_port();
    let setup = Setup::new().with_server(&format!("monitoringPort: {port}")).with_exporters(FILE);
    let relay = Program::spawn(&setup);
    let monitoring = Client::new(port);
    ready(&relay, &monitoring).await;
    relay.post(&events(1..11)).await;
    monitoring.drained(&["out"]).await;
    for path in ["/health", "/health/live", "/health/ready", "/health/exporters", "/info", "/metrics"] {
        assert_eq!(relay.get(path).await, (404, "{\"message\":\"Not Found\"}\n".to_owned()), "{path}");
        assert_eq!(monitoring.get(path).await.0, 200, "{path}");
    }
    for path in ["/v1/data/collector", "/openapi.json", "/v1/allflags"] {
        assert_eq!(monitoring.get(path).await.0, 404, "{path}");
    }
    relay.stop().await;
}

async fn over_socket(socket: &Path, request: http::Request<Full<Bytes>>) -> (u16, String) {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    drop(sender);
    connection.await.unwrap().unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_unix_socket_replaces_the_port_and_is_removed_at_the_end() {
    let setup = Setup::new();
    let socket = setup.path("relay.sock");
    // As a relay that was killed leaves it.
    drop(UnixListener::bind(&socket).unwrap());
    let port = free_port();
    let server = format!("mode: unixsocket, unixSocketPath: \"{}\", monitoringPort: {port}", socket.display());
    let setup = setup.with_server(&server).with_exporters(FILE);
    let mut relay = Program::spawn(&setup);
    let monitoring = Client::new(port);
    ready(&relay, &monitoring).await;
    until("the socket is there", async || UnixStream::connect(&socket).await.ok().map(drop)).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    let request = http::Request::post("/v1/data/collector").header("host", "relay").header("content-type", "application/json");
    let answer = over_socket(&socket, request.body(Full::from(body(&events(1..11)))).unwrap()).await;
    assert_eq!(answer, (200, "{\"ingestedContentCount\":10}\n".to_owned()));
    assert!(client().get(relay.url("/health")).send().await.is_err(), "nobody listens at the port");
    monitoring.drained(&["out"]).await;
    assert_lines(&lines_in(&setup.path("out")), &events(1..11));
    relay.signal(rustix::process::Signal::TERM);
    assert!(relay.ended().await.success());
    assert!(!socket.exists(), "the file is removed");
}

#[tokio::test]
async fn a_request_keeps_its_name_through_answers_logs_and_the_relay_behind() {
    let upstream = Upstream::start().await;
    let head = format!("upstream: {{ url: \"{}\" }}\nlogLevel: debug\n", upstream.url());
    let setup = Setup::new().with_head(&head).with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let sent = client().get(relay.url("/v1/flag/change?apiKey=s3cret")).header("x-request-id", "my-own-id").send().await.unwrap();
    assert_eq!(sent.headers()["x-request-id"], "my-own-id");
    let seen: Value = sent.json().await.unwrap();
    assert_eq!(seen["headers"]["x-request-id"], "my-own-id");
    let made = client().get(relay.url("/teapot?apiKey=s3cret")).header("x-request-id", "not sane").send().await.unwrap();
    let id = made.headers()["x-request-id"].to_str().unwrap().to_owned();
    assert_eq!((made.status().as_u16(), id.len()), (418, 32));
    made.bytes().await.unwrap();
    let (status, _) = relay.get("/health").await;
    assert_eq!(status, 200);
    let lines = until("both requests are in the log", async || {
        let log = relay.log();
        let lines: Vec<Value> =
            log.lines().filter(|line| line.contains("flagpost::access")).map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let line =
        |request: &str| lines.iter().find(|line| line["request"] == request).unwrap_or_else(|| panic!("{request} is not in {lines:?}"));
    let change = line("GET /v1/flag/change");
    assert_eq!((&change["level"], &change["message"], &change["status"]), (&json!("DEBUG"), &json!("Success"), &json!(200)));
    assert_eq!((&change["request_id"], &change["remote_ip"]), (&json!("my-own-id"), &json!("127.0.0.1")));
    let teapot = line("GET /teapot");
    assert_eq!((&teapot["level"], &teapot["message"], &teapot["request_id"]), (&json!("WARN"), &json!("Client error"), &json!(id)));
    assert_eq!(teapot["size"], "short and stout".len());
    assert!(!relay.log().contains("s3cret"), "a key is in the log:\n{}", relay.log());
    assert!(!lines.iter().any(|line| line["request"].as_str().unwrap().contains("/health")), "{lines:?}");
    relay.stop().await;
}

#[tokio::test]
async fn info_says_what_the_relay_behind_says() {
    let upstream = Upstream::start().await;
    let setup = Setup::new().with_head(&format!("upstream: {{ url: \"{}\" }}\n", upstream.url())).with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let (status, info) = relay.get("/info").await;
    let info: Value = serde_json::from_str(&info).unwrap();
    // The stand-in describes the request; whatever it says is passed on.
    assert_eq!((status, &info["uri"], &info["flagpost"]["upstream"]), (200, &json!("/info"), &json!("ok")));
    relay.stop().await;
    let nobody = format!("upstream: {{ url: \"http://127.0.0.1:{}\" }}\n", free_port());
    let relay = Program::start(&Setup::new().with_head(&nobody).with_exporters(FILE)).await;
    let (status, info) = relay.get("/info").await;
    let info: Value = serde_json::from_str(&info).unwrap();
    assert_eq!((status, &info["flagpost"]["upstream"], info.get("cacheRefresh")), (200, &json!("unreachable"), None));
    relay.stop().await;
}

#[tokio::test]
async fn the_description_is_true() {
    let schemathesis = Schemathesis::install();
    let head = "evaluation: none\nauthorizedKeys: { evaluation: [ eval-key ] }\n";
    let setup = Setup::new().with_head(head).with_exporters(FILE);
    let relay = Program::start(&setup).await;
    let url = relay.url("/openapi.json");
    let finished = tokio::task::spawn_blocking(move || schemathesis.run(&url, "eval-key")).await.unwrap();
    assert!(finished.0, "{}", finished.1);
    assert!(!relay.log().contains("panicked"), "{}", relay.log());
    relay.stop().await;
}

/// A validator and tester of OpenAPI descriptions, from PyPI, in an environment beside the build output.
struct Schemathesis {
    bin: std::path::PathBuf,
}

/// Pinned: what it checks by default changes with its versions.
const PACKAGES: [&str; 2] = ["schemathesis==4.32.5", "openapi-spec-validator==0.9.0"];

impl Schemathesis {
    fn install() -> Schemathesis {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis-4.32.5");
        let bin = directory.join("bin");
        if !bin.join("done").exists() {
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&directory));
            run(Command::new(bin.join("pip")).args(["install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES));
            std::fs::write(bin.join("done"), "").unwrap();
        }
        Schemathesis { bin }
    }

    /// Validates the document and holds the program against it; whether all is well, and what was printed.
    fn run(&self, url: &str, key: &str) -> (bool, String) {
        let document = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("openapi-{}.json", std::process::id()));
        std::fs::write(&document, include_str!("../../host/relay/src/http/openapi.json")).unwrap();
        run(Command::new(self.bin.join("openapi-spec-validator")).arg(&document));
        std::fs::remove_file(&document).unwrap();
        let mut command = Command::new(self.bin.join("schemathesis"));
        command.args(["run", url, "--header", &format!("X-API-Key: {key}"), "--seed", "1", "--max-examples", "20", "--no-color"]);
        command.args(["--phases", "examples,coverage,fuzzing", "--generation-deterministic"]);
        command.args(["--checks", CHECKS]);
        command.current_dir(env!("CARGO_TARGET_TMPDIR")).env("NO_PROXY", "*");
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (output.status.success(), text)
    }
}

/// Not asked: that every body that breaks the schema is refused (one bad event never refuses a request), that every good one is taken (limits
/// are lower than what a generator makes up), and that a wrong method is 405 (404 in a group, as upstream).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,ignored_auth";

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{command:?}:\n{text}");
}
