//! Events: what clients send, what the spool stores, what exporters get.
//!
//! The canonical form of an event is one line of upstream's exact JSON (`FeatureEvent`, `TrackingEvent`); it is encoded once, at the
//! door, stored as it is, and handed to exporters as it is. This crate knows no HTTP, no disk and no exporter.

mod batch;
mod clock;
pub mod collect;
mod encoding;
mod event;
mod json;
mod line;
mod stream;
mod template;
mod zone;

pub use batch::{BatchId, EventBatch, ObjectPlan};
pub use clock::{Clock, SystemClock};
pub use encoding::{Chunks, Codec, CodecError, Encoded, Encoding, Encodings, Format, RefusedEvent, SharedEncoding, batch_of};
pub use event::{Event, FeatureEvent, LineError, TrackingEvent};
pub use json::{Json, JsonError};
pub use stream::{EventKind, StreamName};
pub use template::{RenderError, Template, TemplateError, TemplateOptions};
pub use zone::{Civil, Zone};
