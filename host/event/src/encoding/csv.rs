//! `csvTemplate`: a text per event, one behind the other. No header; nothing is quoted unless the template or `csvQuote` says so.

use std::io::{self, Write};

use super::Encoded;
use crate::{Event, EventBatch, EventKind, Template, TemplateError, TemplateOptions};

/// Upstream's default.
const FEATURE: &str =
    "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .Variation}};{{ .Value}};{{ .Default}};{{ .Source}}\n";

/// Ours: upstream's default fails for tracking events. Objects are JSON text in quotes, since they hold separators.
const TRACKING: &str = "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .EvaluationContext | json | csv}};{{ .TrackingDetails | json | csv}}\n";

/// The same where every field is quoted anyway.
const TRACKING_QUOTED: &str =
    "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .EvaluationContext | json}};{{ .TrackingDetails | json}}\n";

/// Text is handed on in pieces of this size.
const BUFFER: usize = 64 << 10;

/// A template per kind.
pub(super) struct Csv {
    feature: Option<Template>,
    tracking: Option<Template>,
}

impl Csv {
    pub(super) fn new(configured: Option<&str>, kinds: &[EventKind], options: &TemplateOptions) -> Result<Self, TemplateError> {
        let template = |kind: EventKind| {
            let default = match kind {
                EventKind::Feature => FEATURE,
                EventKind::Tracking if options.quote => TRACKING_QUOTED,
                EventKind::Tracking => TRACKING,
            };
            kinds.contains(&kind).then(|| Template::parse(configured.unwrap_or(default), kind, options)).transpose()
        };
        Ok(Csv { feature: template(EventKind::Feature)?, tracking: template(EventKind::Tracking)? })
    }

    fn template(&self, kind: EventKind) -> Option<&Template> {
        match kind {
            EventKind::Feature => self.feature.as_ref(),
            EventKind::Tracking => self.tracking.as_ref(),
        }
    }

    pub(super) fn ends_lines(&self, kind: EventKind) -> bool {
        self.template(kind).is_some_and(Template::ends_lines)
    }

    pub(super) fn encode(&self, batch: &EventBatch, out: &mut (dyn Write + Send)) -> io::Result<Encoded> {
        let kind = batch.kind();
        let template = self.template(kind);
        let mut encoded = Encoded::default();
        let mut text = String::with_capacity(BUFFER);
        for (index, line) in batch.lines().enumerate() {
            let written = match (template, Event::from_line(kind, line)) {
                (None, _) => Err(format!("the exporter has no template for {kind} events")),
                (_, Err(error)) => Err(error.to_string()),
                (Some(template), Ok(event)) => template.render(&event, &mut text).map_err(|error| error.to_string()),
            };
            match written {
                Ok(()) => encoded.events += 1,
                Err(reason) => encoded.refuse(index, reason),
            }
            if text.len() >= BUFFER {
                out.write_all(text.as_bytes())?;
                text.clear();
                // One huge event is not to be remembered by its space.
                text.shrink_to(2 * BUFFER);
            }
        }
        out.write_all(text.as_bytes())?;
        Ok(encoded)
    }
}
