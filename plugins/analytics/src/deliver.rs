//! A batch in requests within a service's limits, and one outcome out of their answers.

use std::collections::VecDeque;

use flagpost_sdk::{ExportError, PartialFailure, RejectedEvent, RetryLater, misconfigured, rejected};

use crate::Answer;

/// One event as the service takes it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place in the batch.
    pub index: usize,
    /// Whose it is, as the service knows them.
    pub who: String,
    /// Its JSON.
    pub json: String,
}

/// What a service takes in one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Events.
    pub events: usize,
    /// Bytes of the body, its envelope included.
    pub bytes: usize,
    /// Bytes of what is around the events.
    pub envelope: usize,
}

/// Sends the rows and says what became of the batch. `row` makes an event's row, or says why the service would never take it; `send` sends one
/// request with these rows and reads its answer, its error ends the call: it is the outcome of a request whose end nobody knows.
pub fn deliver<E>(
    events: &[E],
    limits: Limits,
    mut row: impl FnMut(usize, &E) -> Result<Row, String>,
    mut send: impl FnMut(&[Row]) -> Result<Answer, ExportError>,
) -> Result<(), ExportError> {
    let mut sum = Sum::default();
    let mut rows = Vec::with_capacity(events.len());
    for (index, event) in events.iter().enumerate() {
        match row(index, event) {
            Ok(row) => rows.push(row),
            Err(why) => sum.reject(index, why),
        }
    }
    let mut waiting = cut(rows, limits);
    while let Some(rows) = waiting.pop_front() {
        match send(&rows)? {
            Answer::Taken(named) => named.into_iter().for_each(|(at, why)| sum.reject(rows[at].index, why)),
            Answer::Without { rejected, throttled, after_ms } => {
                let rest: Vec<Row> = rows
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| !throttled.contains(at) && !rejected.iter().any(|(named, _)| named == at))
                    .map(|(_, row)| row.clone())
                    .collect();
                if rest.len() == rows.len() {
                    sum.refuse(&rows, "refused without a reason".to_owned());
                    continue;
                }
                sum.after_ms = sum.after_ms.max(after_ms);
                sum.retry.extend(throttled.iter().map(|&at| rows[at].index));
                rejected.into_iter().for_each(|(at, why)| sum.reject(rows[at].index, why));
                if !rest.is_empty() {
                    waiting.push_front(rest);
                }
            }
            Answer::TooLarge(why) if rows.len() == 1 => sum.reject(rows[0].index, why),
            Answer::TooLarge(_) => {
                let (first, second) = rows.split_at(rows.len() / 2);
                waiting.push_front(second.to_vec());
                waiting.push_front(first.to_vec());
            }
            Answer::Refused(why) => sum.refuse(&rows, why),
            Answer::Later { reason, after_ms } => {
                sum.later(reason, after_ms);
                sum.retry.extend(rows.iter().map(|row| row.index));
                sum.retry.extend(waiting.drain(..).flatten().map(|row| row.index));
            }
            // What was taken before comes again under the same ids; a part of the batch would not.
            Answer::Unknown { reason, after_ms } => return Err(ExportError::Retryable(RetryLater { reason, after_ms })),
            Answer::Misconfigured(what) => return Err(misconfigured(what)),
        }
    }
    sum.outcome(events.len())
}

/// Rows in order, as many in a request as its limits allow. One that is too large alone comes alone: the service says what it makes of it.
fn cut(rows: Vec<Row>, limits: Limits) -> VecDeque<Vec<Row>> {
    let mut requests = VecDeque::new();
    let mut request: Vec<Row> = Vec::new();
    let mut bytes = limits.envelope;
    for row in rows {
        // A comma each.
        let size = row.json.len() + 1;
        if !request.is_empty() && (request.len() >= limits.events || bytes + size > limits.bytes) {
            requests.push_back(std::mem::take(&mut request));
            bytes = limits.envelope;
        }
        bytes += size;
        request.push(row);
    }
    if !request.is_empty() {
        requests.push_back(request);
    }
    requests
}

/// A request's body: the rows with commas between them.
pub fn body(head: &str, rows: &[Row], tail: &str) -> String {
    let mut body = String::with_capacity(head.len() + tail.len() + rows.iter().map(|row| row.json.len() + 1).sum::<usize>());
    body.push_str(head);
    for (at, row) in rows.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(&row.json);
    }
    body.push_str(tail);
    body
}

/// What became of the events so far.
#[derive(Default)]
struct Sum {
    rejected: Vec<RejectedEvent>,
    retry: Vec<usize>,
    refused: Option<String>,
    later: Option<String>,
    after_ms: Option<u32>,
}

impl Sum {
    fn reject(&mut self, index: usize, reason: String) {
        self.rejected.push(RejectedEvent { index: place(index), reason });
    }

    /// Comes again: alone, if another part of the batch was taken. Then the host gets the verdict that it searches by.
    fn refuse(&mut self, rows: &[Row], why: String) {
        self.refused = Some(why);
        self.retry.extend(rows.iter().map(|row| row.index));
    }

    fn later(&mut self, reason: String, after_ms: Option<u32>) {
        self.later = Some(reason);
        self.after_ms = self.after_ms.max(after_ms);
    }

    fn outcome(mut self, events: usize) -> Result<(), ExportError> {
        if self.retry.len() == events {
            // The same set under the same id.
            return Err(match (self.later, self.refused) {
                (None, Some(why)) => rejected(why),
                (later, _) => {
                    let reason = later.unwrap_or_else(|| "all of these events are throttled".to_owned());
                    ExportError::Retryable(RetryLater { reason, after_ms: self.after_ms })
                }
            });
        }
        if self.retry.is_empty() && self.rejected.is_empty() {
            return Ok(());
        }
        self.retry.sort_unstable();
        let retry = self.retry.into_iter().map(place).collect();
        Err(ExportError::Partial(PartialFailure { retry, rejected: self.rejected, after_ms: self.after_ms }))
    }
}

/// A call has at most some thousand events.
fn place(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use flagpost_sdk::{ExportError, retryable};

    use super::{Answer, Limits, Row, deliver};

    /// The sizes of the requests that were sent, and the outcome: `ok`, or its name with what it names.
    fn run(events: usize, limits: Limits, answers: Vec<Answer>) -> (Vec<Vec<usize>>, String) {
        let events: Vec<usize> = (0..events).collect();
        let mut answers = VecDeque::from(answers);
        let mut sent = Vec::new();
        let row = |index: usize, event: &usize| match event {
            7 => Err("seven".to_owned()),
            _ => Ok(Row { index, who: "u".to_owned(), json: "x".repeat(9) }),
        };
        let outcome = deliver(&events, limits, row, |rows| {
            sent.push(rows.iter().map(|row| row.index).collect());
            match answers.pop_front() {
                Some(Answer::Refused(why)) if why == "cut" => Err(retryable("no answer")),
                other => Ok(other.unwrap_or(Answer::Taken(Vec::new()))),
            }
        });
        let outcome = match outcome {
            Ok(()) => "ok".to_owned(),
            Err(ExportError::Retryable(later)) => format!("retryable {} {:?}", later.reason, later.after_ms),
            Err(ExportError::Rejected(why)) => format!("rejected {why}"),
            Err(ExportError::Misconfigured(what)) => format!("misconfigured {what}"),
            Err(ExportError::Partial(part)) => {
                let named: Vec<_> = part.rejected.iter().map(|event| format!("{} {}", event.index, event.reason)).collect();
                format!("partial {:?} {named:?} {:?}", part.retry, part.after_ms)
            }
        };
        (sent, outcome)
    }

    const WIDE: Limits = Limits { events: 100, bytes: 10_000, envelope: 2 };

    fn named(at: usize) -> Vec<(usize, String)> {
        vec![(at, "bad".to_owned())]
    }

    #[test]
    fn requests_hold_what_the_limits_allow() {
        for (limits, sent) in [
            (WIDE, vec![vec![0, 1, 2, 3, 4]]),
            (Limits { events: 2, ..WIDE }, vec![vec![0, 1], vec![2, 3], vec![4]]),
            (Limits { bytes: 32, ..WIDE }, vec![vec![0, 1, 2], vec![3, 4]]),
            (Limits { bytes: 31, ..WIDE }, vec![vec![0, 1], vec![2, 3], vec![4]]),
            (Limits { bytes: 1, ..WIDE }, vec![vec![0], vec![1], vec![2], vec![3], vec![4]]),
        ] {
            assert_eq!(run(5, limits, Vec::new()), (sent, "ok".to_owned()), "{limits:?}");
        }
    }

    #[test]
    fn answers_become_one_outcome() {
        let pairs = Limits { events: 2, ..WIDE };
        let later = || Answer::Later { reason: "slow down".to_owned(), after_ms: Some(5) };
        let refused = || Answer::Refused("no".to_owned());
        let without = |rejected, throttled| Answer::Without { rejected, throttled, after_ms: Some(9) };
        let taken = || Answer::Taken(Vec::new());
        for (events, answers, requests, outcome) in [
            (4, vec![taken(), Answer::Taken(named(1))], 2, r#"partial [] ["3 bad"] None"#),
            // What is known not to be there is a part.
            (4, vec![taken(), later()], 2, "partial [2, 3] [] Some(5)"),
            (4, vec![later()], 1, "retryable slow down Some(5)"),
            // What nobody knows comes again as it was, whatever was taken before.
            (4, vec![taken(), Answer::Refused("cut".to_owned())], 2, "retryable no answer None"),
            (4, vec![taken(), Answer::Unknown { reason: "HTTP 503".to_owned(), after_ms: Some(1) }], 2, "retryable HTTP 503 Some(1)"),
            // Who is guilty is the host's to find, in a batch that holds nothing else.
            (4, vec![refused(), refused()], 2, "rejected no"),
            (4, vec![refused(), taken()], 2, "partial [0, 1] [] None"),
            (4, vec![refused(), later()], 2, "retryable slow down Some(5)"),
            // The others come at once, without those that are named.
            (2, vec![without(named(0), vec![]), taken()], 2, r#"partial [] ["0 bad"] Some(9)"#),
            (2, vec![without(vec![], vec![1]), taken()], 2, "partial [1] [] Some(9)"),
            (2, vec![without(vec![], vec![0, 1])], 1, "retryable all of these events are throttled Some(9)"),
            (2, vec![without(vec![], vec![])], 1, "rejected refused without a reason"),
            (2, vec![Answer::TooLarge("413".to_owned())], 3, "ok"),
            (1, vec![Answer::TooLarge("413".to_owned())], 1, r#"partial [] ["0 413"] None"#),
            (4, vec![taken(), Answer::Misconfigured("key".to_owned())], 2, "misconfigured key"),
            (8, vec![], 4, r#"partial [] ["7 seven"] None"#),
            (8, vec![taken(), taken(), taken(), later()], 4, r#"partial [6] ["7 seven"] Some(5)"#),
        ] {
            let (sent, found) = run(events, pairs, answers.clone());
            assert_eq!((sent.len(), found.as_str()), (requests, outcome), "{events} {answers:?}");
        }
    }
}
