//! What the admin listener does for an operator, with the hands of those who own it.

use std::{io, sync::Arc};

use jiff::Timestamp;
use tokio::{sync::Notify, task::spawn_blocking};
use uuid::Uuid;

use crate::{
    admin::{Doing, Operate, Wish},
    audit::{self, Line},
    brake::{BrakeError, Lever, Pull, Pulled, Who},
    gateway::Rules,
    generator::Listed,
    reload,
    routing::{
        Brake, Brakes, Hold, Live,
        change::{Change, Changed, Refused},
    },
};

use super::in_force::InForce;

/// The hands.
pub(super) struct Operator {
    pub(super) rules: Arc<Live<Rules>>,
    pub(super) in_force: Arc<InForce>,
    pub(super) lever: Lever,
    pub(super) audit: audit::Log,
    /// Says that a brake was moved.
    pub(super) pulled: Arc<Notify>,
    /// The owner of the file, where there is one.
    pub(super) file: Option<reload::Handle>,
}

impl Operator {
    fn who(&self, name: String) -> Who {
        Who { name, generation: Some(self.rules.load().generation) }
    }

    /// Moves a brake beside the work plane's own threads, and has it in force before it answers.
    fn moved<T: Send + 'static>(
        &self,
        move_it: impl FnOnce(&Lever) -> Result<T, BrakeError> + Send + 'static,
    ) -> Doing<Result<T, BrakeError>> {
        let (lever, in_force, pulled) = (self.lever.clone(), self.in_force.clone(), self.pulled.clone());
        Box::pin(async move {
            let moved = spawn_blocking(move || {
                let moved = move_it(&lever)?;
                // What a fleet does not know yet holds here all the same.
                let held = lever.store().brakes();
                let held = held.or_else(|_| Ok(in_force.brakes().and(&lever.store().held_here()?)));
                in_force.braked(held?);
                Ok(moved)
            });
            let moved = moved.await.unwrap_or_else(|error| Err(BrakeError::Failed(error.to_string())));
            pulled.notify_one();
            moved
        })
    }
}

impl Operate for Operator {
    fn brakes(&self) -> Brakes {
        self.in_force.brakes()
    }

    fn knows(&self, route: &str) -> bool {
        self.rules.load().table.routes().iter().any(|known| *known.name == *route)
    }

    fn pull(&self, wish: Wish, at: Hold) -> Doing<Result<Vec<Pulled>, BrakeError>> {
        let who = self.who(wish.by);
        self.moved(move |lever| lever.pull(&Pull { routes: &[&wish.route], at, reason: &wish.reason }, &who))
    }

    fn release(&self, wish: Wish) -> Doing<Result<Option<Brake>, BrakeError>> {
        let who = self.who(wish.by);
        self.moved(move |lever| lever.release(&wish.route, &wish.reason, &who))
    }

    fn change(&self, change: Change) -> Doing<Result<Changed, Refused>> {
        let file = self.file.clone();
        Box::pin(async move {
            match file {
                Some(file) => file.change(change).await,
                None => Err(Refused::Closed("they come from its command line")),
            }
        })
    }

    fn audit(&self, after: Option<Timestamp>, most: usize) -> Doing<io::Result<Vec<Line>>> {
        let audit = self.audit.clone();
        let read = move || after.map_or_else(|| audit.last(most), |after| audit.since(after, most));
        Box::pin(async move { spawn_blocking(read).await? })
    }

    fn jobs(&self, before: Option<Uuid>, most: usize) -> Doing<Result<Vec<Listed>, String>> {
        let generator = self.rules.load().generator.clone();
        Box::pin(async move { generator.listed(before, most).await })
    }
}
