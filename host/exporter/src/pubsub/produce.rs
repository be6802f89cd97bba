//! Requests on their way.
//!
//! The service judges a request as a whole: when it will not take one message (a topic with a schema, a limit that was lowered), all are
//! refused. So what was refused together is sent again in halves, in order, down to single messages, and only a message that is refused alone is
//! guilty. That takes about twenty requests for one guilty message in a thousand. A topic that takes none at all would take two thousand for
//! nothing, so the search has an end; what is left then is asked by delivery, which knows how to search a batch that may be all bad.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream;

use crate::google::{Meaning, Verdict};

use super::outcome::Tally;
use super::request::{Lane, Message};

/// Lanes that are sent at the same time: as many as one connection of the library's takes, or fewer.
const LANES: usize = 64;

/// The most requests of one call that are refused.
const MOST_REFUSALS: u32 = 64;

/// Takes requests: the service.
#[async_trait]
pub(super) trait Wire: Sync {
    /// Publishes the messages with one request. All are taken, or none.
    async fn publish(&self, key: &str, messages: Vec<Message>) -> Result<(), Verdict>;
}

/// Sends all lanes.
pub(super) async fn send(wire: &impl Wire, lanes: Vec<Lane>, tally: &mut Tally) {
    let refusals = AtomicU32::new(0);
    let mut sending = stream::iter(lanes.into_iter().map(|lane| send_lane(wire, lane, &refusals))).buffer_unordered(LANES);
    while let Some(sent) = sending.next().await {
        tally.add(sent);
    }
}

/// Sends a lane's requests one after another. Behind one that fails nothing is sent: it would overtake.
async fn send_lane(wire: &impl Wire, lane: Lane, refusals: &AtomicU32) -> Tally {
    let Lane { key, mut requests } = lane;
    let mut tally = Tally::default();
    while let Some(messages) = requests.pop_front() {
        let Err(verdict) = wire.publish(&key, messages.clone()).await else {
            tally.delivered += messages.len();
            continue;
        };
        let refused = verdict.meaning == Meaning::Refused;
        if refused && refusals.fetch_add(1, Ordering::Relaxed) < MOST_REFUSALS {
            let mut first = messages;
            match first.as_slice() {
                [message] => tally.reject(message.index, format!("{} ({} bytes)", verdict.reason, message.data.len())),
                _ => {
                    let second = first.split_off(first.len() / 2);
                    requests.push_front(second);
                    requests.push_front(first);
                }
            }
            continue;
        }
        let left = requests.drain(..).flatten();
        tally.again(messages.into_iter().chain(left).map(|message| message.index), &verdict);
    }
    tally
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::sync::Mutex;

    use bytes::Bytes;

    use super::*;
    use crate::google::Advice;

    /// Refuses requests with certain messages, and fails when it comes to others.
    #[derive(Default)]
    struct Service {
        guilty: HashSet<u32>,
        failing: HashSet<u32>,
        taken: Mutex<Vec<(String, u32)>>,
        requests: AtomicU32,
    }

    #[async_trait]
    impl Wire for Service {
        async fn publish(&self, key: &str, messages: Vec<Message>) -> Result<(), Verdict> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let any = |set: &HashSet<u32>| messages.iter().any(|message| set.contains(&message.index));
            if any(&self.failing) {
                return Err(Verdict { meaning: Meaning::Alarm(Advice::Missing), reason: "gone".to_owned(), after: None });
            }
            if any(&self.guilty) {
                return Err(Verdict { meaning: Meaning::Refused, reason: "bad".to_owned(), after: None });
            }
            self.taken.lock().unwrap().extend(messages.iter().map(|message| (key.to_owned(), message.index)));
            Ok(())
        }
    }

    fn lane(key: &str, requests: &[&[u32]]) -> Lane {
        let message = |index: &u32| Message { index: *index, data: Bytes::from_static(b"{}") };
        Lane { key: key.to_owned(), requests: requests.iter().map(|request| request.iter().map(message).collect()).collect() }
    }

    fn taken(service: &Service, key: &str) -> Vec<u32> {
        service.taken.lock().unwrap().iter().filter(|(of, _)| of == key).map(|(_, index)| *index).collect()
    }

    #[tokio::test]
    async fn the_guilty_are_found_among_a_thousand_and_the_others_keep_their_order() {
        let all: Vec<u32> = (0..1_000).collect();
        let service = Service { guilty: [333, 700].into(), ..Service::default() };
        let mut tally = Tally::default();
        send(&service, vec![lane("", &[&all])], &mut tally).await;
        assert_eq!(tally.rejected.iter().map(|event| event.index).collect::<Vec<_>>(), [333, 700]);
        assert_eq!((tally.delivered, tally.retry.len()), (998, 0));
        assert_eq!(taken(&service, ""), all.into_iter().filter(|index| !service.guilty.contains(index)).collect::<Vec<_>>());
        assert!(service.requests.load(Ordering::Relaxed) < 50);
    }

    #[tokio::test]
    async fn behind_a_failure_nothing_of_its_key_is_sent_and_other_keys_go_on() {
        let service = Service { failing: [2].into(), ..Service::default() };
        let mut tally = Tally::default();
        let lanes = vec![lane("a", &[&[0, 1], &[2, 4], &[6, 7]]), lane("b", &[&[3, 5]])];
        send(&service, lanes, &mut tally).await;
        assert_eq!((taken(&service, "a"), taken(&service, "b")), (vec![0, 1], vec![3, 5]));
        tally.retry.sort_unstable();
        assert_eq!((tally.delivered, tally.retry.as_slice(), tally.spent()), (4, [2, 4, 6, 7].as_slice(), true));
    }

    #[tokio::test]
    async fn a_topic_that_takes_nothing_is_not_asked_two_thousand_times() {
        let all: Vec<u32> = (0..1_000).collect();
        let service = Service { guilty: all.iter().copied().collect(), ..Service::default() };
        let mut tally = Tally::default();
        send(&service, vec![lane("", &[&all])], &mut tally).await;
        assert_eq!(service.requests.load(Ordering::Relaxed), MOST_REFUSALS + 1);
        assert_eq!(tally.delivered, 0);
        assert_eq!(tally.retry.len() + tally.rejected.len(), 1_000, "each is accounted for once");
    }
}
