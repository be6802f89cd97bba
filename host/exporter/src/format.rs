//! `format`, `csvTemplate`, `csvQuote` and `parquetCompressionCodec`: the keys of every kind that writes files or objects, as an encoding.

use flagpost_event::{Codec, Encoded, Encoding, Format, SharedEncoding, TemplateOptions};
use flagpost_settings::{Place, Problems};

use crate::{BuildContext, ExportError, RejectedEvent};

/// Upstream's default format: JSON lines.
pub(crate) const DEFAULT_FORMAT: &str = "JSON";

/// Upstream's default line of CSV: nine columns and a line feed. Tracking events, which have no such columns, get a default of their own.
pub(crate) const DEFAULT_CSV_TEMPLATE: &str =
    "{{ .Kind}};{{ .ContextKind}};{{ .UserKey}};{{ .CreationDate}};{{ .Key}};{{ .Variation}};{{ .Value}};{{ .Default}};{{ .Source}}\n";

/// Upstream's default compression of Parquet.
pub(crate) const DEFAULT_PARQUET_CODEC: &str = "SNAPPY";

/// The keys, as they were configured. Empty ones are as good as missing, as upstream has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormatKeys<'a> {
    pub(crate) format: &'a str,
    pub(crate) csv_template: &'a str,
    pub(crate) csv_quote: bool,
    pub(crate) codec: &'a str,
}

/// How batches are written, and what the files are called behind the last dot.
#[derive(Debug)]
pub(crate) struct FileFormat {
    pub(crate) encoding: SharedEncoding,
    /// The configured word in small letters, as upstream has it: of an unknown one, JSON lines with that extension.
    pub(crate) extension: String,
}

impl FormatKeys<'_> {
    /// Checks the keys; `None` only when something was complained about. The template and the codec are checked whatever the format is, so
    /// that a mistake does not wait for the day it is changed.
    pub(crate) fn check(self, problems: &mut Problems, context: &BuildContext) -> Option<FileFormat> {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        let extension = or(self.format, DEFAULT_FORMAT).to_lowercase();
        let named = extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named {
            problems.error("format", Place::Nowhere, "is the files' extension: expected letters and digits", "use `format: JSON`");
        }
        let codec = or(self.codec, DEFAULT_PARQUET_CODEC).parse::<Codec>();
        if let Err(error) = &codec {
            let names: Vec<_> = Codec::ALL.iter().map(|(name, _)| *name).collect();
            // Upstream's words.
            let message = format!("invalid exporter: \"parquetCompressionCodec\" err: {error}");
            problems.error("parquetCompressionCodec", Place::Nowhere, message, format!("one of {}", names.join(", ")));
        }
        let template = Some(self.csv_template).filter(|text| !text.is_empty() && *text != DEFAULT_CSV_TEMPLATE);
        let options = TemplateOptions { zone: context.zone.clone(), quote: self.csv_quote };
        let csv = Encoding::csv(template, &context.events, &options);
        if let Err(error) = &csv {
            let help = "the language is Go's text/template over the fields of the exporter's `eventType`";
            problems.error("csvTemplate", Place::Nowhere, error.to_string(), help);
        }
        let encoding = match extension.parse() {
            Ok(Format::Csv) => csv.ok()?,
            Ok(Format::Parquet) => Encoding::parquet(codec.ok()?, &context.events),
            Ok(Format::JsonLines) => Encoding::json_lines(),
        };
        named.then(|| FileFormat { encoding: context.encodings.register(encoding), extension })
    }
}

/// What an exporter says of a batch that is safe but for the refused events.
pub(crate) fn outcome(encoded: Encoded) -> Result<(), ExportError> {
    if encoded.refused.is_empty() {
        return Ok(());
    }
    let rejected = encoded.refused.into_iter().map(|event| RejectedEvent { index: event.index, reason: event.reason }).collect();
    Err(ExportError::Partial { retry: Vec::new(), rejected, after: None })
}
