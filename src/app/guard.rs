//! Holds the live figures of every route whose candidate answers users against its guard, about once a second.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};

use crate::{
    brake::{
        Lever, Pull, Who,
        guard::{Trip, Window, judge},
    },
    gateway::Rules,
    routing::{Hold, Live, Mode},
    shutdown::Shutdown,
};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// The windows of the routes that are guarded now.
type Windows = HashMap<Arc<str>, Window>;

/// Watches until `shutdown`, and says `pulled` when it has pulled a brake.
pub(super) async fn watch(rules: Arc<Live<Rules>>, lever: Lever, pulled: Arc<Notify>, shutdown: Shutdown) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut windows = Windows::new();
    loop {
        tokio::select! {
            () = shutdown.draining() => return,
            _ = looks.tick() => {}
        }
        let rules = rules.load_full();
        for (route, trip) in look(&rules, &mut windows, Instant::now()) {
            let (lever, pulled, generation) = (lever.clone(), pulled.clone(), rules.generation);
            let pull = move || {
                let reason = trip.to_string();
                let pull = Pull { routes: &[&route], at: Hold::Shadow, reason: &reason };
                let who = Who { name: "the guard".to_owned(), generation: Some(generation) };
                match lever.pull(&pull, &who) {
                    Ok(pulled) => {
                        tracing::error!(route = &*route, reason, "the guard pulled the brake");
                        super::brakes::held_here_only(&route, &pulled);
                    }
                    // It trips again at the next look, as long as it is not held.
                    Err(error) => {
                        tracing::error!(route = &*route, reason, %error, "the guard cannot pull the brake");
                    }
                }
                pulled.notify_one();
            };
            if let Err(error) = spawn_blocking(pull).await {
                tracing::error!(%error, "the guard failed");
            }
        }
    }
}

/// The routes whose figures pass a limit. A window begins when its route begins to be answered by the candidate.
fn look(rules: &Rules, windows: &mut Windows, now: Instant) -> Vec<(Arc<str>, Trip)> {
    let mut guarded = Windows::new();
    let mut tripped = Vec::new();
    for (route, arms) in rules.table.routes().iter().zip(&rules.arms) {
        if !matches!(route.effective_mode(), Mode::Canary | Mode::Migrated) {
            continue;
        }
        let figures = arms.counters.figures();
        let mut window = windows.remove(&route.name).unwrap_or_else(|| Window::new(now, figures.clone()));
        let within = window.advance(now, &figures, arms.guard.window);
        tripped.extend(judge(&arms.guard, &within).map(|trip| (route.name.clone(), trip)));
        guarded.insert(route.name.clone(), window);
    }
    *windows = guarded;
    tripped
}
