//! What happened, as text that is the same in every run.
//!
//! Secrets are shown by their names. Headers are sorted and JSON is written in one way, so that a plugin in another language that sends the same has the same transcript.

use flagpost_event::EventBatch;
use flagpost_exporter::ExportError;
use http::{HeaderMap, Request, Response};
use serde_json::Value;

use super::script::Exchange;
use super::veil::Veil;

/// What a line with a command begins with; such lines are no part of a golden file.
const COMMAND: &str = "    $ ";

/// Calls, requests, replies, outcomes.
pub(super) struct Transcript {
    veil: Veil,
    text: String,
    calls: u32,
}

impl Transcript {
    /// An empty one that shows nothing of what is behind the veil.
    pub(super) fn new(veil: Veil) -> Transcript {
        Transcript { veil, text: String::new(), calls: 0 }
    }

    /// Adds a call.
    pub(super) fn call(&mut self, batch: &EventBatch, exchanges: &[Exchange], outcome: &Result<(), ExportError>) {
        self.calls += 1;
        let (count, attempt) = (batch.len(), batch.attempt());
        let plural = if count == 1 { "" } else { "s" };
        self.line(&format!("call {}: {count} {} event{plural}, batch {}, attempt {attempt}", self.calls, batch.kind(), batch.id()));
        for exchange in exchanges {
            self.request(&exchange.request);
            match &exchange.reply {
                Ok(reply) => self.reply(reply),
                Err(why) => self.line(&format!("  < {why}")),
            }
        }
        self.line(&format!("  = {}", said(outcome)));
    }

    /// Adds a remark.
    pub(super) fn note(&mut self, text: &str) {
        self.line(&format!("# {text}"));
    }

    /// The text without secrets.
    pub(super) fn hide(&self, text: &str) -> String {
        self.veil.hide(text)
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Without commands.
    pub(super) fn golden(&self) -> String {
        without_commands(&self.text)
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&self.veil.hide(line));
        self.text.push('\n');
    }

    fn request(&mut self, request: &Request<bytes::Bytes>) {
        self.line(&format!("  > {} {}", request.method(), request.uri()));
        self.headers(request.headers());
        self.body(request.body());
        let command = curl(request, &self.veil);
        self.line(&format!("{COMMAND}{command}"));
    }

    fn reply(&mut self, reply: &Response<bytes::Bytes>) {
        self.line(&format!("  < {}", reply.status().as_u16()));
        self.headers(reply.headers());
        self.body(reply.body());
    }

    fn headers(&mut self, headers: &HeaderMap) {
        let mut lines: Vec<_> = headers.iter().map(|(name, value)| format!("    {name}: {}", self.veil.header(value))).collect();
        lines.sort_unstable();
        lines.iter().for_each(|line| self.line(line));
    }

    fn body(&mut self, body: &[u8]) {
        if !body.is_empty() {
            self.veil.hide(&readable(body)).lines().for_each(|line| self.line(&format!("      {line}")));
        }
    }
}

/// The text without the lines that are commands.
pub(super) fn without_commands(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with(COMMAND)).flat_map(|line| [line, "\n"]).collect()
}

/// JSON, or JSON lines, in one way of writing; text as it is; anything else by its size.
fn readable(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return format!("({} bytes that are no text)", body.len()) };
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return format!("{:#}", sorted(value));
    }
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    match lines {
        Ok(lines) => lines.into_iter().map(|line| format!("{}\n", sorted(line))).collect(),
        Err(_) => text.to_owned(),
    }
}

/// The value with its members in the order of their names, whatever order the JSON library keeps.
fn sorted(value: Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        other => other,
    }
}

/// The request as a command.
fn curl(request: &Request<bytes::Bytes>, veil: &Veil) -> String {
    let mut text = format!("curl -sS -i -X {} {}", request.method(), quoted(&veil.hide(&request.uri().to_string())));
    for (name, value) in request.headers() {
        text.push_str(&format!(" -H {}", quoted(&format!("{name}: {}", veil.header(value)))));
    }
    match std::str::from_utf8(request.body()) {
        Ok("") => {}
        Ok(body) => text.push_str(&format!(" --data-raw {}", quoted(&veil.hide(body)))),
        Err(_) => text.push_str(" --data-binary @BODY"),
    }
    text
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('\n', "'$'\\n''"))
}

fn said(outcome: &Result<(), ExportError>) -> String {
    let again =
        |after: &Option<std::time::Duration>| after.map_or_else(String::new, |after| format!(" (not before {} ms)", after.as_millis()));
    match outcome {
        Ok(()) => "ok".to_owned(),
        Err(ExportError::Retryable { reason, after }) => format!("retryable: {reason}{}", again(after)),
        Err(ExportError::Rejected { reason }) => format!("rejected: {reason}"),
        Err(ExportError::Misconfigured { reason }) => format!("misconfigured: {reason}"),
        Err(ExportError::Crashed { reason }) => format!("crashed: {reason}"),
        Err(ExportError::NameTaken { name }) => format!("name taken: {name}"),
        Err(ExportError::Partial { retry, rejected, after }) => {
            let rejected: Vec<_> = rejected.iter().map(|event| format!("{} ({})", event.index, event.reason)).collect();
            format!("partial: again {retry:?}, rejected [{}]{}", rejected.join(", "), again(after))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_request_as_a_command_survives_a_shell() {
        let body = "it's {\"a\": 1}\n$HOME `id`";
        let request = Request::builder()
            .method("POST")
            .uri("https://in.acme.dev/v1?a=b&c=d")
            .header("authorization", "Bearer a'b")
            .body(bytes::Bytes::from(body))
            .unwrap();
        let command = curl(&request, &Veil::default()).replacen("curl", "printf '%s\\n--\\n'", 1);
        let output = std::process::Command::new("bash").arg("-c").arg(command).output().unwrap();
        let words: Vec<String> = String::from_utf8(output.stdout).unwrap().split("\n--\n").map(str::to_owned).collect();
        let expected =
            ["-sS", "-i", "-X", "POST", "https://in.acme.dev/v1?a=b&c=d", "-H", "authorization: Bearer a'b", "--data-raw", body, ""];
        assert_eq!(words, expected);
    }

    #[test]
    fn the_same_json_is_written_in_the_same_way() {
        assert_eq!(readable(br#"{"b":1,"a":{"d":[],"c":null}}"#), readable(b"{ \"a\": {\"c\":null,\"d\":[ ]}, \"b\":1 }"));
        assert_eq!(readable(b"{\"b\":1,\"a\":2}\n{\"c\":3}\n"), "{\"a\":2,\"b\":1}\n{\"c\":3}\n");
        assert_eq!(readable(b"user=anna"), "user=anna");
        assert_eq!(readable(&[0xff, 0]), "(2 bytes that are no text)");
    }
}
