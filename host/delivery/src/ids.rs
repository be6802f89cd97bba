//! Batch ids: `<store>-<stream>-<first>-<last>[.r<k>]`, and `.d<n>` for dead letters that are sent again; safe in file names, object names and headers.

use std::fmt::Write;

use flagpost_event::{BatchId, StreamName};

/// The id of the `subset`-th subset of the events `first..=last`; subset 0 is the whole batch.
///
/// The slash of the stream's name is written `.`; what is not a letter, a digit, `_` or `-` in a flag set's name is written `~` and
/// its two hex digits, so that two streams never share an id.
pub(crate) fn batch_id(store: &str, stream: &StreamName, first: u64, last: u64, subset: u32) -> BatchId {
    let mut text = range(store, stream, first, last);
    if subset > 0 {
        // Writing to a string cannot fail.
        let _ok = write!(text, ".r{subset}");
    }
    BatchId::new(text)
}

/// The id of the `number`-th batch of dead letters of a consumer; `first` and `last` are its lowest and highest events.
pub(crate) fn replay_id(store: &str, stream: &StreamName, first: u64, last: u64, number: u64) -> BatchId {
    BatchId::new(format!("{}.d{number}", range(store, stream, first, last)))
}

fn range(store: &str, stream: &StreamName, first: u64, last: u64) -> String {
    let mut text = String::with_capacity(store.len() + stream.flag_set.len() + 48);
    text.push_str(store);
    text.push('-');
    for &byte in stream.flag_set.as_bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ok = write!(text, "~{byte:02x}");
        }
    }
    let _ok = write!(text, ".{}-{first}-{last}", stream.kind);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use flagpost_event::EventKind;

    #[test]
    fn an_id_names_store_stream_range_and_subset() {
        let cases = [
            ("default", 0, "s1-default.feature-1-100"),
            ("default", 2, "s1-default.feature-1-100.r2"),
            ("a/b", 0, "s1-a~2fb.feature-1-100"),
            ("a-b", 0, "s1-a-b.feature-1-100"),
            ("a.b", 0, "s1-a~2eb.feature-1-100"),
            ("ü", 0, "s1-~c3~bc.feature-1-100"),
        ];
        for (flag_set, subset, expected) in cases {
            let stream = StreamName::new(flag_set, EventKind::Feature);
            assert_eq!(batch_id("s1", &stream, 1, 100, subset).as_str(), expected);
        }
        let stream = StreamName::new("default", EventKind::Feature);
        assert_eq!(replay_id("s1", &stream, 7, 90, 3).as_str(), "s1-default.feature-7-90.d3");
    }
}
