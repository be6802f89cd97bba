//! Which requests, how often, and what happens to them.

use std::fmt;
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use tokio::sync::watch;

use super::Seen;
use crate::PATIENCE;

type Test = Arc<dyn Fn(&Seen) -> bool + Send + Sync>;
type Change = Arc<dyn Fn(Value) -> Value + Send + Sync>;

/// What is done with a request.
#[derive(Clone)]
pub(super) enum Action {
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    Hang,
    Reset,
    ResetAfter,
    Cut,
    Hold(Gate),
    Rewrite { request: Option<Change>, answer: Option<Change> },
}

/// Requests, and what happens to them: once, unless [`Rule::times`] or [`Rule::always`] say otherwise.
#[derive(Clone)]
pub struct Rule {
    tests: Vec<Test>,
    left: usize,
    action: Option<Action>,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("left", &self.left).finish_non_exhaustive()
    }
}

/// Rules do nothing until an action is chosen: [`Rule::answer`] and those below it.
impl Rule {
    /// All requests.
    pub fn any() -> Rule {
        Rule { tests: Vec::new(), left: 1, action: None }
    }

    /// Of these the ones for which `test` holds.
    #[must_use]
    pub fn when(mut self, test: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Rule {
        self.tests.push(Arc::new(test));
        self
    }

    /// Of these the ones with that method.
    #[must_use]
    pub fn method(self, method: Method) -> Rule {
        self.when(move |seen| seen.method == method)
    }

    /// Of these the ones whose path and query hold `text`.
    #[must_use]
    pub fn path(self, text: &str) -> Rule {
        let text = text.to_owned();
        self.when(move |seen| seen.path.contains(&text))
    }

    /// Of these the ones whose header holds `text`.
    #[must_use]
    pub fn header(self, name: &str, text: &str) -> Rule {
        let (name, text) = (name.to_owned(), text.to_owned());
        self.when(move |seen| seen.header(&name).contains(&text))
    }

    /// Of these the ones whose body holds `text`.
    #[must_use]
    pub fn body(self, text: &str) -> Rule {
        let text = text.to_owned();
        self.when(move |seen| seen.body.windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// That many requests.
    #[must_use]
    pub fn times(mut self, times: usize) -> Rule {
        self.left = times;
        self
    }

    /// All of them from now on.
    #[must_use]
    pub fn always(self) -> Rule {
        self.times(usize::MAX)
    }

    fn does(mut self, action: Action) -> Rule {
        self.action = Some(action);
        self
    }

    /// Answered with this; the server does not get it.
    #[must_use]
    pub fn answer(self, status: u16, body: impl Into<String>) -> Rule {
        self.answer_with(status, &[], body)
    }

    /// Answered with this; the server does not get it.
    #[must_use]
    pub fn answer_with(self, status: u16, headers: &[(&'static str, &str)], body: impl Into<String>) -> Rule {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.does(Action::Answer { status, headers, body: body.into() })
    }

    /// Never answered; the server does not get it.
    #[must_use]
    pub fn hang(self) -> Rule {
        self.does(Action::Hang)
    }

    /// The connection is reset; the server does not get it.
    #[must_use]
    pub fn reset(self) -> Rule {
        self.does(Action::Reset)
    }

    /// The server gets it, and the connection is reset instead of its answer.
    #[must_use]
    pub fn reset_after(self) -> Rule {
        self.does(Action::ResetAfter)
    }

    /// The server gets it; half of its answer arrives, then the connection ends.
    #[must_use]
    pub fn cut(self) -> Rule {
        self.does(Action::Cut)
    }

    /// The server gets it; its answer, which is JSON, arrives changed.
    #[must_use]
    pub fn rewrite(self, answer: impl Fn(Value) -> Value + Send + Sync + 'static) -> Rule {
        self.does(Action::Rewrite { request: None, answer: Some(Arc::new(answer)) })
    }

    /// The server gets another request (no signature fits it then), and its answer arrives changed; both are JSON.
    #[must_use]
    pub fn rewrite_both(
        self,
        request: impl Fn(Value) -> Value + Send + Sync + 'static,
        answer: impl Fn(Value) -> Value + Send + Sync + 'static,
    ) -> Rule {
        self.does(Action::Rewrite { request: Some(Arc::new(request)), answer: Some(Arc::new(answer)) })
    }

    pub(super) fn held_at(self, gate: Gate) -> Rule {
        self.does(Action::Hold(gate))
    }

    /// Whether it is about this request.
    pub fn matches(&self, seen: &Seen) -> bool {
        self.tests.iter().all(|test| test(seen))
    }
}

/// What the first rule that matches does; it is used up by that.
pub(super) fn take(rules: &mut Vec<Rule>, seen: &Seen) -> Option<Action> {
    let index = rules.iter().position(|rule| rule.matches(seen))?;
    let rule = &mut rules[index];
    let action = rule.action.clone();
    rule.left = rule.left.saturating_sub(usize::from(rule.left != usize::MAX));
    if rule.left == 0 {
        rules.remove(index);
    }
    action
}

/// Where an answer waits.
#[derive(Clone, Debug)]
pub struct Gate {
    reached: Arc<watch::Sender<bool>>,
    open: Arc<watch::Sender<bool>>,
}

impl Default for Gate {
    fn default() -> Self {
        let closed = || Arc::new(watch::Sender::new(false));
        Gate { reached: closed(), open: closed() }
    }
}

impl Gate {
    /// Waits until an answer is held.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, reached.wait_for(|reached| *reached));
        assert!(waiting.await.is_ok(), "no request came that was to be held");
    }

    /// Lets it go.
    pub fn release(&self) {
        self.open.send_replace(true);
    }

    pub(super) async fn wait(&self) {
        self.reached.send_replace(true);
        let mut open = self.open.subscribe();
        // The sender is in `self`.
        let _open = open.wait_for(|open| *open).await;
    }
}
