//! A client that is made when it is needed, and made anew after it was thrown away.

use std::sync::{Arc, Mutex, PoisonError};

/// At most one client.
#[derive(Debug)]
pub(crate) struct Lazy<C>(Mutex<Option<Arc<C>>>);

impl<C> Default for Lazy<C> {
    fn default() -> Self {
        Lazy(Mutex::new(None))
    }
}

impl<C> Lazy<C> {
    /// The client, or the one that `make` makes. Of two that are made at the same time the first stays.
    pub(crate) async fn get<E>(&self, make: impl Future<Output = Result<C, E>>) -> Result<Arc<C>, E> {
        if let Some(client) = self.known().as_ref() {
            return Ok(Arc::clone(client));
        }
        let made = make.await?;
        Ok(Arc::clone(self.known().get_or_insert_with(|| Arc::new(made))))
    }

    /// Throws `client` away, unless somebody has already put another in its place.
    pub(crate) fn forget(&self, client: &Arc<C>) {
        let mut known = self.known();
        if known.as_ref().is_some_and(|known| Arc::ptr_eq(known, client)) {
            *known = None;
        }
    }

    /// Throws away whatever there is.
    pub(crate) fn clear(&self) {
        *self.known() = None;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Arc<C>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_client_is_made_once_and_again_after_it_was_forgotten() {
        let lazy = Lazy::default();
        let make = |number: u32| async move { if number == 0 { Err("no") } else { Ok(number) } };
        assert_eq!(lazy.get(make(0)).await, Err("no"));
        let first = lazy.get(make(1)).await.unwrap();
        assert_eq!(*lazy.get(make(2)).await.unwrap(), 1);
        lazy.forget(&first);
        let second = lazy.get(make(3)).await.unwrap();
        assert_eq!(*second, 3);
        lazy.forget(&first);
        assert_eq!(*lazy.get(make(4)).await.unwrap(), 3, "the other one stays");
        lazy.clear();
        assert_eq!(*lazy.get(make(5)).await.unwrap(), 5);
    }
}
