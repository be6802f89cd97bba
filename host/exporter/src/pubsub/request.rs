//! From a batch to requests.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, Bytes};
use flagpost_event::{Event, EventBatch, EventKind, LineError};
use sha2::{Digest, Sha256};

use super::config::OrderingKey;
use super::outcome::Tally;

/// The service's most messages in a request.
pub(super) const MOST_MESSAGES: usize = 1_000;

/// The most bytes of messages in a request. The service's limit is 10 MB for all of it, lengths and names of fields included.
pub(super) const MOST_BYTES: usize = 9_500_000;

/// A larger message fits into no request.
const LARGEST: usize = 9_990_000;

/// The service's longest ordering key. A longer one is replaced by a digest of it: the same order.
const LONGEST_KEY: usize = 1_024;

/// Upstream's attribute of each message.
pub(super) const ATTRIBUTE: (&str, &str) = ("emitter", "GO Feature Flag");

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The event's place in the batch.
    pub(super) index: u32,
    /// The event's JSON, without newline.
    pub(super) data: Bytes,
}

/// Requests that follow one another, all of one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lane {
    /// Empty: no order is asked for.
    pub(super) key: String,
    pub(super) requests: VecDeque<Vec<Message>>,
}

/// The batch's requests. What can never be sent goes to `tally`.
pub(super) fn lanes(batch: &EventBatch, ordering: OrderingKey, tally: &mut Tally) -> Vec<Lane> {
    let mut lanes: Vec<(Lane, usize)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (index, data) in (0u32..).zip(lines(batch)) {
        let key = match key(batch.kind(), ordering, &data) {
            Ok(key) => key,
            Err(error) => {
                tally.reject(index, error.to_string());
                continue;
            }
        };
        let bytes = data.len() + key.len() + ATTRIBUTE.0.len() + ATTRIBUTE.1.len();
        if bytes > LARGEST {
            tally.reject(index, format!("a message of {bytes} bytes is larger than Pub/Sub's limit of 10 MB"));
            continue;
        }
        let place = *places.entry(key).or_insert_with_key(|key| {
            lanes.push((Lane { key: key.clone(), requests: VecDeque::new() }, 0));
            lanes.len() - 1
        });
        let (lane, filled) = &mut lanes[place];
        match lane.requests.back_mut().filter(|request| request.len() < MOST_MESSAGES && *filled + bytes <= MOST_BYTES) {
            Some(request) => request.push(Message { index, data }),
            None => {
                lane.requests.push_back(vec![Message { index, data }]);
                *filled = 0;
            }
        }
        *filled += bytes;
    }
    lanes.into_iter().map(|(lane, _)| lane).collect()
}

/// Each event's JSON, sharing the batch's memory.
fn lines(batch: &EventBatch) -> impl Iterator<Item = Bytes> {
    batch.chunks().iter().flat_map(|chunk| {
        let mut rest = chunk.clone();
        std::iter::from_fn(move || {
            let end = rest.iter().position(|&byte| byte == b'\n')?;
            let line = rest.split_to(end);
            rest.advance(1);
            Some(line)
        })
    })
}

fn key(kind: EventKind, ordering: OrderingKey, line: &[u8]) -> Result<String, LineError> {
    let keys = || Ok(Event::from_line(kind, line)?.into_keys());
    let key = match ordering {
        OrderingKey::None => return Ok(String::new()),
        OrderingKey::UserKey => keys()?.0,
        OrderingKey::Key => keys()?.1,
    };
    if key.len() > LONGEST_KEY {
        return Ok(format!("sha256-{}", hex::encode(Sha256::digest(key.as_bytes()))));
    }
    Ok(key.into_owned())
}

#[cfg(test)]
mod tests {
    use flagpost_event::{BatchId, StreamName};

    use super::*;

    fn batch(kind: EventKind, lines: &[String]) -> EventBatch {
        // Chunks of two lines, and an empty one.
        let mut chunks: Vec<Bytes> = lines.chunks(2).map(|lines| Bytes::from(lines.join("\n") + "\n")).collect();
        chunks.insert(0, Bytes::new());
        EventBatch::new(BatchId::new("b"), StreamName::new("default", kind), 1, chunks)
    }

    fn event(user: &str, key: &str) -> String {
        format!(r#"{{"userKey":"{user}","key":"{key}"}}"#)
    }

    fn shape(lanes: &[Lane]) -> Vec<(&str, Vec<Vec<u32>>)> {
        let of = |lane: &Lane| lane.requests.iter().map(|request| request.iter().map(|message| message.index).collect()).collect();
        lanes.iter().map(|lane| (lane.key.as_str(), of(lane))).collect()
    }

    #[test]
    fn messages_are_the_lines_in_one_lane_or_in_one_per_key() {
        let lines = [event("a", "x"), event("", "y"), event("b", "x"), event("a", "y"), event("", "x")];
        for kind in EventKind::ALL {
            let batch = batch(kind, &lines);
            let lanes = |ordering| lanes(&batch, ordering, &mut Tally::default());
            assert_eq!(shape(&lanes(OrderingKey::None)), [("", vec![vec![0, 1, 2, 3, 4]])]);
            assert_eq!(shape(&lanes(OrderingKey::UserKey)), [("a", vec![vec![0, 3]]), ("", vec![vec![1, 4]]), ("b", vec![vec![2]])]);
            assert_eq!(shape(&lanes(OrderingKey::Key)), [("x", vec![vec![0, 2, 4]]), ("y", vec![vec![1, 3]])]);
            let sent: Vec<_> =
                lanes(OrderingKey::None).remove(0).requests.remove(0).into_iter().flatten().map(|message| message.data).collect();
            assert_eq!(sent, lines);
        }
    }

    #[test]
    fn a_request_holds_a_thousand_messages_and_ten_megabytes_at_most() {
        let small = vec![event("a", "x"); 2_001];
        let found = lanes(&batch(EventKind::Feature, &small), OrderingKey::None, &mut Tally::default());
        assert_eq!(found[0].requests.iter().map(Vec::len).collect::<Vec<_>>(), [1_000, 1_000, 1]);
        let large = vec![event(&"u".repeat(900), &"x".repeat(3_999_000)); 5];
        let found = lanes(&batch(EventKind::Feature, &large), OrderingKey::UserKey, &mut Tally::default());
        assert_eq!(found[0].requests.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }

    #[test]
    fn what_can_never_be_sent_is_rejected_alone() {
        let lines = [event("a", "x"), event("a", &"x".repeat(LARGEST)), "nonsense".to_owned(), event("b", "x")];
        for (ordering, rejected) in [(OrderingKey::None, vec![1]), (OrderingKey::UserKey, vec![1, 2])] {
            let mut tally = Tally::default();
            let found = lanes(&batch(EventKind::Feature, &lines), ordering, &mut tally);
            assert_eq!(tally.rejected.iter().map(|event| event.index).collect::<Vec<_>>(), rejected);
            let sent: usize = found.iter().flat_map(|lane| &lane.requests).map(Vec::len).sum();
            assert_eq!(sent + rejected.len(), lines.len());
        }
    }

    #[test]
    fn a_key_that_is_too_long_becomes_a_digest() {
        let long = "u".repeat(LONGEST_KEY);
        let lines = [event(&long, "x"), event(&format!("{long}1"), "x"), event(&format!("{long}2"), "x"), event(&format!("{long}1"), "y")];
        let found = lanes(&batch(EventKind::Feature, &lines), OrderingKey::UserKey, &mut Tally::default());
        assert_eq!(found.iter().map(|lane| lane.requests[0].len()).collect::<Vec<_>>(), [1, 2, 1]);
        assert!(found[0].key == long && found[1].key.starts_with("sha256-") && found[1].key != found[2].key);
    }
}
