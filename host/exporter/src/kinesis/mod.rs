//! The `kinesis` exporter: one record per event, through PutRecords.
//!
//! # What is promised
//! * At least once. What comes twice: records of a call whose answer was not heard, what was delivered in the last 200 ms before a crash.
//! * Order per partition key, as far as PutRecords has one: calls follow each other, and after a call in which something failed nothing else is
//!   sent before that was sent again. Within one call (500 records at most) the service may take a record and put off an earlier one of the same
//!   key; the earlier one then stands behind it. A stream that is not throttled keeps the order.
//! * Only what failed is sent again. A record that is larger than the stream takes is rejected alone.
//!
//! # How
//! A batch is never larger than one call, so that a partial failure is delivery's to count, to pause after, and to show. A call that is
//! refused as a whole is sent again in halves until the guilty record is alone.

mod config;
mod outcome;
mod request;

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use flagpost_event::{Clock, EventBatch};

use crate::aws::{Failure, Lazy, Meaning, Tally};
use crate::{ExportError, Exporter, Limits, ProbeError};
pub(crate) use config::Keys;
use config::KinesisConfig;
use request::Record;

#[derive(Debug)]
struct KinesisExporter {
    config: KinesisConfig,
    client: Lazy<aws_sdk_kinesis::Client>,
    clock: Arc<dyn Clock>,
}

impl KinesisExporter {
    async fn put(&self, client: &aws_sdk_kinesis::Client, sent: &[Record], tally: &mut Tally) -> Result<(), Failure> {
        let (stream, shown) = (&self.config.stream, self.config.stream.shown());
        let entries = sent.iter().map(|record| record.entry.clone()).collect();
        let call = client.put_records().set_stream_name(stream.name()).set_stream_arn(stream.arn()).set_records(Some(entries));
        let answer = call.send().await.map_err(|error| Failure::of(&shown, &error, outcome::OWN, &*self.clock))?;
        outcome::settle(&shown, sent, answer.records(), tally);
        Ok(())
    }

    async fn send(&self, client: &aws_sdk_kinesis::Client, mut records: Vec<Record>, tally: &mut Tally) {
        let mut waiting = VecDeque::new();
        while !records.is_empty() {
            let rest = records.split_off(request::group(&records));
            waiting.push_back(std::mem::replace(&mut records, rest));
        }
        while let Some(mut sent) = waiting.pop_front() {
            let failure = match self.put(client, &sent, tally).await {
                Ok(()) => None,
                Err(failure) if failure.meaning == Meaning::Refused && sent.len() > 1 && !tally.hopeless() => {
                    waiting.push_front(sent.split_off(sent.len() / 2));
                    waiting.push_front(sent);
                    continue;
                }
                Err(failure) if failure.meaning == Meaning::Refused && sent.len() == 1 => {
                    tally.reject(sent[0].index, failure.reason);
                    None
                }
                Err(failure) => Some(failure),
            };
            if let Some(failure) = failure {
                tally.again(sent.iter().map(|record| record.index), || failure);
            }
            if tally.troubled() {
                let rest = waiting.drain(..).flatten().map(|record| record.index);
                return tally.again(rest, || Failure::new(Meaning::Passing, "waits for those before it"));
            }
        }
    }
}

#[async_trait]
impl Exporter for KinesisExporter {
    fn is_bulk(&self) -> bool {
        false
    }

    async fn export(&self, batch: &EventBatch) -> Result<(), ExportError> {
        let mut tally = Tally::default();
        let records = request::records(batch, self.config.spread, self.config.limits, &mut tally);
        if !records.is_empty() {
            let client = self.client.get().await?;
            self.send(&client, records, &mut tally).await;
        }
        if tally.alarming() {
            self.client.forget();
        }
        tally.outcome()
    }

    fn limits(&self) -> Limits {
        Limits { max_events: request::MOST_RECORDS, max_bytes: request::MOST_BYTES, ..Limits::default() }
    }

    fn tries(&self) -> &'static str {
        "asked for the stream"
    }

    async fn probe(&self) -> Result<(), ProbeError> {
        let (stream, shown) = (&self.config.stream, self.config.stream.shown());
        let told = |failure: Failure| ProbeError { reason: failure.told() };
        let client = self.client.get().await.map_err(told)?;
        let call = client.describe_stream_summary().set_stream_name(stream.name()).set_stream_arn(stream.arn());
        match call.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.client.forget();
                Err(told(Failure::of(&shown, &error, outcome::OWN, &*self.clock)))
            }
        }
    }

    async fn close(&self) {
        self.client.forget();
    }
}
