//! Names of files and objects: upstream's template with some fields of ours.

use std::path::{Component, Path};

use crate::template::Template;
use crate::{ExportError, PlanFacts};
use flagpost_event::Civil;

/// Upstream's default name.
pub(crate) const DEFAULT_FILENAME: &str = "flag-variation-{{ .Hostname}}-{{ .Timestamp}}.{{ .Format}}";

/// Object stores take names up to this many bytes of UTF-8.
const LONGEST_OBJECT: usize = 1024;

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

/// How `path` and `filename` become an object's name: each kind has upstream's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// `s3`: always a slash between them, so without a path the name begins with one.
    Slash,
    /// `azureBlobStorage`: a slash between them if there is a path.
    SlashAfterPath,
    /// `googleStorage`: as the one before, then Go's `path.Clean`.
    Clean,
}

/// How files or objects are called.
#[derive(Debug)]
pub(crate) struct NameTemplate {
    template: Template<Field>,
    /// Objects: what stands in front, and how.
    path: Option<(Template<Field>, Join)>,
    hostname: String,
    format: String,
}

impl NameTemplate {
    /// Names of files, relative to a directory. The error says what is wrong with the template.
    pub(crate) fn file(text: &str, hostname: &str, format: &str) -> Result<Self, String> {
        let template = Template::parse(text, &FIELDS)?;
        let name = NameTemplate { template, path: None, hostname: part(hostname), format: format.to_owned() };
        // With every field a plain word, what is wrong now is wrong with the text between.
        check_file(&name.fill(|_, out| out.push('x')))?;
        Ok(name)
    }

    /// Names of objects: both `path` and `filename` are templates. The error names the key and says what is wrong with it.
    pub(crate) fn object(path: &str, filename: &str, join: Join, hostname: &str, format: &str) -> Result<Self, (&'static str, String)> {
        let template = Template::parse(filename, &FIELDS).map_err(|message| ("filename", message))?;
        let path = Template::parse(path, &FIELDS).map_err(|message| ("path", message))?;
        let name = NameTemplate { template, path: Some((path, join)), hostname: part(hostname), format: format.to_owned() };
        if let Err(message) = check_object(&name.fill(|_, out| out.push('x'))) {
            let filename = check_object(&name.template.render(|_, out| out.push('x')));
            return Err((if filename.is_ok() { "path" } else { "filename" }, message));
        }
        if !name.per_batch() {
            return Err(("filename", "an object cannot grow: each batch needs one of its own".to_owned()));
        }
        Ok(name)
    }

    /// Whether each batch has a file or an object of its own.
    pub(crate) fn per_batch(&self) -> bool {
        let own = [Field::Timestamp, Field::BatchId];
        self.template.has(&own) || self.path.as_ref().is_some_and(|(path, _)| path.has(&own))
    }

    /// The name for a batch: of a file, relative to the directory; of an object, the whole.
    pub(crate) fn render(&self, facts: &PlanFacts<'_>) -> Result<String, ExportError> {
        let time = Civil::utc(i64::try_from(facts.timestamp).unwrap_or(i64::MAX / 2));
        let name = self.fill(|field, out| match field {
            Field::Hostname => out.push_str(&self.hostname),
            Field::Timestamp => out.push_str(&facts.timestamp.to_string()),
            Field::Format => out.push_str(&self.format),
            Field::BatchId => out.push_str(&part(facts.batch.as_str())),
            Field::Date => out.push_str(&time.date()),
            Field::Hour => out.push_str(&format!("{:02}", time.hour)),
            Field::FlagSet => out.push_str(&part(&facts.stream.flag_set)),
            Field::EventType => out.push_str(facts.stream.kind.as_str()),
        });
        let (checked, what, keys) = match self.path {
            None => (check_file(&name), "file", "`filename`"),
            Some(_) => (check_object(&name), "object", "`path` or `filename`"),
        };
        checked.map_err(|why| ExportError::misconfigured(format!("the {what} name `{name}` {why}: change {keys}")))?;
        Ok(name)
    }

    fn fill(&self, mut field: impl FnMut(Field, &mut String)) -> String {
        let Some((path, join)) = &self.path else { return self.template.render(field) };
        let (path, name) = (path.render(&mut field), self.template.render(&mut field));
        match join {
            Join::Slash => format!("{path}/{name}"),
            _ if path.is_empty() => name,
            Join::SlashAfterPath => format!("{path}/{name}"),
            Join::Clean => clean(&format!("{path}/{name}")),
        }
    }
}

/// Go's `path.Clean`: the shortest name of the same place.
fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    for step in path.split('/').filter(|step| !matches!(*step, "" | ".")) {
        match (step, steps.last()) {
            ("..", Some(&last)) if last != ".." => drop(steps.pop()),
            // Above the root is the root.
            ("..", _) if rooted => {}
            _ => steps.push(step),
        }
    }
    format!("{}{}", if rooted { "/" } else { "" }, steps.join("/"))
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
fn check_file(name: &str) -> Result<(), String> {
    let plain = |component| matches!(component, Component::Normal(_));
    if name.is_empty() || name.ends_with('/') {
        return Err("is a directory: expected a file's name".to_owned());
    }
    if name.contains('\0') || !Path::new(name).components().all(plain) || name.split('/').any(|step| step == ".") {
        return Err("leaves the directory or is absolute: expected a relative name without `.` and `..`".to_owned());
    }
    Ok(())
}

/// Names that every store, every client library and every tool understands in the same way.
fn check_object(name: &str) -> Result<(), String> {
    if name.is_empty() || name.ends_with('/') {
        return Err("is a directory: expected an object's name".to_owned());
    }
    if name.len() > LONGEST_OBJECT {
        return Err(format!("is too long: expected {LONGEST_OBJECT} bytes at most"));
    }
    if name.chars().any(char::is_control) || name.split('/').any(|step| matches!(step, "." | "..")) {
        return Err("leads elsewhere: expected a name without `.`, `..` and control characters".to_owned());
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
        NameTemplate::file(template, "host.local", "json").unwrap().render(&facts)
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
            assert!(NameTemplate::file(text, "h", "json").is_err(), "{text}");
        }
    }

    #[test]
    fn a_timestamp_or_a_batch_id_makes_one_file_per_batch() {
        for (text, per_batch) in
            [("{{ .Timestamp}}", true), ("x-{{ .BatchId}}", true), ("{{ .Date}}-{{ .Hour}}", false), ("all.json", false)]
        {
            assert_eq!(NameTemplate::file(text, "h", "json").unwrap().per_batch(), per_batch, "{text}");
        }
    }

    fn object(path: &str, filename: &str, join: Join) -> Result<String, (&'static str, String)> {
        let (batch, stream) = (BatchId::new("ab12-default/feature-1-9"), StreamName::new("acme", EventKind::Feature));
        let facts = PlanFacts { batch: &batch, stream: &stream, timestamp: 1_617_970_547 };
        NameTemplate::object(path, filename, join, "h", "json").map(|template| template.render(&facts).unwrap())
    }

    #[test]
    fn paths_and_names_of_objects_are_joined_as_upstream_joins_them() {
        let table = [
            ("", "/1617970547", "1617970547", "1617970547"),
            ("a", "a/1617970547", "a/1617970547", "a/1617970547"),
            ("a/", "a//1617970547", "a//1617970547", "a/1617970547"),
            ("/a//b", "/a//b/1617970547", "/a//b/1617970547", "/a/b/1617970547"),
        ];
        for (path, s3, azure, google) in table {
            for (join, expected) in [(Join::Slash, s3), (Join::SlashAfterPath, azure), (Join::Clean, google)] {
                assert_eq!(object(path, "{{ .Timestamp}}", join).unwrap(), expected, "{path} {join:?}");
            }
        }
        assert_eq!(object("a/./b/../c", "{{ .Timestamp}}", Join::Clean).unwrap(), "a/c/1617970547");
        assert_eq!(object("/../a", "{{ .Timestamp}}", Join::Clean).unwrap(), "/a/1617970547");
    }

    #[test]
    fn paths_can_be_partitioned() {
        let name = object("{{ .FlagSet}}/type={{ .EventType}}/day={{ .Date}}/hour={{ .Hour}}", "{{ .BatchId}}.{{ .Format}}", Join::Slash);
        assert_eq!(name.unwrap(), "acme/type=feature/day=2021-04-09/hour=12/ab12-default%2Ffeature-1-9.json");
        assert_eq!(object("{{ .Timestamp}}", "x", Join::Slash).unwrap(), "1617970547/x");
    }

    #[test]
    fn objects_that_would_grow_or_lie_elsewhere_are_refused() {
        for (path, filename, key) in [
            ("a", "x.json", "filename"),
            ("{{ .Date}}", "{{ .Hour}}", "filename"),
            ("{{ .Nope}}", "{{ .BatchId}}", "path"),
            ("a", "{{ .Nope}}", "filename"),
            ("a", "{{ .BatchId}}/", "filename"),
            ("../a", "{{ .BatchId}}", "path"),
            ("a/./b", "{{ .BatchId}}", "path"),
            ("a\nb", "{{ .BatchId}}", "path"),
        ] {
            assert_eq!(object(path, filename, Join::Slash).unwrap_err().0, key, "{path} {filename}");
        }
        assert!(object("../a", "{{ .BatchId}}", Join::Clean).is_err());
        assert!(object(&"x".repeat(1_100), "{{ .BatchId}}", Join::Slash).is_err());
    }
}
