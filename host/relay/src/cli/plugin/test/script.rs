//! What a plugin's requests are answered with, and what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use flagpost_plugin::{Responder, Unanswered};
use flagpost_settings::{Data, Node, Problems, decode};
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::config;

/// Replies, and the exchanges so far.
#[derive(Debug, Default)]
pub(in crate::cli::plugin) struct Script(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    replies: Vec<Reply>,
    used: Vec<bool>,
    /// A reply that was given is given again when no other fits.
    again: bool,
    new: Vec<Exchange>,
    /// `POST https://in.acme.dev`.
    places: BTreeSet<String>,
}

/// A request and what it was answered.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Request<Bytes>,
    pub(super) reply: Result<Response<Bytes>, Unanswered>,
}

/// One reply of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Reply {
    /// A method and the beginning of a URL, or one of them. Empty: any request.
    #[serde(rename = "match")]
    fits: String,
    /// 200 if it is not there.
    status: Option<u16>,
    headers: BTreeMap<String, String>,
    /// Text as it is, anything else as JSON.
    body: Value,
    /// `timeout` or `connect`: no reply.
    error: Option<String>,
}

impl Script {
    /// Reads a file of replies: a YAML or JSON list.
    pub(super) fn read(path: &Path) -> Result<Script> {
        let tree = config::read_tree(path)?;
        let items: &[Node] = match &tree.data {
            Data::List(items) => items,
            Data::Null => &[],
            _ => bail!("{}: expected a list of replies: - {{ status: 429, headers: {{ retry-after: \"2\" }} }}", path.display()),
        };
        let mut problems = Problems::default();
        let mut replies = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let reply: Reply = decode(item, &format!("[{index}]"), &mut problems);
            if let Err(why) = reply.made() {
                problems.error(format!("[{index}]"), &item.place, why, "correct the reply");
            }
            replies.push(reply);
        }
        match problems.finish() {
            (problems, true) => {
                let lines: Vec<_> = problems.iter().map(|problem| problem.in_file(path).to_string()).collect();
                Err(anyhow!(lines.join("\n")))
            }
            (_, false) => {
                let used = vec![false; replies.len()];
                Ok(Script(Mutex::new(State { replies, used, ..State::default() })))
            }
        }
    }

    /// The same, and when all that fit were given, they begin anew.
    pub(super) fn over_and_over(self) -> Script {
        self.state().again = true;
        self
    }

    /// The exchanges since this was last asked.
    pub(super) fn exchanged(&self) -> Vec<Exchange> {
        std::mem::take(&mut self.state().new)
    }

    /// What nobody asked for.
    pub(super) fn unused(&self) -> Option<String> {
        let state = self.state();
        let unused: Vec<_> = state.used.iter().enumerate().filter(|(_, used)| !**used).map(|(index, _)| format!("[{index}]")).collect();
        (!unused.is_empty()).then(|| format!("no request came for the replies {}", unused.join(", ")))
    }

    /// Where requests went, as `allowedHosts` writes it.
    pub(super) fn grants(&self) -> Option<String> {
        let places: Vec<_> = self.state().places.iter().map(|place| format!("\"{place}\"")).collect();
        (!places.is_empty()).then(|| places.join(", "))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The first unused reply that fits.
    fn next(&self, request: &Request<Bytes>) -> Option<usize> {
        self.replies.iter().zip(&self.used).position(|(reply, used)| !used && reply.fits(request))
    }
}

impl Responder for Script {
    fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Unanswered> {
        let mut state = self.state();
        let place = request.uri().scheme_str().zip(request.uri().authority());
        state.places.extend(place.map(|(scheme, authority)| format!("{} {scheme}://{authority}", request.method())));
        let mut next = state.next(&request);
        if next.is_none() && state.again {
            state.used.fill(false);
            next = state.next(&request);
        }
        let reply = match next {
            Some(index) => {
                state.used[index] = true;
                state.replies[index].made().unwrap_or(Err(Unanswered::Connect))
            }
            None => Ok(Response::new(Bytes::new())),
        };
        state.new.push(Exchange { request, reply: reply.clone() });
        reply
    }
}

impl Reply {
    fn fits(&self, request: &Request<Bytes>) -> bool {
        let url = request.uri().to_string();
        match self.fits.split_once(' ') {
            Some((method, start)) => request.method().as_str().eq_ignore_ascii_case(method) && url.starts_with(start.trim()),
            None if self.fits.contains("://") => url.starts_with(&self.fits),
            None => self.fits.is_empty() || request.method().as_str().eq_ignore_ascii_case(&self.fits),
        }
    }

    /// The reply itself. `Err`: it cannot be one.
    fn made(&self) -> Result<Result<Response<Bytes>, Unanswered>, String> {
        match self.error.as_deref() {
            Some("timeout") => return Ok(Err(Unanswered::Timeout)),
            Some("connect") => return Ok(Err(Unanswered::Connect)),
            Some(other) => return Err(format!("`error: {other}` is not known; expected timeout or connect")),
            None => {}
        }
        let body = match &self.body {
            Value::Null => Bytes::new(),
            Value::String(text) => Bytes::from(text.clone()),
            json => Bytes::from(json.to_string()),
        };
        let status = self.status.unwrap_or(200);
        let status = StatusCode::from_u16(status).map_err(|_| format!("`status: {status}` is none; expected 100 to 999"))?;
        let mut builder = Response::builder().status(status);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(body).map(Ok).map_err(|why| format!("headers: {why}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn script(text: &str) -> Result<Script> {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Script::read(file.path())
    }

    fn ask(script: &Script, method: &str, url: &str) -> Result<u16, Unanswered> {
        let request = Request::builder().method(method).uri(url).body(Bytes::new()).unwrap();
        script.answer(request).map(|reply| reply.status().as_u16())
    }

    #[test]
    fn a_request_takes_the_first_unused_reply_that_fits_it() {
        let script =
            script("- { match: GET, status: 204 }\n- { match: 'POST https://a.dev/x', status: 429 }\n- { error: timeout }\n").unwrap();
        assert_eq!(ask(&script, "POST", "https://a.dev/xyz"), Ok(429));
        assert_eq!(ask(&script, "POST", "https://a.dev/xyz"), Err(Unanswered::Timeout));
        assert_eq!(ask(&script, "POST", "https://b.dev/"), Ok(200), "when none is left");
        assert_eq!(script.unused().unwrap(), "no request came for the replies [0]");
        assert_eq!(ask(&script, "GET", "https://b.dev/"), Ok(204));
        assert_eq!(script.unused(), None);
        assert_eq!(script.exchanged().len(), 4);
        assert_eq!(script.grants().unwrap(), r#""GET https://b.dev", "POST https://a.dev", "POST https://b.dev""#);
    }

    #[test]
    fn replies_may_begin_anew() {
        let script = script("- { match: GET, status: 204 }\n- { match: POST, status: 429 }\n- { match: POST, status: 201 }\n").unwrap();
        let script = script.over_and_over();
        let statuses: Vec<_> = (0..5).map(|_| ask(&script, "POST", "https://a.dev/").unwrap()).collect();
        assert_eq!(statuses, [429, 201, 429, 201, 429]);
        assert_eq!(ask(&script, "PUT", "https://a.dev/"), Ok(200));
    }

    #[test]
    fn mistakes_in_a_script_have_their_line() {
        for (text, expected) in [
            ("status: 200\n", "expected a list of replies"),
            ("- { status: 200 }\n- { statsu: 5 }\n", ":2: "),
            ("- { error: explode }\n", "expected timeout or connect"),
            ("- { status: 9999 }\n", "expected 100 to 999"),
            ("- { headers: { 'a b': c } }\n", "headers: "),
        ] {
            let error = format!("{:#}", script(text).unwrap_err());
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
