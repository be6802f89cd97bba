//! From a batch to requests: one, unless it would be larger than collectors take.

use std::collections::BTreeMap;
use std::time::SystemTime;

use flagpost_event::EventBatch;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use crate::RejectedEvent;

use super::ids::ids;
use super::span::{attribute, span};

/// The most events of one call. A span is 300 to 500 bytes, so these make half of what a request may have.
pub(super) const MOST_EVENTS: usize = 5_000;

/// The most bytes of JSON lines of one call: as spans they are two to three times as large.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// What gRPC servers take by default, OpenTelemetry's collector among them, less room for what frames it.
const MOST_REQUEST: usize = (4 << 20) - (64 << 10);

/// What is around a span in its request.
const AROUND_SPAN: usize = 6;

/// What all requests have in common.
#[derive(Debug)]
pub(super) struct Shape {
    /// What the exporter is called.
    exporter: String,
    resource: Resource,
    scope: InstrumentationScope,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) requests: Vec<Request>,
    /// Lines that are no events.
    pub(super) rejected: Vec<RejectedEvent>,
}

/// One request.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: ExportTraceServiceRequest,
    /// The places of its events in the batch.
    pub(super) events: Vec<u32>,
}

impl Shape {
    pub(super) fn new(exporter: &str, tracer: String, resource: BTreeMap<String, String>) -> Shape {
        let attributes = resource.into_iter().map(|(key, value)| attribute(key, Value::StringValue(value))).collect();
        Shape {
            exporter: exporter.to_owned(),
            resource: Resource { attributes, ..Resource::default() },
            scope: InstrumentationScope { name: tracer, ..InstrumentationScope::default() },
        }
    }

    fn request(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope_spans = vec![ScopeSpans { scope: Some(self.scope.clone()), spans, ..ScopeSpans::default() }];
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() }],
        }
    }
}

/// A request without spans: asks whether they would be taken.
pub(super) fn empty() -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::default()
}

/// The batch's requests, in order. An event that is too large for any goes alone: collectors can be told to take more.
pub(super) fn make(batch: &EventBatch, shape: &Shape, now: SystemTime) -> Made {
    make_within(MOST_REQUEST, batch, shape, now)
}

fn make_within(most: usize, batch: &EventBatch, shape: &Shape, now: SystemTime) -> Made {
    let around = shape.request(Vec::new()).encoded_len() + 3 * AROUND_SPAN;
    let mut made = Made::default();
    let (mut spans, mut events, mut size) = (Vec::new(), Vec::new(), around);
    for ((index, line), id) in (0u32..).zip(batch.lines()).zip(batch.event_ids()) {
        let span = match span(batch.kind(), line, ids(&shape.exporter, &id), now) {
            Ok(span) => span,
            Err(error) => {
                made.rejected.push(RejectedEvent { index, reason: error.to_string() });
                continue;
            }
        };
        let more = span.encoded_len() + AROUND_SPAN;
        if size + more > most && !spans.is_empty() {
            let message = shape.request(std::mem::take(&mut spans));
            made.requests.push(Request { message, events: std::mem::take(&mut events) });
            size = around;
        }
        size += more;
        spans.push(span);
        events.push(index);
    }
    if !spans.is_empty() {
        made.requests.push(Request { message: shape.request(spans), events });
    }
    made
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use flagpost_event::{BatchId, EventKind, StreamName};
    use proptest::prelude::*;

    use super::*;

    fn shape() -> Shape {
        Shape::new("mine", "tracer".to_owned(), BTreeMap::from([("service.name".to_owned(), "mine".to_owned())]))
    }

    fn batch(lines: &str) -> EventBatch {
        let lines = vec![Bytes::from(lines.to_owned())];
        EventBatch::new(BatchId::new("s-default.feature-1-3"), StreamName::new("default", EventKind::Feature), 1, lines)
    }

    #[test]
    fn a_line_that_is_no_event_is_rejected_alone() {
        let made = make(&batch("{\"key\":\"a\"}\nnonsense\n{\"key\":\"b\"}\n"), &shape(), SystemTime::UNIX_EPOCH);
        assert_eq!(made.requests.len(), 1);
        assert_eq!(made.requests[0].events, [0, 2]);
        assert_eq!(made.rejected.iter().map(|event| event.index).collect::<Vec<_>>(), [1]);
        assert!(make(&batch("nonsense\n"), &shape(), SystemTime::UNIX_EPOCH).requests.is_empty());
    }

    #[test]
    fn a_full_batch_of_ordinary_events_is_one_request() {
        let line = "{\"kind\":\"feature\",\"contextKind\":\"user\",\"userKey\":\"user-00042-aa7b\",\"creationDate\":1700000000,\"key\":\"flag-7\",\"variation\":\"variation_A\",\"value\":\"YO\",\"default\":false,\"version\":\"1.0.3\",\"source\":\"PROVIDER_CACHE\"}\n";
        let events = MOST_EVENTS.min(MOST_BYTES / line.len());
        let made = make(&batch(&line.repeat(events)), &shape(), SystemTime::UNIX_EPOCH);
        assert_eq!(made.requests.len(), 1, "{} bytes", made.requests[0].message.encoded_len());
    }

    proptest! {
        #[test]
        fn no_request_is_larger_than_it_may_be_unless_one_event_is(sizes in prop::collection::vec(0usize..900, 1..40), most in 600usize..4_000) {
            let lines: String = sizes.iter().map(|size| format!("{{\"key\":\"{}\"}}\n", "k".repeat(*size))).collect();
            let made = make_within(most, &batch(&lines), &shape(), SystemTime::UNIX_EPOCH);
            for request in &made.requests {
                prop_assert!(request.message.encoded_len() <= most || request.events.len() == 1);
                prop_assert_eq!(request.message.resource_spans[0].scope_spans[0].spans.len(), request.events.len());
            }
            let all: Vec<u32> = made.requests.into_iter().flat_map(|request| request.events).collect();
            prop_assert_eq!(all, (0..u32::try_from(sizes.len()).unwrap()).collect::<Vec<_>>());
        }
    }
}
