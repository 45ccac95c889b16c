//! What was asked, and what was charged for: the other half of every promise that nothing is paid twice or lost.

use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::request::Wanted;

/// Everything since the start.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    requests: u64,
    charges: Vec<Charge>,
}

/// One generation that was charged.
#[derive(Clone, Debug)]
pub(super) struct Charge {
    id: String,
    model: String,
    prompt: String,
    user: Option<String>,
    n: u64,
    size: String,
}

impl Charge {
    pub(super) fn of(wanted: &Wanted, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            model: wanted.model.clone(),
            prompt: wanted.prompt.clone(),
            user: wanted.user.clone(),
            n: wanted.n,
            size: wanted.size(),
        }
    }
}

impl Ledger {
    /// A request came, whatever becomes of it.
    pub(super) fn asked(&self) {
        self.book().requests += 1;
    }

    /// It is paid for.
    pub(super) fn charge(&self, charge: Charge) {
        self.book().charges.push(charge);
    }

    /// The whole book.
    pub(super) fn shown(&self) -> Value {
        let book = self.book();
        let charges = book.charges.iter().map(|Charge { id, model, prompt, user, n, size }| {
            json!({ "id": id, "model": model, "prompt": prompt, "user": user, "n": n, "size": size })
        });
        json!({ "requests": book.requests, "charged": charges.collect::<Vec<_>>() })
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
