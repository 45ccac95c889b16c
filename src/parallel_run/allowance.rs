//! What the parallel runs may take of the processors where the requests have none to spare: a small share of what these
//! take themselves.
//!
//! Threads of the lowest priority still get what is left in every gap, and what they do in the kernel nobody takes from
//! them before it is done: at full load a pair of every request would cost the requests a tenth of their processors. So
//! some pairs go on, which prove as much in a little more time, and the others are skipped.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use crate::schedstat::{Crews, Spent};

/// What a pair takes until it is known.
const PAIR: Duration = Duration::from_micros(100);
/// Pairs that may be saved up while there is a limit.
const BURST: f64 = 50.0;
/// No limit.
const FREE: i64 = i64::MAX;

/// Decides from look to look how many pairs may begin.
#[derive(Debug)]
pub(crate) struct Allowance {
    crews: Crews,
    places: AtomicI64,
    is_overdrawn: AtomicBool,
    begun: AtomicU32,
    account: Mutex<Account>,
}

impl Allowance {
    /// No limit yet. `share` is what the threads on which candidates are called may take, of the workers' time; writing
    /// the evidence takes about as much again.
    pub(crate) fn new(crews: Crews, share: Option<f64>) -> Self {
        let (places, is_overdrawn, begun) = (AtomicI64::new(FREE), AtomicBool::new(false), AtomicU32::new(0));
        let account = Mutex::new(Account { share, ..Account::default() });
        Self { crews, places, is_overdrawn, begun, account }
    }

    /// Another share from the next look on.
    pub(crate) fn configure(&self, share: Option<f64>) {
        self.lock().share = share;
    }

    /// Whether one more pair may begin.
    pub(crate) fn take(&self) -> bool {
        let may = match self.places.load(Ordering::Relaxed) {
            FREE => true,
            // A no writes to no memory that the other workers read.
            ..=0 => false,
            _ => self.places.fetch_sub(1, Ordering::Relaxed) > 0,
        };
        if may {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        may
    }

    /// Whether more was taken than there was: what has begun and can still be left should be.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.is_overdrawn.load(Ordering::Relaxed)
    }

    /// Begins anew: what was seen before says nothing of now.
    pub(crate) fn begin(&self) {
        let mut account = self.lock();
        *account = Account { share: account.share, seen: self.spent(), ..Account::default() };
        self.grant(&account);
    }

    /// Looks at what was spent in the `time` since it looked last.
    pub(crate) fn review(&self, time: Duration) {
        let now = self.spent();
        let begun = self.begun.swap(0, Ordering::Relaxed);
        let mut account = self.lock();
        let (forwarding, own) = (now.0.since(account.seen.0), now.1.since(account.seen.1));
        account.seen = now;
        account.settle(time, forwarding, own, begun);
        self.grant(&account);
    }

    fn grant(&self, account: &Account) {
        self.places.store(account.places(), Ordering::Relaxed);
        self.is_overdrawn.store(account.credit.is_some_and(|credit| credit < 0.0), Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn close(&self) {
        self.places.store(0, Ordering::Relaxed);
    }

    /// A machine that is used up, and stays so for some hundred looks.
    #[cfg(test)]
    pub(crate) fn overdraw(&self) {
        let mut account = self.lock();
        (account.busy, account.hungry) = (f64::MAX, f64::MAX);
        (account.share, account.credit) = (Some(0.0), Some(-1.0));
        self.grant(&account);
    }

    fn spent(&self) -> (Spent, Spent) {
        (self.crews.forwarding.spent(), self.crews.beside.spent())
    }

    fn lock(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was seen, smoothed over a few looks.
#[derive(Debug, Default)]
struct Account {
    /// Of the workers' time, what may be taken; `None` is all that is wanted.
    share: Option<f64>,
    /// By the workers, and by the own threads.
    seen: (Spent, Spent),
    /// The share of their time in which the workers ran.
    busy: f64,
    /// The share of the time in which the own threads wanted to run, and could not.
    hungry: f64,
    /// What a pair takes of a processor, in seconds.
    pair: Option<f64>,
    /// Seconds that may be taken, while there is a limit.
    credit: Option<f64>,
}

impl Account {
    fn settle(&mut self, time: Duration, forwarding: Spent, own: Spent, begun: u32) {
        let (ran, wanted) = (own.ran.as_secs_f64(), (own.ran + own.waited).as_secs_f64());
        let could = time.as_secs_f64() * f64::from(forwarding.threads);
        self.busy = f64::midpoint(self.busy, share(forwarding.ran.as_secs_f64(), could).unwrap_or(0.0));
        // Who hardly wants to run says nothing of how it fares.
        if let Some(hungry) = share(wanted - ran, wanted).filter(|_| wanted > 1e-4) {
            self.hungry = f64::midpoint(self.hungry, hungry);
        }
        if begun > 0 {
            let seen = ran / f64::from(begun);
            self.pair = Some(self.pair.map_or(seen, |pair| f64::midpoint(pair, seen)));
        }
        // What is tight loosens later than it tightens: with few pairs the own threads fare better.
        let (busy, hungry) = if self.credit.is_some() { (0.25, 0.5) } else { (0.33, 0.75) };
        let share = self.share.filter(|_| self.busy > busy && self.hungry > hungry);
        self.credit = share.map(|share| {
            let (earned, burst) = (forwarding.ran.as_secs_f64() * share, BURST * self.a_pair());
            // What was overdrawn is earned first, but not for longer than a moment.
            (self.credit.unwrap_or_default() + earned - ran).clamp(-burst / 5.0, burst)
        });
    }

    fn a_pair(&self) -> f64 {
        self.pair.unwrap_or_else(|| PAIR.as_secs_f64()).max(1e-6)
    }

    /// How many pairs may begin until the next look.
    fn places(&self) -> i64 {
        let Some(credit) = self.credit else { return FREE };
        let pairs = credit / self.a_pair();
        #[expect(clippy::cast_possible_truncation, reason = "a small number; a cast saturates")]
        let pairs = pairs as i64;
        pairs.max(0)
    }
}

fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(20);
    const SHARE: f64 = 0.005;

    fn account(share: Option<f64>) -> Account {
        Account { share, ..Account::default() }
    }

    fn spent(threads: u32, ran_us: u64, waited_us: u64) -> Spent {
        Spent { threads, ran: Duration::from_micros(ran_us), waited: Duration::from_micros(waited_us) }
    }

    /// Looks at so many times, and after each every request that may be a pair is one.
    fn looks(account: &mut Account, number: u32, busy_us: u64, waits: u64, requests: i64) -> Vec<i64> {
        let look = |_| {
            let begun = account.places().min(requests);
            let own_us = u64::try_from(begun).unwrap() * 100;
            account.settle(
                LOOK,
                spent(2, busy_us, 0),
                spent(2, own_us, own_us * waits),
                u32::try_from(begun).unwrap(),
            );
            begun
        };
        (0..number).map(look).collect()
    }

    #[test]
    fn a_machine_with_room_sets_no_limit_however_long_the_own_threads_wait() {
        let mut account = account(Some(SHARE));
        // A quarter of both workers.
        assert_eq!(looks(&mut account, 100, 10_000, 9, 50), [50; 100]);
        // All of both, and nobody waits.
        assert_eq!(looks(&mut account, 100, 40_000, 0, 50), [50; 100]);
    }

    #[test]
    fn a_machine_without_has_a_small_share_taken_and_recovers() {
        let mut account = account(Some(SHARE));
        let first: i64 = looks(&mut account, 20, 36_000, 9, 800).into_iter().sum();
        assert!((1_600..4_000).contains(&first), "it is seen after some looks: {first}");
        assert!(account.credit.is_some());
        let begun: i64 = looks(&mut account, 500, 36_000, 9, 800).into_iter().sum();
        // 100 us a pair, of a two-hundredth of 36 ms a look.
        let allowed = 500 * 36_000 / 200 / 100;
        assert!((allowed / 2..=allowed * 5 / 4).contains(&begun), "{begun} of {allowed}");
        assert!(begun > 0, "some go on");
        looks(&mut account, 20, 4_000, 0, 10);
        assert_eq!(account.places(), FREE);
    }

    #[test]
    fn who_wants_all_pairs_gets_them_wherever_the_time_comes_from() {
        assert_eq!(looks(&mut account(None), 50, 40_000, 9, 800), [800; 50]);
        let nobody = &looks(&mut account(Some(0.0)), 100, 40_000, 9, 800)[90..];
        assert_eq!(nobody, [0; 10], "and of nothing nobody");
    }

    #[test]
    fn what_the_kernel_does_not_tell_sets_no_limit() {
        let allowance = Allowance::new(Crews::default(), Some(SHARE));
        for _ in 0..10 {
            assert!(allowance.take());
            allowance.review(LOOK);
        }
    }
}
