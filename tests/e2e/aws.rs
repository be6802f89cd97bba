//! What the tests of Amazon's services share: events, and both services read back by Amazon's own client for Python.

use flagpost_tests::servers::boto::{Access, bytes};
use flagpost_tests::servers::unique;
use flagpost_tests::{Program, until};
pub(crate) use flagpost_tests::{sorted, tracking};
use serde_json::{Value, json};

/// An event of one user.
pub(crate) fn feature(user: &str, number: u64) -> String {
    let user = Value::from(user);
    format!(
        r#"{{"kind":"feature","contextKind":"user","userKey":{user},"creationDate":1700000000,"key":"k","variation":"on","value":{number},"default":false,"version":"","source":"SERVER"}}"#
    )
}

/// An event of about that many bytes.
pub(crate) fn large(number: u64, bytes: usize) -> String {
    let pad = format!(r#""source":"SERVER","metadata":{{"pad":"{}"}}}}"#, "x".repeat(bytes));
    feature(&format!("large-{number}"), number).replace(r#""source":"SERVER"}"#, &pad)
}

/// The user key of an event.
pub(crate) fn user(event: &str) -> String {
    serde_json::from_str::<Value>(event).unwrap()["userKey"].as_str().unwrap().to_owned()
}

/// The events without those that came more than once, sorted; and how many those were.
pub(crate) fn distinct(events: Vec<String>) -> (Vec<String>, usize) {
    let mut events = sorted(events);
    let all = events.len();
    events.dedup();
    let twice = all - events.len();
    (events, twice)
}

/// Waits until everything was delivered: that many events, none of them dead or given up.
pub(crate) async fn complete(relay: &Program, count: u64) {
    relay.complete("out", count).await;
}

/// Waits until the exporter is in that state and says this.
pub(crate) async fn told(relay: &Program, state: &str, text: &str) -> String {
    relay.told("out", state, text).await
}

/// Waits until something went wrong.
pub(crate) async fn troubled(relay: &Program) -> String {
    told(relay, "retrying", "").await
}

/// The line of the log that names a dead event.
pub(crate) fn death(relay: &Program) -> String {
    let log = relay.log();
    log.lines().find(|line| line.contains("dead letters")).unwrap_or_else(|| panic!("nothing is dead:\n{log}")).to_owned()
}

/// A message of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) body: String,
    /// `MessageAttributes` in Amazon's form.
    pub(crate) attributes: Value,
    /// `MessageGroupId`.
    pub(crate) group: String,
    /// `MessageDeduplicationId`.
    pub(crate) id: String,
}

/// Makes a queue; gives its URL.
pub(crate) async fn queue(access: &Access, fifo: bool) -> String {
    let name = unique("events") + if fifo { ".fifo" } else { "" };
    make_queue(access, &name).await
}

/// Makes a queue of that name.
pub(crate) async fn make_queue(access: &Access, name: &str) -> String {
    let attributes = if name.ends_with(".fifo") { json!({ "FifoQueue": "true" }) } else { json!({}) };
    let made = access.call("sqs", "create_queue", json!({ "QueueName": name, "Attributes": attributes })).await;
    made["QueueUrl"].as_str().unwrap().to_owned()
}

/// Takes all messages out of a queue, in the order in which they come; waits until there are `count`.
pub(crate) async fn messages(access: &Access, queue: &str, count: usize) -> Vec<Message> {
    let mut found = Vec::new();
    until(&format!("{count} messages are in {queue}"), async || {
        let asked = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "AttributeNames": ["All"] });
        let answer = access.call("sqs", "receive_message", asked).await;
        let Some(received) = answer["Messages"].as_array().filter(|received| !received.is_empty()) else {
            return (found.len() >= count).then_some(());
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        found.extend(received.iter().map(|message| Message {
            body: text(&message["Body"]),
            attributes: message["MessageAttributes"].clone(),
            group: text(&message["Attributes"]["MessageGroupId"]),
            id: text(&message["Attributes"]["MessageDeduplicationId"]),
        }));
        let gone = received
            .iter()
            .enumerate()
            .map(|(number, message)| json!({ "Id": number.to_string(), "ReceiptHandle": message["ReceiptHandle"] }));
        let gone = json!({ "QueueUrl": queue, "Entries": gone.collect::<Vec<_>>() });
        access.call("sqs", "delete_message_batch", gone).await;
        None
    })
    .await;
    found
}

/// Their bodies.
pub(crate) fn bodies(messages: Vec<Message>) -> Vec<String> {
    messages.into_iter().map(|message| message.body).collect()
}

/// A record of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) shard: String,
    pub(crate) key: String,
    pub(crate) data: String,
}

/// Makes a stream; gives its name.
pub(crate) async fn stream(access: &Access, shards: u32) -> String {
    let name = unique("events");
    make_stream(access, &name, shards).await;
    name
}

/// Makes a stream of that name and waits until it can be used.
pub(crate) async fn make_stream(access: &Access, name: &str, shards: u32) {
    access.call("kinesis", "create_stream", json!({ "StreamName": name, "ShardCount": shards })).await;
    until("the stream is there", async || {
        let answer = access.call("kinesis", "describe_stream_summary", json!({ "StreamName": name })).await;
        (answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE").then_some(())
    })
    .await;
}

/// All records of a stream, shard by shard in their order; waits until there are `count`.
pub(crate) async fn records(access: &Access, stream: &str, count: usize) -> Vec<Record> {
    until(&format!("{count} records are in {stream}"), async || {
        let mut found = Vec::new();
        let shards = access.call("kinesis", "list_shards", json!({ "StreamName": stream })).await;
        for shard in shards["Shards"].as_array().unwrap() {
            let shard = shard["ShardId"].as_str().unwrap();
            let begin = json!({ "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
            let mut at = access.call("kinesis", "get_shard_iterator", begin).await["ShardIterator"].clone();
            loop {
                let answer = access.call("kinesis", "get_records", json!({ "ShardIterator": at, "Limit": 10_000 })).await;
                let records = answer["Records"].as_array().unwrap();
                if records.is_empty() {
                    break;
                }
                found.extend(records.iter().map(|record| Record {
                    shard: shard.to_owned(),
                    key: record["PartitionKey"].as_str().unwrap().to_owned(),
                    data: String::from_utf8(bytes(&record["Data"])).unwrap(),
                }));
                at = answer["NextShardIterator"].clone();
            }
        }
        (found.len() >= count).then_some(found)
    })
    .await
}

/// Their data.
pub(crate) fn data(records: Vec<Record>) -> Vec<String> {
    records.into_iter().map(|record| record.data).collect()
}
