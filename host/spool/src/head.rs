//! Waiting for a stream's head.
//!
//! Many small groups become durable in a second, and who waits for a hundred thousand events has no use for being woken by each of them: waking
//! a sleeping thread costs about as much as taking a request does. So a [`Follower`] says which number it waits for, and sleeps until
//! then.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use tokio::sync::Notify;

/// Waits for one stream's head on behalf of one reader.
#[derive(Debug)]
pub struct Follower(Arc<Waiter>);

#[derive(Debug)]
struct Waiter {
    head: AtomicU64,
    /// Nobody is to be woken before the head is here.
    wanted: AtomicU64,
    reached: Notify,
}

impl Follower {
    /// Returns once the stream's head is `number` or beyond: at once if it is already. Cancel safe.
    pub async fn reached(&self, number: u64) {
        let waiter = &self.0;
        // The other side stores the head, then loads this: one of the two sees the other's.
        waiter.wanted.store(number, Ordering::SeqCst);
        while waiter.head.load(Ordering::SeqCst) < number {
            // One that came before the check has left its permit.
            waiter.reached.notified().await;
        }
    }
}

/// The followers of one stream.
#[derive(Debug)]
pub(crate) struct Followers {
    head: u64,
    waiters: Vec<Weak<Waiter>>,
}

impl Followers {
    pub(crate) fn new(head: u64) -> Followers {
        Followers { head, waiters: Vec::new() }
    }

    pub(crate) fn follow(&mut self) -> Follower {
        self.waiters.retain(|waiter| waiter.strong_count() > 0);
        let waiter = Waiter { head: AtomicU64::new(self.head), wanted: AtomicU64::new(u64::MAX), reached: Notify::new() };
        let waiter = Arc::new(waiter);
        self.waiters.push(Arc::downgrade(&waiter));
        Follower(waiter)
    }

    /// Events below `head` are durable.
    pub(crate) fn moved(&mut self, head: u64) {
        self.head = head;
        for waiter in self.waiters.iter().filter_map(Weak::upgrade) {
            waiter.head.store(head, Ordering::SeqCst);
            if waiter.wanted.load(Ordering::SeqCst) <= head {
                waiter.reached.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Wake, Waker};

    use super::*;

    #[derive(Default)]
    struct Counting(AtomicUsize);

    impl Wake for Counting {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_reader_is_woken_when_its_number_is_there_and_not_before() {
        let woken = Arc::new(Counting::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut followers = Followers::new(1);
        let follower = followers.follow();
        let mut waiting = Box::pin(follower.reached(100));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        for head in 2..100 {
            followers.moved(head);
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        followers.moved(100);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(()));
        drop(waiting);
        assert_eq!(Box::pin(follower.reached(7)).as_mut().poll(&mut context), Poll::Ready(()), "it is there already");
        // One that is not waited for any more wakes nobody, and the next wait is its own.
        followers.moved(101);
        let mut later = Box::pin(follower.reached(200));
        assert_eq!(later.as_mut().poll(&mut context), Poll::Pending);
        followers.moved(199);
        assert_eq!(later.as_mut().poll(&mut context), Poll::Pending);
        followers.moved(200);
        assert_eq!(later.as_mut().poll(&mut context), Poll::Ready(()));
    }

    #[test]
    fn who_follows_no_more_is_forgotten() {
        let mut followers = Followers::new(1);
        drop(followers.follow());
        let _kept = followers.follow();
        assert_eq!(followers.waiters.len(), 1);
    }
}
