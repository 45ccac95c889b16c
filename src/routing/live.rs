//! The current snapshot of anything that is hot-reloaded: read once a request, replaced whole.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// A named handle on an immutable snapshot.
#[derive(Debug)]
pub struct Live<T>(ArcSwap<T>);

impl<T> Live<T> {
    /// Starts with `snapshot`.
    pub fn new(snapshot: T) -> Self {
        Self(ArcSwap::from_pointee(snapshot))
    }

    /// The snapshot in force; cheap, and consistent for as long as it is held.
    pub fn load(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// The snapshot in force, to be kept beyond a request.
    pub fn load_full(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts `snapshot` in force and returns the one before.
    pub fn replace(&self, snapshot: T) -> Arc<T> {
        self.0.swap(Arc::new(snapshot))
    }
}
