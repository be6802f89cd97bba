//! From a batch to messages.

use std::borrow::Cow;

use flagpost_event::{Event, EventBatch};

use super::outcome::Tally;

/// The most events of one call: what is kept for each until its reply comes stays small.
pub(super) const MOST_EVENTS: usize = 10_000;

/// The most bytes of one call, a fraction of what the producer may hold: calls that were given up may still be in it.
pub(super) const MOST_BYTES: usize = 8 << 20;

/// One message.
#[derive(Clone, Debug)]
pub(super) struct Message<'a> {
    /// The event's place in the batch.
    pub(super) index: u32,
    /// The user key's bytes; empty when it is empty, never null.
    pub(super) key: Cow<'a, str>,
    /// The event's JSON, without newline.
    pub(super) value: &'a [u8],
}

impl Message<'_> {
    /// Bytes of both.
    pub(super) fn len(&self) -> usize {
        self.key.len() + self.value.len()
    }
}

/// The batch's messages, in order. A line that is no event goes to `tally`.
pub(super) fn messages<'a>(batch: &'a EventBatch, tally: &mut Tally) -> Vec<Message<'a>> {
    let mut messages = Vec::with_capacity(batch.len());
    for (index, value) in (0u32..).zip(batch.lines()) {
        match Event::from_line(batch.kind(), value) {
            Ok(event) => messages.push(Message { index, key: event.into_keys().0, value }),
            Err(error) => tally.reject(index, error.to_string()),
        }
    }
    messages
}

/// How many of the first messages go together: at most `bytes`, at least one.
pub(super) fn group(messages: &[Message<'_>], bytes: usize) -> usize {
    let mut sum = 0usize;
    let fit = messages.iter().take_while(|message| {
        sum = sum.saturating_add(message.len());
        sum <= bytes
    });
    fit.count().max(1).min(messages.len())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use flagpost_event::{BatchId, EventKind, StreamName};

    use super::*;

    fn batch(kind: EventKind, text: &str) -> EventBatch {
        EventBatch::new(BatchId::new("b"), StreamName::new("default", kind), 1, vec![Bytes::from(text.to_owned())])
    }

    #[test]
    fn a_message_is_the_user_key_and_the_line_without_its_end() {
        let lines = "{\"kind\":\"feature\",\"userKey\":\"Zo\\u00eb\",\"key\":\"k\"}\n{\"userKey\":\"\"}\nnonsense\n{\"userKey\":\"b\"}\n";
        for kind in EventKind::ALL {
            let (batch, mut tally) = (batch(kind, lines), Tally::default());
            let found: Vec<_> =
                messages(&batch, &mut tally).into_iter().map(|message| (message.index, message.key, message.value)).collect();
            let lines: Vec<&[u8]> = lines.lines().map(str::as_bytes).collect();
            assert_eq!(found, [(0, "Zoë".into(), lines[0]), (1, "".into(), lines[1]), (3, "b".into(), lines[3])]);
            assert_eq!(tally.rejected.iter().map(|event| event.index).collect::<Vec<_>>(), [2]);
        }
    }

    #[test]
    fn groups_hold_at_least_one_message_and_at_most_so_many_bytes() {
        let batch = batch(EventKind::Feature, "{\"userKey\":\"a\"}\n{\"userKey\":\"b\"}\n{\"userKey\":\"c\"}\n");
        let messages = messages(&batch, &mut Tally::default());
        let one = messages[0].len();
        for (bytes, expected) in [(0, 1), (one, 1), (2 * one - 1, 1), (2 * one, 2), (usize::MAX, 3)] {
            assert_eq!(group(&messages, bytes), expected, "{bytes}");
        }
        assert_eq!(group(&[], 10), 0);
    }
}
