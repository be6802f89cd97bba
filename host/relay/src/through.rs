//! Work that is done to its end although who asked for it has gone: a client that hangs up while its events are being synced cancels its request, and the
//! events are in the log all the same; they must be counted. An admin who hangs up has changed bookkeeping that workers must be told of.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A future that goes on by itself when it is dropped after it has begun.
pub(crate) struct Through<T: Send + 'static> {
    work: Option<BoxFuture<'static, T>>,
    begun: bool,
}

impl<T: Send + 'static> Through<T> {
    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Through { work: Some(work.boxed()), begun: false }
    }
}

impl<T: Send + 'static> Future for Through<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        self.begun = true;
        let Some(work) = &mut self.work else { return Poll::Pending };
        let polled = work.poll_unpin(context);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Through<T> {
    fn drop(&mut self) {
        if let (true, Some(work), Ok(runtime)) = (self.begun, self.work.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_has_begun_ends_though_nobody_waits_and_what_has_not_never_begins() {
        let (go, gone) = oneshot::channel::<()>();
        let (done, end) = oneshot::channel::<u8>();
        let mut through = Through::new(async move {
            let waited = gone.await;
            done.send(u8::from(waited.is_ok()))
        });
        assert!(futures_util::poll!(&mut through).is_pending());
        drop(through);
        go.send(()).expect("somebody waits");
        assert_eq!(end.await, Ok(1));

        let (done, end) = oneshot::channel::<u8>();
        drop(Through::new(async move { done.send(1) }));
        end.await.expect_err("it never began");
    }

    #[tokio::test]
    async fn what_is_waited_for_gives_its_result() {
        assert_eq!(Through::new(async { 7 }).await, 7);
    }
}
