//! A fault server for gRPC, in the test's own process: codes that no emulator returns.
//!
//! Calls of a method that [`GrpcFaults::refuse`] names are answered with that code. All others go to the server behind it, over HTTP/2 without
//! encryption ([`GrpcFaults::before`]); where no such server can be installed, to a function ([`GrpcFaults::instead`]).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2 as outgoing;
use hyper::server::conn::http2 as incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// gRPC's number for a server that cannot be reached.
const UNAVAILABLE: u32 = 14;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// A code, and the words with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrpcRefusal {
    /// gRPC's number: 7 is PERMISSION_DENIED.
    pub code: u32,
    /// Plain ASCII.
    pub message: String,
}

/// Takes a call's method and its one message; gives the answer.
type Take = Box<dyn Fn(&str, Bytes) -> Result<Vec<u8>, GrpcRefusal> + Send + Sync>;

/// A fault server; ends with the test.
#[derive(Debug)]
pub struct GrpcFaults {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    behind: Behind,
    /// The end of a method's name, and what is said to it.
    refused: Mutex<Option<(String, GrpcRefusal)>>,
    /// How many calls were refused by it.
    count: Mutex<usize>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("refused", &self.refused).finish_non_exhaustive()
    }
}

enum Behind {
    /// `host:port`.
    Server(String),
    Function(Take),
}

type Body = BoxBody<Bytes, hyper::Error>;

impl GrpcFaults {
    /// In front of the server at that URL.
    pub async fn before(server: &str) -> GrpcFaults {
        GrpcFaults::start(Behind::Server(super::authority(server))).await
    }

    /// In place of a server: calls have one message, and so have their answers.
    pub async fn instead(take: impl Fn(&str, Bytes) -> Result<Vec<u8>, GrpcRefusal> + Send + Sync + 'static) -> GrpcFaults {
        GrpcFaults::start(Behind::Function(Box::new(take))).await
    }

    async fn start(behind: Behind) -> GrpcFaults {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { behind, refused: Mutex::default(), count: Mutex::default() });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let shared = serving.clone();
                let service = service_fn(move |request| answer(request, shared.clone()));
                connections.spawn(incoming::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service));
            }
        });
        GrpcFaults { address, shared, task }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on every call of the method (`Publish`) is answered so.
    pub fn refuse(&self, method: &str, code: u32, message: &str) {
        *self.shared.refused.lock().unwrap() = Some((format!("/{method}"), GrpcRefusal { code, message: message.to_owned() }));
    }

    /// Nothing is refused any more; gives how many calls were.
    pub fn heal(&self) -> usize {
        *self.shared.refused.lock().unwrap() = None;
        std::mem::take(&mut *self.shared.count.lock().unwrap())
    }
}

impl Drop for GrpcFaults {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, hyper::Error> {
    let refused = shared.refused.lock().unwrap().clone();
    if let Some((_, refusal)) = refused.filter(|(method, _)| request.uri().path().ends_with(method)) {
        *shared.count.lock().unwrap() += 1;
        return Ok(refusal.answer());
    }
    match &shared.behind {
        Behind::Server(address) => {
            let Ok(stream) = TcpStream::connect(address).await else {
                return Ok(GrpcRefusal { code: UNAVAILABLE, message: "nobody is behind the fault server".to_owned() }.answer());
            };
            let (mut sender, connection) = outgoing::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            Ok(sender.send_request(request).await?.map(BodyExt::boxed))
        }
        Behind::Function(take) => {
            let method = request.uri().path().to_owned();
            let message = request.into_body().collect().await?.to_bytes().slice(PREFIX..);
            Ok(take(&method, message).map_or_else(|refusal| refusal.answer(), |message| whole(&message)))
        }
    }
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
    response
}

/// A message and the end.
fn whole(message: &[u8]) -> Response<Body> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(message);
    let mut end = HeaderMap::new();
    end.insert("grpc-status", "0".parse().unwrap());
    let frames = [Ok(Frame::data(Bytes::from(frame))), Ok(Frame::trailers(end))];
    response(BodyExt::boxed(StreamBody::new(stream::iter(frames))))
}

impl GrpcRefusal {
    fn answer(&self) -> Response<Body> {
        let mut response = response(Empty::new().map_err(|never| match never {}).boxed());
        response.headers_mut().insert("grpc-status", self.code.to_string().parse().unwrap());
        response.headers_mut().insert("grpc-message", self.message.parse().unwrap());
        response
    }
}

/// The fields of a protobuf message that have a length: their numbers and what is in them.
pub fn protobuf_fields(message: &Bytes) -> Vec<(u64, Bytes)> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = message[*at];
            *at += 1;
            number |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    };
    let mut fields = Vec::new();
    while at < message.len() {
        let tag = number(&mut at);
        let size = match tag & 7 {
            0 => {
                number(&mut at);
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut at)).unwrap(),
            5 => 4,
            other => panic!("no kind of field: {other}"),
        };
        if tag & 7 == 2 {
            fields.push((tag >> 3, message.slice(at..at + size)));
        }
        at += size;
    }
    fields
}

/// A text field of a protobuf message.
pub fn protobuf_text(field: u8, text: &str) -> Vec<u8> {
    let size = u8::try_from(text.len()).ok().filter(|size| *size < 0x80).expect("a short text");
    [&[field << 3 | 2, size], text.as_bytes()].concat()
}
