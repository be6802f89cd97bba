//! Upgraded connections (WebSocket): both sides switch, then bytes are copied until one side ends or the program does.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use super::Reply;

/// The protocol that a request wants to switch to. An offer of HTTP/2 (`h2c`, in every request of the JDK's client) is not passed on: it
/// is about the connection to us, its settings stay behind with the other headers of that connection, and we do not speak it.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    let protocol = asks.then(|| headers.get(header::UPGRADE)).flatten()?;
    let http2 = protocol.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"h2c"));
    (!http2).then(|| protocol.clone())
}

/// Asks upstream for the switch.
pub(crate) fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Hands upstream's 101 to the client and joins the two connections behind it.
pub(crate) fn switch(client_side: Option<OnUpgrade>, response: &mut Response<Incoming>, draining: CancellationToken) -> Response<Reply> {
    let Some(client_side) = client_side else {
        return Reply::error(StatusCode::BAD_GATEWAY, "the relay behind `upstream.url` switched protocols without being asked");
    };
    let upstream_side = hyper::upgrade::on(&mut *response);
    tokio::spawn(async move {
        let (client, upstream) = match tokio::try_join!(client_side, upstream_side) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a protocol switch did not happen"),
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        tokio::select! {
            ended = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "an upgraded connection broke");
                }
            }
            () = draining.cancelled() => {}
        }
    });
    let mut reply = Response::new(Reply::Full(None::<Bytes>));
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *reply.headers_mut() = std::mem::take(response.headers_mut());
    reply
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_switch_to_websocket_is_wanted_and_an_offer_of_http_2_is_not() {
        let cases = [
            (Some("Upgrade"), Some("websocket"), Some("websocket")),
            (Some("keep-alive, upgrade"), Some("WebSocket"), Some("WebSocket")),
            (Some("keep-alive"), Some("websocket"), None),
            (None, Some("websocket"), None),
            (Some("Upgrade"), None, None),
            (Some("Upgrade, HTTP2-Settings"), Some("h2c"), None),
            (Some("Upgrade, HTTP2-Settings"), Some("other, H2C"), None),
        ];
        for (connection, upgrade, expected) in cases {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::CONNECTION, connection), (header::UPGRADE, upgrade)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(wanted(&headers).as_ref().map(|value| value.to_str().unwrap()), expected, "{connection:?} {upgrade:?}");
        }
    }
}
