//! Names of files: upstream's template with some fields of ours.

use std::path::{Component, Path};

use crate::template::Template;
use crate::{ExportError, PlanFacts};
use flagpost_event::Civil;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Hostname,
    Timestamp,
    Format,
    BatchId,
    Date,
    Hour,
    FlagSet,
    EventType,
}

/// Upstream's three, then ours. `Date` and `Hour` are those of `Timestamp`, in UTC.
const FIELDS: [(&str, Field); 8] = [
    ("Hostname", Field::Hostname),
    ("Timestamp", Field::Timestamp),
    ("Format", Field::Format),
    ("BatchId", Field::BatchId),
    ("Date", Field::Date),
    ("Hour", Field::Hour),
    ("FlagSet", Field::FlagSet),
    ("EventType", Field::EventType),
];

/// How files are called.
#[derive(Debug)]
pub(super) struct NameTemplate {
    template: Template<Field>,
    hostname: String,
    format: String,
}

impl NameTemplate {
    pub(super) fn parse(text: &str, hostname: &str, format: &str) -> Result<Self, String> {
        let template = Template::parse(text, &FIELDS)?;
        let name = NameTemplate { template, hostname: part(hostname), format: format.to_owned() };
        // With every field a plain word, what is wrong now is wrong with the text between.
        check(&name.template.render(|_, out| out.push('x')))?;
        Ok(name)
    }

    /// Whether each batch has a file of its own.
    pub(super) fn per_batch(&self) -> bool {
        self.template.has(&[Field::Timestamp, Field::BatchId])
    }

    /// The name for a batch, relative to the directory.
    pub(super) fn render(&self, facts: &PlanFacts<'_>) -> Result<String, ExportError> {
        let time = Civil::utc(i64::try_from(facts.timestamp).unwrap_or(i64::MAX / 2));
        let name = self.template.render(|field, out| match field {
            Field::Hostname => out.push_str(&self.hostname),
            Field::Timestamp => out.push_str(&facts.timestamp.to_string()),
            Field::Format => out.push_str(&self.format),
            Field::BatchId => out.push_str(&part(facts.batch.as_str())),
            Field::Date => out.push_str(&time.date()),
            Field::Hour => out.push_str(&format!("{:02}", time.hour)),
            Field::FlagSet => out.push_str(&part(&facts.stream.flag_set)),
            Field::EventType => out.push_str(facts.stream.kind.as_str()),
        });
        check(&name).map_err(|why| ExportError::misconfigured(format!("the file name `{name}` {why}: change `filename`")))?;
        Ok(name)
    }
}

/// A value as a part of a name: it can make no directory and no hidden file, and different values stay different (a flag set is a
/// tenant). What cannot stand there is percent-encoded.
fn part(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for (index, character) in value.char_indices() {
        match character {
            '/' | '\\' | '%' => text.push_str(&format!("%{:02X}", u32::from(character))),
            '.' if index == 0 => text.push_str("%2E"),
            _ if character.is_control() => text.push_str(&format!("%{:02X}", u32::from(character))),
            _ => text.push(character),
        }
    }
    text
}

/// Names stay below the directory.
fn check(name: &str) -> Result<(), String> {
    let plain = |component| matches!(component, Component::Normal(_));
    if name.is_empty() || name.ends_with('/') {
        return Err("is a directory: expected a file's name".to_owned());
    }
    if name.contains('\0') || !Path::new(name).components().all(plain) || name.split('/').any(|step| step == ".") {
        return Err("leaves the directory or is absolute: expected a relative name without `.` and `..`".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flagpost_event::{BatchId, EventKind, StreamName};

    use super::*;

    fn render(template: &str, flag_set: &str) -> Result<String, ExportError> {
        let (batch, stream) = (BatchId::new("ab12-default/feature-1-9"), StreamName::new(flag_set, EventKind::Feature));
        let facts = PlanFacts { batch: &batch, stream: &stream, timestamp: 1_617_970_547 };
        NameTemplate::parse(template, "host.local", "json").unwrap().render(&facts)
    }

    #[test]
    fn names_are_made_as_upstream_makes_them() {
        let default = render("flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}", "default");
        assert_eq!(default.unwrap(), "flag-variation-host.local-1617970547.json");
    }

    #[test]
    fn our_fields_make_directories_and_unique_names() {
        let name = render("{{ .FlagSet}}/{{ .Date}}/{{ .Hour}}/{{ .EventType}}-{{ .BatchId}}", "acme");
        assert_eq!(name.unwrap(), "acme/2021-04-09/12/feature-ab12-default%2Ffeature-1-9");
    }

    #[test]
    fn no_flag_set_leaves_the_directory_or_meets_another() {
        for (flag_set, expected) in
            [("..", "%2E./x"), ("a/../b", "a%2F../b/x".trim_end_matches("/b/x")), ("a%2Fb", "a%252Fb/x"), ("a\\b", "a%5Cb/x")]
        {
            let name = render("{{ .FlagSet}}/x", flag_set).unwrap();
            assert!(name.starts_with(expected), "{name}");
            assert_eq!(name.split('/').count(), 2);
        }
        assert_ne!(render("{{ .FlagSet}}", "a/b").unwrap(), render("{{ .FlagSet}}", "a%2Fb").unwrap());
        assert!(render("{{ .FlagSet}}/x", "").is_err());
    }

    #[test]
    fn templates_that_leave_the_directory_are_refused() {
        for text in ["/abs", "../x", "a/../x", "a/./x", "a/", "", "{{ .Nope}}", "x{{", "./x"] {
            assert!(NameTemplate::parse(text, "h", "json").is_err(), "{text}");
        }
    }

    #[test]
    fn a_timestamp_or_a_batch_id_makes_one_file_per_batch() {
        for (text, per_batch) in
            [("{{ .Timestamp}}", true), ("x-{{ .BatchId}}", true), ("{{ .Date}}-{{ .Hour}}", false), ("all.json", false)]
        {
            assert_eq!(NameTemplate::parse(text, "h", "json").unwrap().per_batch(), per_batch, "{text}");
        }
    }
}
