//! From an event's fields to its canonical line, by upstream's rules; an event that breaks them is refused alone.

use crate::json::{RawNumber, Soft};

use super::field::{Field, Fields, Name};
use super::{DropCause, Rules};

/// `source` of a feature event that names none.
const DEFAULT_SOURCE: &[u8] = b"\"PROVIDER_CACHE\"";

/// The last date that is taken for seconds: 2286-11-20. Anything above is cut to its first ten digits.
const LAST_SECONDS: i64 = 9_999_999_999;

/// Why an event is refused.
pub(super) struct Refusal {
    pub(super) cause: DropCause,
    pub(super) detail: String,
}

impl Refusal {
    #[cold]
    fn wrong_type(name: Name, field: &Field<'_>, expected: &str) -> Self {
        if let Field::Unfit(soft) = field {
            return Refusal::unfit(name, *soft);
        }
        let detail = format!("`{}` is {}: expected {expected}", name.as_str(), field.type_name());
        Refusal { cause: DropCause::WrongType, detail }
    }

    #[cold]
    fn unfit(name: Name, soft: Soft) -> Self {
        let name = name.as_str();
        match soft {
            Soft::TooDeep => Refusal { cause: DropCause::TooDeep, detail: format!("`{name}` is nested too deep") },
            Soft::TooLong => Refusal { cause: DropCause::TooLarge, detail: format!("`{name}` is too large") },
            Soft::NumberRange { .. } => {
                let detail = format!("`{name}` holds a number beyond the range of a 64-bit float");
                Refusal { cause: DropCause::NumberRange, detail }
            }
        }
    }
}

/// What was noticed about an accepted event.
pub(super) struct Encoded {
    /// Feature events: where in the output the line's metadata begins, or would.
    pub(super) metadata_at: usize,
    /// Whether the date was cut to seconds.
    pub(super) date_cut: bool,
}

/// An event's fields and the text of its arrays and objects.
pub(super) struct Encoder<'e, 'a> {
    pub(super) fields: &'e Fields<'a>,
    pub(super) containers: &'e [u8],
    pub(super) rules: Rules,
}

impl Encoder<'_, '_> {
    /// Whether it is a tracking event. Upstream looks at `kind`; but it also takes feature events whose `kind` says `tracking` (spelled `Kind`
    /// by their sender), and exports them as what they are: with a variation, which no tracking event has.
    #[inline]
    pub(super) fn is_tracking(&self) -> bool {
        match self.rules {
            Rules::Clients => self.fields.tracking,
            Rules::Final => self.fields.tracking && matches!(self.fields.get(Name::Variation), Field::Null),
        }
    }

    /// Appends a feature event's line. `meta`: the request's own, which replaces the event's metadata; empty erases it.
    ///
    /// After a refusal the output holds half a line.
    pub(super) fn feature(&self, meta: Option<&[u8]>, out: &mut Vec<u8>) -> Result<Encoded, Refusal> {
        let date_cut = self.identity(if self.rules == Rules::Final { integer_date } else { whole_date }, out)?;
        out.extend_from_slice(b",\"variation\":");
        self.text(Name::Variation, out)?;
        out.extend_from_slice(b",\"value\":");
        self.value(out)?;
        out.extend_from_slice(match self.fields.get(Name::Default) {
            Field::Bool(true) => b",\"default\":true,\"version\":",
            Field::Null | Field::Bool(false) => b",\"default\":false,\"version\":",
            other => return Err(Refusal::wrong_type(Name::Default, other, "a boolean or null")),
        });
        self.text(Name::Version, out)?;
        out.extend_from_slice(b",\"source\":");
        match self.fields.get(Name::Source) {
            _ if self.rules == Rules::Final => self.text(Name::Source, out)?,
            Field::Null => out.extend_from_slice(DEFAULT_SOURCE),
            Field::Text(text) if text.is_empty() => out.extend_from_slice(DEFAULT_SOURCE),
            _ => self.text(Name::Source, out)?,
        }
        let own = match self.fields.get(Name::Metadata) {
            Field::Null => &[],
            Field::Object(range) => &self.containers[range.clone()],
            other => return Err(Refusal::wrong_type(Name::Metadata, other, "an object or null")),
        };
        let metadata_at = out.len();
        finish(meta.unwrap_or(own), out);
        Ok(Encoded { metadata_at, date_cut })
    }

    /// Appends a tracking event's line. After a refusal the output holds half a line.
    pub(super) fn tracking(&self, out: &mut Vec<u8>) -> Result<Encoded, Refusal> {
        let date_cut = self.identity(integer_date, out)?;
        out.extend_from_slice(b",\"evaluationContext\":");
        self.object(Name::EvaluationContext, out)?;
        out.extend_from_slice(b",\"trackingEventDetails\":");
        self.object(Name::TrackingEventDetails, out)?;
        out.extend_from_slice(b"}\n");
        Ok(Encoded { metadata_at: out.len(), date_cut })
    }

    /// The part that both kinds begin with; whether the date was cut.
    #[inline]
    fn identity(&self, date: fn(&RawNumber<'_>) -> Option<i64>, out: &mut Vec<u8>) -> Result<bool, Refusal> {
        out.extend_from_slice(b"{\"kind\":");
        self.text(Name::Kind, out)?;
        match self.fields.get(Name::ContextKind) {
            Field::Null => {}
            Field::Text(text) if text.is_empty() => {}
            _ => {
                out.extend_from_slice(b",\"contextKind\":");
                self.text(Name::ContextKind, out)?;
            }
        }
        out.extend_from_slice(b",\"userKey\":");
        self.text(Name::UserKey, out)?;
        let field = self.fields.get(Name::CreationDate);
        let date = match field {
            Field::Null => 0,
            // Upstream refuses the whole request.
            Field::Number(number) if number.to_f64().is_infinite() => {
                return Err(Refusal::unfit(Name::CreationDate, Soft::NumberRange { start: 0, end: 0 }));
            }
            Field::Number(number) => match date(number) {
                Some(date) => date,
                None => return Err(Refusal::wrong_type(Name::CreationDate, field, "an integer of 64 bits")),
            },
            other => return Err(Refusal::wrong_type(Name::CreationDate, other, "a number or null")),
        };
        let seconds = if self.rules == Rules::Final { date } else { in_seconds(date) };
        out.extend_from_slice(b",\"creationDate\":");
        out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
        out.extend_from_slice(b",\"key\":");
        self.text(Name::Key, out)?;
        Ok(seconds != date)
    }

    #[inline]
    fn text(&self, name: Name, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.fields.get(name) {
            Field::Text(text) => text.write(out),
            Field::Null => out.extend_from_slice(b"\"\""),
            other => return Err(Refusal::wrong_type(name, other, "a string or null")),
        }
        Ok(())
    }

    fn object(&self, name: Name, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.fields.get(name) {
            Field::Null => out.extend_from_slice(b"null"),
            Field::Object(range) => out.extend_from_slice(&self.containers[range.clone()]),
            other => return Err(Refusal::wrong_type(name, other, "an object or null")),
        }
        Ok(())
    }

    #[inline]
    fn value(&self, out: &mut Vec<u8>) -> Result<(), Refusal> {
        match self.fields.get(Name::Value) {
            Field::Null => out.extend_from_slice(b"null"),
            Field::Bool(true) => out.extend_from_slice(b"true"),
            Field::Bool(false) => out.extend_from_slice(b"false"),
            Field::Text(text) => text.write(out),
            Field::Number(number) => {
                if !number.write(out) {
                    return Err(Refusal::unfit(Name::Value, Soft::NumberRange { start: 0, end: 0 }));
                }
            }
            Field::Object(range) | Field::Array(range) => out.extend_from_slice(&self.containers[range.clone()]),
            Field::Unfit(soft) => return Err(Refusal::unfit(Name::Value, *soft)),
        }
        Ok(())
    }
}

/// Appends a feature line's end: the metadata, unless it is nothing or an empty object, and the closing.
#[inline]
pub(super) fn finish(metadata: &[u8], out: &mut Vec<u8>) {
    if metadata.len() > b"{}".len() {
        out.extend_from_slice(b",\"metadata\":");
        out.extend_from_slice(metadata);
    }
    out.extend_from_slice(b"}\n");
}

/// Upstream's rule for dates that are no seconds: not a division, the first ten decimal digits are kept.
fn in_seconds(date: i64) -> i64 {
    let mut seconds = date;
    while seconds > LAST_SECONDS {
        seconds /= 10;
    }
    seconds
}

/// Feature events: any number, truncated toward zero; beyond 64 bits Go's conversion gives the smallest integer.
fn whole_date(number: &RawNumber<'_>) -> Option<i64> {
    if let Some(exact) = number.to_i64() {
        return Some(exact);
    }
    let float = number.to_f64().trunc();
    Some(if fits(float) { float as i64 } else { i64::MIN })
}

/// Tracking events: a number that Go prints as an integer of 64 bits, however it was written.
fn integer_date(number: &RawNumber<'_>) -> Option<i64> {
    let float = number.to_f64();
    number.to_i64().or_else(|| (float.fract() == 0.0 && fits(float)).then_some(float as i64))
}

/// Whether a float without fraction is a 64-bit integer; `false` for infinities.
fn fits(float: f64) -> bool {
    const END: f64 = 9_223_372_036_854_775_808.0;
    (-END..END).contains(&float)
}
