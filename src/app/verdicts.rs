//! Follows the verdicts: UNSAFE pulls the brake, people are told of changes, and the operator's listener shows them.
//!
//! It reads what is new in the evidence, on a thread of its own, whenever anybody has written there: the gateway, another
//! of the fleet, or a person. Who releases a brake overrules what was sampled until then: only fresh evidence pulls it
//! again.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use thiserror::Error;
use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use super::{in_force::InForce, news};
use crate::{
    brake::{BrakeError, Lever, Pull, Pulled, Who},
    evidence::{Evidence, past, read::ReadError},
    parallel_run::{IsSafe, verdict::State},
    report::{Standing, Standings},
    routing::{Hold, Live, Mode},
    shutdown::Shutdown,
    tell::{Teller, Topic},
};

/// Between two looks for what is new.
const LOOK: Duration = Duration::from_millis(500);
/// Evidence is looked at this often though none was written: it also ages.
const AGE: Duration = Duration::from_mins(1);
/// Reading takes at most one part in five of a thread's time. Where all must be read again, because some of it was removed,
/// some 500,000 comparisons take 0.4 s, so that up to there a verdict is acted on within two seconds.
const SHARE: u32 = 4;
/// A verdict that is no cause for alarm may change again within seconds: people are told this often of such.
const CALM: Duration = Duration::from_mins(1);

/// The verdict of each route, as it was at the last look.
pub(super) type Glance = Live<HashMap<Box<str>, State>>;

/// The follower, and whom it serves.
#[derive(Clone)]
pub(super) struct Verdicts {
    pub(super) in_force: Arc<InForce>,
    pub(super) data: PathBuf,
    pub(super) lever: Lever,
    /// Says that a brake was pulled.
    pub(super) pulled: Arc<Notify>,
    pub(super) teller: Teller,
    pub(super) glance: Arc<Glance>,
}

/// Why they cannot be followed for now.
#[derive(Debug, Error)]
enum Blind {
    #[error(transparent)]
    Evidence(#[from] ReadError),
    #[error(transparent)]
    Brake(#[from] BrakeError),
}

impl Verdicts {
    /// Follows them until `shutdown`.
    pub(super) async fn follow(self, shutdown: Shutdown) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut seen, mut looked, mut rest) = (None, Instant::now(), Duration::ZERO);
        let mut reader = Reader::default();
        let mut told = Told::default();
        let mut was_blind = false;
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                _ = looks.tick() => {}
            }
            let generation = Some(self.in_force.rules().load().generation);
            let is_due = generation != seen || looked.elapsed() >= AGE;
            if looked.elapsed() < rest || !(is_due || reader.has_news()) {
                continue;
            }
            let (verdicts, began) = (self.clone(), Instant::now());
            let mut reading = std::mem::take(&mut reader);
            let result = spawn_blocking(move || {
                let standings = verdicts.look(&mut reading, Timestamp::now())?;
                Ok::<_, Blind>((reading, standings))
            });
            let result = result.await;
            (looked, rest) = (Instant::now(), began.elapsed() * SHARE);
            // What failed is tried again at the next look, from the beginning.
            seen = generation.filter(|_| matches!(result, Ok(Ok(_))));
            match result {
                Ok(Ok((reading, standings))) => {
                    was_blind = false;
                    reader = reading;
                    self.tell(&standings, &mut told);
                }
                Ok(Err(error)) if !std::mem::replace(&mut was_blind, true) => {
                    tracing::error!(%error, "the verdicts cannot be read; no brake is pulled for them");
                }
                Ok(Err(_)) => {}
                Err(error) => tracing::error!(%error, "reading the verdicts failed"),
            }
        }
    }

    /// Reads what the evidence proves now, and acts on it.
    fn look(&self, reader: &mut Reader, now: Timestamp) -> Result<Vec<Standing>, Blind> {
        let config = self.in_force.config();
        // In this order: what is seen not to be held was released before it is asked when.
        let (brakes, released) = (self.in_force.brakes(), self.lever.store().released()?);
        let routes = config.routes.routes();
        let overruled = |route: &str| released.get(route).copied();
        let evidence = reader.open(&self.data, now)?;
        let standings =
            reader.standings.look(evidence.as_ref(), routes.iter().zip(&config.plans), overruled, now)?;
        reader.close(evidence)?;
        for (standing, route) in standings.iter().zip(routes) {
            let may_fall = route.mode >= Mode::Shadow && brakes.of(&route.name).is_none();
            if may_fall && !standing.charges.is_empty() {
                self.pull(standing)?;
            }
        }
        self.keep(reader, &standings);
        for standing in &standings {
            let is_safe = if standing.verdict == State::Safe { IsSafe::Yes } else { IsSafe::No };
            self.in_force.parallel_run().settled(&standing.route, is_safe);
        }
        let verdicts = standings.iter().map(|standing| (standing.route.clone(), standing.verdict));
        self.glance.replace(verdicts.collect());
        Ok(standings)
    }

    /// Keeps what proves routes UNSAFE: the pairs that do will have had their time.
    fn keep(&self, reader: &mut Reader, standings: &[Standing]) {
        let proofs = standings.iter().filter_map(|standing| standing.proved.as_ref());
        let mut kept = proofs.map(|(epoch, proved)| past::keep(&self.data, epoch, proved));
        match kept.find_map(Result::err) {
            None => reader.has_unkept = false,
            Some(error) if !std::mem::replace(&mut reader.has_unkept, true) => {
                tracing::error!(%error, "what proves a route UNSAFE cannot be kept yet");
            }
            Some(_) => {}
        }
    }

    fn pull(&self, standing: &Standing) -> Result<(), BrakeError> {
        let (route, reason) = (&*standing.route, format!("UNSAFE: {}", standing.charges.join("; ")));
        let generation = Some(self.in_force.rules().load().generation);
        let who = Who { name: "the verdict".to_owned(), generation };
        let pulled = self.lever.pull(&Pull { routes: &[route], at: Hold::Shadow, reason: &reason }, &who)?;
        if !matches!(pulled[..], [Pulled::Already(_)]) {
            tracing::error!(route, reason, "the verdict pulled the brake");
            super::brakes::held_here_only(route, &pulled);
        }
        self.pulled.notify_one();
        Ok(())
    }

    fn tell(&self, standings: &[Standing], told: &mut Told) {
        let is_calm = told.at.is_none_or(|at| at.elapsed() >= CALM);
        let mut something = false;
        for standing in standings {
            let Some(before) = told.verdicts.get(&standing.route).copied() else {
                // Of a route that is seen for the first time nothing is told.
                told.verdicts.insert(standing.route.clone(), standing.verdict);
                continue;
            };
            let is_alarming = standing.verdict <= State::Unsafe;
            if before != standing.verdict && (is_calm || is_alarming) {
                told.verdicts.insert(standing.route.clone(), standing.verdict);
                something = true;
                if self.teller.is_heard(Topic::Verdict) {
                    self.teller.tell(&news::of_verdict(standing, before, Timestamp::now()));
                }
            }
        }
        if something {
            told.at = Some(Instant::now());
        }
    }
}

/// The evidence, as far as it was read.
#[derive(Debug, Default)]
struct Reader {
    evidence: Option<Evidence>,
    standings: Standings,
    /// Whether something that was proved could not be kept.
    has_unkept: bool,
}

impl Reader {
    /// Whether there may be something that was not read. One read of memory that its writers share.
    fn has_news(&self) -> bool {
        self.evidence.as_ref().is_none_or(|evidence| evidence.has_news().unwrap_or(true))
    }

    /// A view as of `now`; none where there is no evidence.
    fn open(&mut self, data: &Path, now: Timestamp) -> Result<Option<Evidence>, ReadError> {
        match self.evidence.take() {
            Some(mut evidence) => evidence.look_again(now).map(|()| Some(evidence)),
            None => match Evidence::open(data, now) {
                Ok(evidence) => Ok(Some(evidence)),
                Err(ReadError::Missing(_)) => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Keeps the evidence open, without the view.
    fn close(&mut self, evidence: Option<Evidence>) -> Result<(), ReadError> {
        if let Some(evidence) = &evidence {
            evidence.look_away()?;
        }
        self.evidence = evidence;
        Ok(())
    }
}

/// What people know.
#[derive(Debug, Default)]
struct Told {
    verdicts: HashMap<Box<str>, State>,
    at: Option<Instant>,
}
