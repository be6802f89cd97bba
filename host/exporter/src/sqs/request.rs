//! From a batch to requests that the service takes.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use flagpost_event::EventBatch;

use crate::aws::{Spread, Tally};

/// The most messages of one SendMessageBatch.
pub(super) const MOST_MESSAGES: usize = 10;

/// The most bytes of one message, and of all messages of one SendMessageBatch.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// Upstream's attribute of each message, of the type String.
pub(super) const EMITTER: (&str, &str) = ("emitter", "GO Feature Flag");

/// The attribute counts: its name, its type and its value.
const ATTRIBUTE_BYTES: usize = EMITTER.0.len() + "String".len() + EMITTER.1.len();

/// Chains of calls to a queue with groups that go on beside each other: a group is in one of them.
const LANES: usize = 8;

/// The longest group and de-duplication ids.
const LONGEST_ID: usize = 128;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// The event's place in the batch.
    pub(super) index: u32,
    pub(super) body: Cow<'a, str>,
    /// Group and de-duplication id, in a queue that has them.
    pub(super) group: Option<(String, String)>,
}

impl Message<'_> {
    /// Bytes that count.
    pub(super) fn size(&self) -> usize {
        self.body.len() + ATTRIBUTE_BYTES
    }
}

/// The batch's messages, in order. What can never be one goes to `tally`.
pub(super) fn messages<'a>(batch: &'a EventBatch, groups: Option<Spread>, tally: &mut Tally) -> Vec<Message<'a>> {
    let mut messages = Vec::with_capacity(batch.len());
    for ((index, line), id) in (0u32..).zip(batch.lines()).zip(batch.event_ids()) {
        let Ok(body) = std::str::from_utf8(line) else {
            tally.reject(index, "is no UTF-8");
            continue;
        };
        let group = match groups.map(|groups| groups.key(batch.kind(), line, &id, is_id)).transpose() {
            Ok(group) => group.map(|group| (group, deduplication_id(&id))),
            Err(error) => {
                tally.reject(index, error.to_string());
                continue;
            }
        };
        let message = Message { index, body: allowed(body), group };
        if message.size() > MOST_BYTES {
            let (size, most) = (message.size(), MOST_BYTES);
            tally.reject(index, format!("a message of {size} bytes with its attribute; SQS takes {most}"));
            continue;
        }
        messages.push(message);
    }
    messages
}

/// The text with the two characters that JSON may hold and SQS does not take written as JSON's escapes, which mean the same.
fn allowed(text: &str) -> Cow<'_, str> {
    if text.contains(['\u{fffe}', '\u{ffff}']) {
        return text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff").into();
    }
    text.into()
}

/// Whether the service takes it as a group's or a message's id.
fn is_id(text: &str) -> bool {
    (1..=LONGEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn deduplication_id(id: &str) -> String {
    use sha2::{Digest, Sha256};
    if is_id(id) { id.to_owned() } else { hex::encode(Sha256::digest(id)) }
}

/// Chains of calls. Those of one chain follow each other, the chains go on beside each other; a group's messages are in one chain, in their order.
pub(super) fn chains(messages: Vec<Message<'_>>) -> Vec<Vec<Vec<Message<'_>>>> {
    if messages.iter().all(|message| message.group.is_none()) {
        return calls(messages).into_iter().map(|call| vec![call]).collect();
    }
    let mut lanes: Vec<Vec<Message<'_>>> = vec![Vec::new(); LANES];
    for message in messages {
        let mut hasher = DefaultHasher::new();
        message.group.as_ref().map(|(group, _)| group).hash(&mut hasher);
        lanes[(hasher.finish() % LANES as u64) as usize].push(message);
    }
    lanes.into_iter().filter(|lane| !lane.is_empty()).map(calls).collect()
}

/// In order, as much in each as the service takes.
fn calls(messages: Vec<Message<'_>>) -> Vec<Vec<Message<'_>>> {
    let mut calls: Vec<Vec<Message<'_>>> = Vec::new();
    let mut bytes = 0;
    for message in messages {
        match calls.last_mut() {
            Some(call) if call.len() < MOST_MESSAGES && bytes + message.size() <= MOST_BYTES => {
                bytes += message.size();
                call.push(message);
            }
            _ => {
                bytes = message.size();
                calls.push(vec![message]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]
    use bytes::Bytes;
    use flagpost_event::{BatchId, EventKind, StreamName};

    use super::*;
    use crate::ExportError;

    fn batch(lines: &[String]) -> EventBatch {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let stream = StreamName::new("default", EventKind::Feature);
        let batch = EventBatch::new(BatchId::new("s1-default.feature-7-9"), stream, 1, vec![Bytes::from(text)]);
        batch.with_numbers(vec![7..7 + lines.len() as u64])
    }

    fn line(user: &str, pad: usize) -> String {
        format!(r#"{{"userKey":"{user}","key":"{}"}}"#, "x".repeat(pad))
    }

    #[test]
    fn a_message_is_the_line_and_in_a_fifo_queue_it_has_its_users_group_and_an_id_of_its_own() {
        let lines = [line("a", 0), line("Zoë", 0), line("", 0)];
        let batch = batch(&lines);
        let plain = messages(&batch, None, &mut Tally::default());
        assert_eq!(plain.iter().map(|message| &*message.body).collect::<Vec<_>>(), lines);
        assert!(plain.iter().all(|message| message.group.is_none()));
        let grouped = messages(&batch, Some(Spread::UserKey), &mut Tally::default());
        let groups: Vec<_> = grouped.iter().map(|message| message.group.clone().unwrap()).collect();
        assert_eq!(groups[0], ("a".to_owned(), "s1-default.feature-7".to_owned()));
        assert!(groups[1].0.starts_with("sha256-") && is_id(&groups[1].0), "{groups:?}");
        assert_eq!(groups[2], ("default".to_owned(), "s1-default.feature-9".to_owned()));
        assert!(is_id(&deduplication_id(&"x".repeat(200))));
    }

    #[test]
    fn what_sqs_never_takes_is_named_alone_and_what_json_can_say_otherwise_is_said_otherwise() {
        let lines = [line("a", MOST_BYTES), line("\u{ffff}\u{fffe}", 0), line("b", MOST_BYTES - ATTRIBUTE_BYTES - line("b", 0).len())];
        let (batch, mut tally) = (batch(&lines), Tally::default());
        let found = messages(&batch, None, &mut tally);
        assert_eq!(found.iter().map(|message| message.index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found[0].body, r#"{"userKey":"\uffff\ufffe","key":""}"#);
        assert_eq!(found[1].size(), MOST_BYTES);
        tally.delivered = 2;
        let ExportError::Partial { retry, rejected, .. } = tally.outcome().unwrap_err() else { panic!() };
        assert!(retry.is_empty() && rejected[0].reason.contains(&format!("SQS takes {MOST_BYTES}")), "{rejected:?}");
    }

    #[test]
    fn a_call_holds_ten_messages_and_a_mebibyte_and_a_group_keeps_its_order() {
        let small: Vec<String> = (0..25).map(|number| line(&(number % 3).to_string(), number)).collect();
        let small = batch(&small);
        let chained = chains(messages(&small, None, &mut Tally::default()));
        let sizes: Vec<Vec<usize>> = chained.iter().map(|chain| chain.iter().map(Vec::len).collect()).collect();
        assert_eq!(sizes, [[10], [10], [5]]);
        let large = batch(&[line("a", 600_000), line("a", 600_000), line("a", 1)]);
        let chained = chains(messages(&large, None, &mut Tally::default()));
        assert_eq!(chained.iter().map(|chain| chain[0].len()).collect::<Vec<_>>(), [1, 2]);
        let chained = chains(messages(&small, Some(Spread::UserKey), &mut Tally::default()));
        assert!(chained.iter().flatten().all(|call| call.len() <= 10));
        for group in 0..3 {
            let of_group =
                |call: &Vec<Message<'_>>| call.iter().filter(|one| one.index % 3 == group).map(|one| one.index).collect::<Vec<_>>();
            let chains: Vec<Vec<u32>> = chained.iter().map(|chain| chain.iter().flat_map(of_group).collect()).collect();
            let holding: Vec<_> = chains.iter().filter(|found| !found.is_empty()).collect();
            assert!(holding.len() == 1 && holding[0].is_sorted(), "{chains:?}");
        }
        assert_eq!(chained.iter().flatten().map(Vec::len).sum::<usize>(), 25);
        assert!(chains(Vec::new()).is_empty());
    }
}
