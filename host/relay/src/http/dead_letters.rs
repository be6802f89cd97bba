//! `/admin/v1/flagpost/dead-letters`: which there are, sending them again, dropping them. An admin's key was asked for before.

use std::fmt::Display;
use std::time::Duration;

use flagpost_exporter::chain;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use serde::Serialize;

use super::route::ADMIN;
use super::{Door, Reply, body, not_found};
use crate::letters::{Changed, Listing, Page, Selection};
use crate::through::Through;

/// Below [`ADMIN`].
const DEAD_LETTERS: &str = "dead-letters";
/// Ten thousand ids fit.
const MOST_BODY: usize = 1 << 20;
/// An operator's request is small.
const PATIENCE: Duration = Duration::from_secs(10);
/// Letters of one page.
const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

/// Whether a path is below this part.
pub(super) fn is_here(path: &str) -> bool {
    rest(path).is_some()
}

fn rest(path: &str) -> Option<&str> {
    let rest = path.strip_prefix(ADMIN)?.strip_prefix(DEAD_LETTERS)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// What is done with the chosen ones.
#[derive(Clone, Copy, Debug)]
enum Change {
    Replay,
    CancelReplay,
    Drop,
}

/// `GET dead-letters`: numbers and reasons. `GET dead-letters/events`: a page of them. `POST dead-letters/replay`,
/// `POST dead-letters/replay/cancel`, `POST dead-letters/drop`.
pub(super) async fn answer<B>(door: &Door, request: Request<B>) -> Response<Reply>
where
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, sent) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    match (&head.method, rest(head.uri.path()).unwrap_or_default()) {
        (&Method::GET | &Method::HEAD, "") => list(door, query).await,
        (&Method::GET | &Method::HEAD, "/events") => page(door, query).await,
        (&Method::POST, "/replay") => change(door, sent, Change::Replay).await,
        (&Method::POST, "/replay/cancel") => change(door, sent, Change::CancelReplay).await,
        (&Method::POST, "/drop") => change(door, sent, Change::Drop).await,
        _ => not_found(),
    }
}

async fn list(door: &Door, query: &str) -> Response<Reply> {
    let filter = match Selection::from_query(query).and_then(|selection| selection.filter()) {
        Ok(filter) => filter,
        Err(why) => return bad(why),
    };
    match &door.health.delivery {
        None => json(&Listing::default()),
        Some(delivery) => match delivery.letter_summaries(&filter).await {
            Ok(summaries) => json(&Listing::of(summaries)),
            Err(error) => failed(&error),
        },
    }
}

async fn page(door: &Door, query: &str) -> Response<Reply> {
    let asked = Selection::from_query(query).and_then(|selection| Ok((selection.filter()?, selection.limit)));
    let (filter, limit) = match asked {
        Ok(asked) => asked,
        Err(why) => return bad(why),
    };
    let after = url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "after");
    let after = match after.map(|(_, value)| value.parse()).transpose() {
        Ok(after) => after,
        Err(error) => return bad(error),
    };
    match &door.health.delivery {
        None => json(&Page::default()),
        Some(delivery) => match delivery.letters(&filter, after, limit.unwrap_or(PAGE).min(LARGEST_PAGE)).await {
            Ok(letters) => json(&Page::of(letters)),
            Err(error) => failed(&error),
        },
    }
}

async fn change<B>(door: &Door, sent: B, what: Change) -> Response<Reply>
where
    B: Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut hold = door.room.hold();
    let Ok(sent) = body::read(sent, MOST_BODY, PATIENCE, &mut hold).await else {
        return bad(format!("the body was not read: expected JSON of at most {MOST_BODY} bytes, within {} s", PATIENCE.as_secs()));
    };
    let selection: Selection = match serde_json::from_slice(&sent) {
        Ok(selection) => selection,
        Err(error) => return bad(format!("the body says not which dead letters: {error}")),
    };
    let filter = match selection.meant() {
        Ok(filter) => filter,
        Err(why) => return bad(why),
    };
    let Some(delivery) = door.health.delivery.clone() else { return json(&Changed::default()) };
    let changed = Through::new(async move {
        match what {
            Change::Replay => delivery.replay_letters(&filter, selection.limit).await,
            Change::CancelReplay => delivery.cancel_replay(&filter, selection.limit).await,
            Change::Drop => delivery.drop_letters(&filter, selection.limit).await,
        }
    });
    match changed.await {
        Ok(change) => {
            let Changed { changed, gone, unreadable, sending } = Changed::of(&change);
            let done = match what {
                Change::Replay => "an admin marked dead letters to be sent again",
                Change::CancelReplay => "an admin took back that dead letters are sent again",
                Change::Drop => "an admin dropped dead letters",
            };
            tracing::info!(changed, gone, unreadable, sending, "{done}");
            json(&Changed::of(&change))
        }
        Err(error) => failed(&error),
    }
}

fn json(value: &impl Serialize) -> Response<Reply> {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            Reply::json(StatusCode::OK, text)
        }
        Err(error) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn bad(why: impl Display) -> Response<Reply> {
    Reply::error(StatusCode::BAD_REQUEST, &why.to_string())
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Response<Reply> {
    Reply::error(StatusCode::INTERNAL_SERVER_ERROR, &chain(error))
}
