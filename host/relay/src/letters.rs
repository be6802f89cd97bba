//! Dead letters on the wire: what the admin routes and `flagpost dead-letters` say to each other, and to people with `--json`.

use flagpost_event::EventKind;
use flagpost_spool::{Letter, LetterChange, LetterFilter, LetterOwner, LetterSummary};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::form_urlencoded;

/// Which dead letters: all that fit everything that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// Only these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flag_set: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exporter: Option<String>,
    /// `feature` or `tracking`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason_contains: Option<String>,
    /// No more than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    /// Nothing else is set, and that is meant.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) all: bool,
}

impl Selection {
    /// Out of a query: the same keys, `id` once for each letter.
    pub(crate) fn from_query(query: &str) -> Result<Selection, String> {
        let mut selection = Selection::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            match &*key {
                "id" => selection.ids.push(value),
                "flagSet" => selection.flag_set = Some(value),
                "exporter" => selection.exporter = Some(value),
                "eventType" => selection.event_type = Some(value),
                "reasonContains" => selection.reason_contains = Some(value),
                "limit" => selection.limit = Some(value.parse().map_err(|_| format!("limit={value}: expected a number"))?),
                "after" => {}
                other => {
                    return Err(format!(
                        "`{other}` is not known here: expected id, flagSet, exporter, eventType, reasonContains, limit or after"
                    ));
                }
            }
        }
        Ok(selection)
    }

    /// As a query, `limit` apart.
    pub(crate) fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.ids.iter().map(|id| ("id", id)));
        let named = [
            ("flagSet", &self.flag_set),
            ("exporter", &self.exporter),
            ("eventType", &self.event_type),
            ("reasonContains", &self.reason_contains),
        ];
        query.extend_pairs(named.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))));
        query.finish()
    }

    /// What the bookkeeping is asked for, or what is wrong with it.
    pub(crate) fn filter(&self) -> Result<LetterFilter, String> {
        let kind = match &self.event_type {
            None => None,
            Some(text) => match EventKind::ALL.into_iter().find(|kind| kind.as_str() == text) {
                Some(kind) => Some(kind),
                None => return Err(format!("`{text}` is no type of events: expected feature or tracking")),
            },
        };
        let ids = self.ids.iter().map(|id| id.parse().map_err(|error: flagpost_spool::BadLetterId| error.to_string()));
        Ok(LetterFilter {
            ids: ids.collect::<Result<_, _>>()?,
            flag_set: self.flag_set.clone(),
            exporter: self.exporter.clone(),
            kind,
            reason_contains: self.reason_contains.clone(),
            marked: false,
        })
    }

    /// The same, where something is to be changed: nothing set is not everything, unless it is said.
    pub(crate) fn meant(&self) -> Result<LetterFilter, String> {
        let filter = self.filter()?;
        match (filter == LetterFilter::default(), self.all) {
            (true, false) => Err("which dead letters? Name ids or a filter, or say `all`".to_owned()),
            (false, true) => Err("`all` and ids or a filter contradict each other: name one of them".to_owned()),
            _ => Ok(filter),
        }
    }
}

/// Whose a dead letter is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) flag_set: String,
    pub(crate) exporter: String,
    pub(crate) event_type: String,
    /// The exporter is no longer known: they can be exported and dropped, not sent again.
    pub(crate) gone: bool,
    pub(crate) count: u64,
    /// To be sent again.
    pub(crate) marked: u64,
    pub(crate) oldest_unix_millis: u64,
    pub(crate) newest_unix_millis: u64,
    pub(crate) reasons: Vec<Reason>,
    /// Letters with other reasons than those.
    pub(crate) other_reasons: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reason {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// The dead letters in numbers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listing {
    pub(crate) exporters: Vec<Summary>,
}

impl Listing {
    pub(crate) fn of(summaries: Vec<LetterSummary>) -> Listing {
        let exporters = summaries.into_iter().map(|summary| {
            let LetterOwner { identity, stream, gone, .. } = summary.owner;
            Summary {
                flag_set: identity.flag_set,
                exporter: identity.exporter,
                event_type: stream.kind.as_str().to_owned(),
                gone,
                count: summary.count,
                marked: summary.marked,
                oldest_unix_millis: summary.oldest,
                newest_unix_millis: summary.newest,
                reasons: summary.reasons.into_iter().map(|(reason, count)| Reason { reason, count }).collect(),
                other_reasons: summary.other_reasons,
            }
        });
        Listing { exporters: exporters.collect() }
    }
}

/// One dead letter.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) flag_set: String,
    pub(crate) exporter: String,
    pub(crate) event_type: String,
    pub(crate) gone: bool,
    /// The event's number in its stream.
    pub(crate) number: u64,
    /// The batch that it was cut in.
    pub(crate) batch: String,
    pub(crate) reason: String,
    pub(crate) attempts: u32,
    pub(crate) first_tried_unix_millis: u64,
    pub(crate) condemned_unix_millis: u64,
    /// To be sent again.
    pub(crate) marked: bool,
    /// The event exactly as it is stored; `null` when it could not be read.
    pub(crate) event: Option<Box<RawValue>>,
}

impl Shown {
    fn of(letter: Letter) -> Shown {
        let id = letter.id().to_string();
        let Letter { owner: LetterOwner { identity, stream, gone, .. }, letter } = letter;
        Shown {
            id,
            flag_set: identity.flag_set,
            exporter: identity.exporter,
            event_type: stream.kind.as_str().to_owned(),
            gone,
            number: letter.number,
            batch: letter.batch,
            reason: letter.reason,
            attempts: letter.attempts,
            first_tried_unix_millis: letter.first_tried,
            condemned_unix_millis: letter.condemned_at,
            marked: letter.marked,
            event: String::from_utf8(letter.event).ok().and_then(|text| RawValue::from_string(text).ok()),
        }
    }
}

/// Some of the dead letters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) letters: Vec<Shown>,
    /// What to ask for `after`; `null`: these were all.
    pub(crate) next: Option<String>,
}

impl Page {
    pub(crate) fn of(letters: Vec<Letter>) -> Page {
        let next = letters.last().map(|letter| letter.id().to_string());
        Page { letters: letters.into_iter().map(Shown::of).collect(), next }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Changed {
    /// Marked to be sent again, no longer marked, or dropped.
    pub(crate) changed: u64,
    /// Left: their exporter is no longer known.
    pub(crate) gone: u64,
    /// Left: their events could not be read.
    pub(crate) unreadable: u64,
    /// In the batch that is being sent again: left, where they were to be dropped; no longer marked, but the attempt under way may deliver them.
    pub(crate) sending: u64,
}

impl Changed {
    pub(crate) fn of(change: &LetterChange) -> Changed {
        Changed { changed: change.total(), gone: change.gone, unreadable: change.unreadable, sending: change.sending }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_selection_survives_being_a_query() {
        let selection = Selection {
            ids: vec!["1-2".into(), "3-4".into()],
            flag_set: Some("a b&c".into()),
            exporter: Some("hook".into()),
            event_type: Some("tracking".into()),
            reason_contains: Some("400 = ü".into()),
            ..Selection::default()
        };
        assert_eq!(Selection::from_query(&selection.to_query()).unwrap(), selection);
        let filter = selection.filter().unwrap();
        assert_eq!((filter.ids.len(), filter.kind), (2, Some(EventKind::Tracking)));
    }

    #[test]
    fn what_is_wrong_with_a_selection_is_said() {
        for (query, word) in [("limit=x", "limit=x"), ("exporterr=a", "exporterr"), ("id=7", "`7`"), ("eventType=all", "`all`")] {
            let error = Selection::from_query(query).and_then(|selection| selection.filter()).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn nothing_is_not_everything() {
        let all = Selection { all: true, ..Selection::default() };
        let some = Selection { exporter: Some("a".into()), ..Selection::default() };
        assert!(Selection::default().meant().unwrap_err().contains("which"));
        assert!(Selection { all: true, ..some.clone() }.meant().unwrap_err().contains("contradict"));
        assert_eq!(all.meant().unwrap(), LetterFilter::default());
        assert!(some.meant().is_ok());
        assert!(Selection { limit: Some(3), ..Selection::default() }.meant().is_err(), "a limit chooses nothing");
    }
}
