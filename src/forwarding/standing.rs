//! Whether an address is to be asked: what errors, answers, checks and time make of it. A pure machine; time comes in.
//!
//! Active checks say up or down. Ejection looks at what exchanges met: after so many errors in a row the address rests,
//! then single requests probe it, and its first answer brings it back with a share that rises. An error is what leaves
//! a request without an answer; a slow answer is one, and so is a 500.

use std::time::{Duration, Instant};

use super::health;

/// While an address rests no longer and has not answered yet, one request this often finds out.
const PROBE: Duration = Duration::from_secs(1);
/// The least share of one that comes back.
const LEAST: f64 = 0.1;
/// For so long after an error, other addresses are asked first.
const GRUDGE: Duration = Duration::from_secs(10);

/// `eject`: when requests stop being sent where they get no answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eject {
    /// Exchanges in a row without an answer.
    pub consecutive_errors: u32,
    /// How long it rests, and how long its share rises afterwards.
    pub rest: Duration,
}

/// What is true of an address now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is asked.
    Up,
    /// Its checks fail.
    Down,
    /// It rests after too many errors.
    Ejected,
    /// It has rested, and single requests find out whether it answers.
    Probing,
    /// It answers again and gets a rising share.
    Returning,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Up, Self::Down, Self::Ejected, Self::Probing, Self::Returning];

    /// As metrics and the log say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Probing => "probing",
            Self::Returning => "returning",
        }
    }
}

/// Whether a request may go there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Yes,
    /// It comes back, and this is beyond its share: where nobody else may be asked.
    LastResort,
    /// Not before this time has passed.
    No(Duration),
}

/// How it is by its errors.
#[derive(Clone, Copy, Debug)]
enum Trust {
    Full,
    Ejected { until: Instant },
    Probing { next: Instant },
    Returning { since: Instant, credit: f64 },
}

/// The last error, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: Instant,
    /// What.
    pub error: Box<str>,
}

/// One address in the eyes of one gateway.
#[derive(Debug)]
pub(super) struct Standing {
    eject: Option<Eject>,
    checks: Option<(u32, u32, Duration)>,
    trust: Trust,
    /// Errors in a row.
    streak: u32,
    up: bool,
    /// Checks in a row that say otherwise.
    contrary: u32,
    since: Instant,
    trouble: Option<Trouble>,
    /// Others were asked in its place, because it failed or was late to connect.
    avoided: Option<Instant>,
}

impl Standing {
    pub(super) fn new(eject: Option<Eject>, checks: Option<&health::Settings>, now: Instant) -> Self {
        Self {
            eject,
            checks: checks.map(|checks| (checks.fall, checks.rise, checks.every)),
            trust: Trust::Full,
            streak: 0,
            up: true,
            contrary: 0,
            since: now,
            trouble: None,
            avoided: None,
        }
    }

    pub(super) fn state(&self) -> State {
        match self.trust {
            _ if !self.up => State::Down,
            Trust::Full => State::Up,
            Trust::Ejected { .. } => State::Ejected,
            Trust::Probing { .. } => State::Probing,
            Trust::Returning { .. } => State::Returning,
        }
    }

    /// When its state began.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether it had trouble of late, so that others are better asked first.
    pub(super) fn is_avoided(&self, now: Instant) -> bool {
        self.avoided.is_some_and(|at| now.saturating_duration_since(at) < GRUDGE)
    }

    /// Whether anything is to be forgotten once it answers.
    pub(super) fn is_troubled(&self) -> bool {
        self.streak > 0 || self.avoided.is_some()
    }

    /// Asks to send one request there.
    pub(super) fn admit(&mut self, now: Instant) -> Admission {
        if !self.up {
            let (_, rise, every) = self.checks.unwrap_or_default();
            return Admission::No(every.saturating_mul(rise));
        }
        let rest = self.rest();
        match &mut self.trust {
            Trust::Full => Admission::Yes,
            Trust::Ejected { until } if now < *until => Admission::No(*until - now),
            Trust::Ejected { .. } => {
                self.turn(Trust::Probing { next: now + PROBE }, now);
                Admission::Yes
            }
            Trust::Probing { next } if now < *next => Admission::No(*next - now),
            Trust::Probing { next } => {
                *next = now + PROBE;
                Admission::Yes
            }
            Trust::Returning { since, credit } => {
                let share = now.saturating_duration_since(*since).as_secs_f64() / rest.as_secs_f64();
                if share >= 1.0 {
                    self.turn(Trust::Full, now);
                    return Admission::Yes;
                }
                *credit += share.max(LEAST);
                if *credit < 1.0 {
                    return Admission::LastResort;
                }
                *credit -= 1.0;
                Admission::Yes
            }
        }
    }

    /// The head of an answer came from there.
    pub(super) fn answered(&mut self, now: Instant) {
        (self.streak, self.avoided) = (0, None);
        // Also before it has rested: who answers is alive, however slow.
        if let Trust::Ejected { .. } | Trust::Probing { .. } = self.trust {
            self.come_back(now);
        }
    }

    /// A request got no answer from there, or no connection.
    pub(super) fn failed(&mut self, error: Box<str>, now: Instant) {
        self.streak = self.streak.saturating_add(1);
        (self.avoided, self.trouble) = (Some(now), Some(Trouble { at: now, error }));
        let Some(Eject { consecutive_errors, rest }) = self.eject else { return };
        match self.trust {
            Trust::Full | Trust::Returning { .. } if self.streak < consecutive_errors => {}
            // What was under way when it was ejected says nothing new.
            Trust::Ejected { .. } => {}
            Trust::Full | Trust::Returning { .. } | Trust::Probing { .. } => {
                self.turn(Trust::Ejected { until: now + rest }, now);
            }
        }
    }

    /// Another address was quicker to connect.
    pub(super) fn passed_over(&mut self, now: Instant) {
        self.avoided = Some(now);
    }

    /// A check passed, or says why it did not.
    pub(super) fn checked(&mut self, outcome: Result<(), Box<str>>, now: Instant) {
        let Some((fall, rise, _)) = self.checks else { return };
        let says_up = outcome.is_ok();
        if let Err(error) = outcome {
            self.trouble = Some(Trouble { at: now, error });
        }
        if says_up == self.up {
            self.contrary = 0;
        } else {
            self.contrary += 1;
            if self.contrary >= if self.up { fall } else { rise } {
                (self.up, self.contrary, self.since) = (says_up, 0, now);
            }
        }
        let rested = match self.trust {
            Trust::Ejected { until } => now >= until,
            Trust::Probing { .. } => true,
            Trust::Full | Trust::Returning { .. } => false,
        };
        if says_up && self.up && rested {
            self.come_back(now);
        }
    }

    fn come_back(&mut self, now: Instant) {
        self.streak = 0;
        self.turn(Trust::Returning { since: now, credit: 1.0 }, now);
    }

    fn turn(&mut self, trust: Trust, now: Instant) {
        let rests = |trust| matches!(trust, Trust::Ejected { .. } | Trust::Probing { .. });
        if !(rests(self.trust) && rests(trust)) {
            self.since = now;
        }
        self.trust = trust;
    }

    fn rest(&self) -> Duration {
        self.eject.map_or(Duration::ZERO, |eject| eject.rest)
    }
}

#[cfg(test)]
mod tests;
