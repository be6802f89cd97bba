//! The simple part of Go's text/template, for names: text and `{{ .Field}}`. Anything else is told when the exporter is built; upstream falls
//! back to its default template in silence. The whole language, over events, is `flagpost_event::Template`.

/// Text with places for fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template<F> {
    parts: Vec<Part<F>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part<F> {
    Text(String),
    Field(F),
}

impl<F: Copy + PartialEq> Template<F> {
    /// Parses `text`; `fields` are the names that may stand behind the dot. The error says what was found and what may stand there.
    pub(crate) fn parse(text: &str, fields: &[(&str, F)]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((action, after)) = after.split_once("}}") else {
                return Err("`{{` without `}}`".to_owned());
            };
            let field = action.trim().strip_prefix('.').and_then(|name| fields.iter().find(|(known, _)| *known == name));
            let Some(&(_, field)) = field else {
                let names: Vec<_> = fields.iter().map(|(name, _)| format!("{{{{ .{name}}}}}")).collect();
                return Err(format!("`{{{{{action}}}}}` is not known: expected one of {}", names.join(", ")));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Field(field));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// Whether one of `fields` stands in the template.
    pub(crate) fn has(&self, fields: &[F]) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Field(field) if fields.contains(field)))
    }

    /// The text, with `field` appending each field's value.
    pub(crate) fn render(&self, mut field: impl FnMut(F, &mut String)) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(part) => text.push_str(part),
                Part::Field(name) => field(*name, &mut text),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Template;

    const FIELDS: [(&str, char); 2] = [("Key", 'k'), ("Value", 'v')];

    #[test]
    fn fields_are_put_into_the_text() {
        for (text, expected) in
            [("", ""), ("plain } text", "plain } text"), ("a{{ .Key}}b{{.Value}}{{  .Key  }}", "akbvk"), ("{{ .Key}}", "k")]
        {
            let rendered = Template::parse(text, &FIELDS).map(|template| template.render(|field, out| out.push(field)));
            assert_eq!(rendered.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_told() {
        for text in ["{{ .Key", "{{ .key}}", "{{ Key}}", "{{ .Nope}}", "{{ printf \"%s\" .Key}}", "{{- .Key}}", "{{}}"] {
            assert!(Template::parse(text, &FIELDS).is_err(), "{text}");
        }
        let error = Template::parse("{{ .Nope}}", &FIELDS).err().unwrap_or_default();
        assert!(error.contains("`{{ .Nope}}`") && error.contains("{{ .Key}}, {{ .Value}}"), "{error}");
    }
}
