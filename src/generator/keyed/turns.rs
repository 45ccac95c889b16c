//! Who has a key in hand: of the requests of this process with one key, one goes on and the others wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

use crate::generator::catalog::ClaimKey;

/// The keys that requests of this process have in hand. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<HashMap<ClaimKey, Arc<tokio::sync::Mutex<()>>>>>);

/// A key in hand, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    key: ClaimKey,
    _held: OwnedMutexGuard<()>,
}

impl Turns {
    fn of(&self, key: &ClaimKey) -> Arc<tokio::sync::Mutex<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    pub(super) async fn wait(&self, key: ClaimKey) -> Turn {
        let held = self.of(&key).lock_owned().await;
        Turn { turns: self.clone(), key, _held: held }
    }

    pub(super) fn take(&self, key: ClaimKey) -> Option<Turn> {
        let held = self.of(&key).try_lock_owned().ok()?;
        Some(Turn { turns: self.clone(), key, _held: held })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One is the map's and one is ours: nobody waits.
        if turns.get(&self.key).is_some_and(|turn| Arc::strong_count(turn) <= 2) {
            turns.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use crate::generator::catalog::ClaimKey;

    #[tokio::test]
    async fn a_key_is_in_one_hand_and_forgotten_afterwards() {
        let turns = Turns::default();
        let key = ClaimKey { scope: "images/maria".into(), key: "1".into() };
        let first = turns.take(key.clone()).unwrap();
        assert!(turns.take(key.clone()).is_none());
        let mut second = std::pin::pin!(turns.wait(key.clone()));
        let waker = std::task::Waker::noop();
        assert!(second.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        drop(first);
        drop(second.await);
        assert!(turns.0.lock().unwrap().is_empty());
    }
}
