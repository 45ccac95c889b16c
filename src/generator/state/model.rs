//! Every interleaving of two requests with one key on two gateways, their two janitors, owners taken for dead while they
//! live, and a crash of each anywhere: searched whole, over the pure machine and a catalog of a few fields.
//!
//! A write to the catalog is one step. A call of the provider may draw, refuse, or be lost with or without its effect.
//! At the end every gateway has been started again and its janitor has had its say.

use std::collections::HashSet;

use super::{Again, Care, Reason, Standing, State, Step};
use crate::generator::money::Usd;

const GATEWAYS: usize = 2;
const RESERVED: Usd = Usd::micros(40_000);
const COST: Usd = Usd::micros(31_000);

/// A job as the catalog has it, and its bytes wherever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Job {
    standing: Standing,
    /// Gateway and boot.
    owner: (usize, u8),
    fence: u8,
    charged: u8,
    cost: Option<Usd>,
    /// The gateway whose spool has the bytes.
    spooled: Option<usize>,
    /// The gateway whose spool says why there are no images, and why.
    noted: Option<(usize, Reason)>,
    stored: bool,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    Claims,
    Draws { job: usize, fence: u8 },
    Spools { job: usize, fence: u8 },
    Records { job: usize, fence: u8 },
    Refused { job: usize, fence: u8 },
    Stores { job: usize, fence: u8 },
    Commits { job: usize, fence: u8 },
    Over,
}

/// Everything at one moment. One key: the claim is the last job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    jobs: Vec<Job>,
    /// The day's budget as the transactions have moved it.
    budget: u64,
    requests: [Request; GATEWAYS],
    boots: [u8; GATEWAYS],
    /// How often a living owner may still be taken for dead.
    suspicions: u8,
    crashes: u8,
}

impl World {
    fn new() -> Self {
        Self {
            jobs: Vec::new(),
            budget: 0,
            requests: [Request::Claims; GATEWAYS],
            boots: [0; GATEWAYS],
            suspicions: 3,
            crashes: 2,
        }
    }

    /// One transition with its budget, if the record is what the caller believes.
    fn advance(&mut self, job: usize, owner: (usize, u8), fence: u8, from: State, step: Step) -> bool {
        let record = &mut self.jobs[job];
        let unknown = from == State::Failed && record.standing == Standing::failed(Reason::Unknown);
        if record.owner != owner || record.fence != fence || (record.standing.state != from && !unknown) {
            return false;
        }
        let Some(next) = record.standing.after(step) else { return false };
        let before = record.standing.spent(RESERVED, record.cost);
        if step == Step::Store {
            record.cost = Some(COST);
        }
        record.standing = next;
        let after = next.spent(RESERVED, record.cost);
        self.budget = self.budget + after.as_micros() - before.as_micros();
        true
    }

    /// A new job of the key, and its reservation.
    fn claim(&mut self, owner: (usize, u8), noted: Option<(usize, Reason)>) {
        self.budget += RESERVED.as_micros();
        self.jobs.push(Job {
            standing: State::Drawing.into(),
            owner,
            fence: 0,
            charged: 0,
            cost: None,
            spooled: None,
            noted,
            stored: false,
        });
    }

    /// All that may happen next.
    fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for gateway in 0..GATEWAYS {
            self.request(gateway, &mut worlds);
            self.suspect(gateway, &mut worlds);
            if self.crashes > 0 {
                let mut crashed = self.clone();
                crashed.crashes -= 1;
                crashed.requests[gateway] = Request::Over;
                crashed.boots[gateway] += 1;
                // It is started again, at this moment or later: what it finds then is the same.
                crashed.take_over_own(gateway);
                worlds.push(crashed);
            }
        }
        worlds
    }

    fn request(&self, gateway: usize, worlds: &mut Vec<World>) {
        let owner = (gateway, self.boots[gateway]);
        let mut go = |change: &dyn Fn(&mut World) -> Request| {
            let mut world = self.clone();
            world.requests[gateway] = change(&mut world);
            worlds.push(world);
        };
        match self.requests[gateway] {
            Request::Over => {}
            Request::Claims => match self.jobs.last().map(|job| job.standing.again()) {
                None | Some(Again::NewJob) => {
                    go(&|world| {
                        world.claim(owner, None);
                        Request::Draws { job: world.jobs.len() - 1, fence: 0 }
                    });
                    // It is written, and the catalog does not say so.
                    go(&|world| {
                        world.claim(owner, Some((gateway, Reason::Refused)));
                        Request::Over
                    });
                }
                // It waits: the same world, at another moment.
                Some(Again::Running) => {}
                Some(Again::Replay | Again::SameError(_) | Again::Monolith) => go(&|_| Request::Over),
            },
            Request::Draws { job, fence } => {
                let charge = |world: &mut World| world.jobs[job].charged += 1;
                go(&|world| {
                    charge(world);
                    Request::Spools { job, fence }
                });
                go(&|_| Request::Refused { job, fence });
                // Its answer is lost, whether it drew or not: nobody knows.
                for drew in [true, false] {
                    go(&|world| {
                        if drew {
                            charge(world);
                        }
                        world.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::Unknown));
                        Request::Over
                    });
                }
            }
            Request::Refused { job, fence } => {
                for step in [Step::Fail(Reason::Refused), Step::HandOver] {
                    go(&|world| {
                        let refused = Step::Fail(Reason::Refused);
                        let _recorded = world.advance(job, owner, fence, State::Drawing, step)
                            || world.advance(job, owner, fence, State::Failed, refused);
                        Request::Over
                    });
                }
                go(&|world| {
                    world.jobs[job].noted = Some((gateway, Reason::Refused));
                    Request::Over
                });
            }
            Request::Spools { job, fence } => {
                go(&|world| {
                    world.jobs[job].spooled = Some(gateway);
                    Request::Records { job, fence }
                });
                // It is no sound image.
                go(&|world| {
                    world.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::PaidInvalid));
                    Request::Over
                });
                go(&|world| {
                    world.jobs[job].noted = Some((gateway, Reason::PaidInvalid));
                    Request::Over
                });
            }
            Request::Records { job, fence } => {
                go(&|world| {
                    let recorded = world.advance(job, owner, fence, State::Drawing, Step::Store)
                        || world.advance(job, owner, fence, State::Failed, Step::Store);
                    if recorded { Request::Stores { job, fence } } else { Request::Over }
                });
                // The catalog fails: the janitor comes back to it.
                go(&|_| Request::Over);
            }
            Request::Stores { job, fence } => {
                go(&|world| {
                    world.jobs[job].stored = true;
                    Request::Commits { job, fence }
                });
                // The store fails: the janitor comes back to it.
                go(&|_| Request::Over);
            }
            Request::Commits { job, fence } => go(&|world| {
                world.advance(job, owner, fence, State::Storing, Step::Commit);
                Request::Over
            }),
        }
    }

    /// The other gateway's janitor takes an owner for dead, rightly or not.
    fn suspect(&self, janitor: usize, worlds: &mut Vec<World>) {
        if self.suspicions == 0 {
            return;
        }
        for job in 0..self.jobs.len() {
            if self.jobs[job].owner.0 != janitor && self.jobs[job].standing.state.is_open() {
                let mut world = self.clone();
                world.suspicions -= 1;
                world.care(job, janitor);
                worlds.push(world);
            }
        }
    }

    /// What a janitor does with a job that is not its own, or was of an earlier boot.
    fn care(&mut self, job: usize, janitor: usize) {
        let Job { standing, owner, fence, spooled, noted, stored, .. } = self.jobs[job];
        let new_owner = (janitor, self.boots[janitor]);
        let here = spooled == Some(janitor);
        let noted_here = noted.filter(|(gateway, _)| *gateway == janitor).map(|(_, reason)| reason);
        let given_up_here = standing == Standing::failed(Reason::Unknown) && owner.0 == janitor;
        // The spool says why there are no images, where the catalog did not take that.
        if let Some(reason) = noted_here
            && (standing.state == State::Drawing || given_up_here)
        {
            self.advance(job, owner, fence, standing.state, Step::Fail(reason));
            return;
        }
        match standing.state.care() {
            // What is in the spool here was drawn.
            Care::GiveUp | Care::Nothing if here && (standing.state == State::Drawing || given_up_here) => {
                self.advance(job, owner, fence, standing.state, Step::Store);
                self.care(job, janitor);
            }
            Care::GiveUp => {
                self.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::Unknown));
            }
            // Its images are here or in the store; what may be in another's spool is waited for.
            Care::Forward if stored || here => {
                self.jobs[job].owner = new_owner;
                self.jobs[job].fence += 1;
                self.jobs[job].stored = true;
                self.advance(job, new_owner, fence + 1, State::Storing, Step::Commit);
            }
            Care::Forward | Care::Nothing | Care::Start | Care::Delete => {}
        }
    }

    fn take_over_own(&mut self, gateway: usize) {
        for job in 0..self.jobs.len() {
            let (owner, boot) = self.jobs[job].owner;
            if owner == gateway && (boot < self.boots[gateway] || self.requests[gateway] == Request::Over) {
                self.care(job, gateway);
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let charges: u8 = self.jobs.iter().map(|job| job.charged).sum();
        assert!(charges <= 1, "one key was charged {charges} times: {self:#?}");
        for job in &self.jobs {
            assert!(job.standing.state != State::Done || job.stored, "seen, and not there: {self:#?}");
            let free = matches!(job.standing.again(), Again::NewJob | Again::Monolith);
            assert!(!free || job.charged == 0, "paid for, and given away: {self:#?}");
        }
        let spent: u64 = self.jobs.iter().map(|job| job.standing.spent(RESERVED, job.cost).as_micros()).sum();
        assert_eq!(self.budget, spent, "the budget is not what the jobs say: {self:#?}");
    }

    /// What must hold once everybody has finished and been started again.
    fn check_rest(&self) {
        let mut world = self.clone();
        world.requests = [Request::Over; GATEWAYS];
        for gateway in 0..GATEWAYS {
            world.take_over_own(gateway);
        }
        world.check();
        for job in &world.jobs {
            let over = matches!(
                (job.standing.state, job.standing.reason),
                (State::Done | State::HandedOver, None)
                    | (State::Failed, Some(Reason::Refused | Reason::Unknown | Reason::PaidInvalid))
            );
            assert!(over, "left open, or lost: {world:#?}");
            // charged = stored + unknown + paid-invalid; nothing was lost, for both folders survive.
            let accounted = matches!(
                (job.standing.state, job.standing.reason),
                (State::Done, _) | (State::Failed, Some(Reason::Unknown | Reason::PaidInvalid))
            );
            assert!(job.charged == 0 || accounted, "charged and unaccounted: {world:#?}");
            assert!(job.standing.state == State::Done || !job.stored, "stored, and in no record: {world:#?}");
        }
    }
}

#[test]
fn nothing_is_lost_whatever_happens_between_two_requests_two_janitors_and_a_crash() {
    let mut seen = HashSet::new();
    let mut open = vec![World::new()];
    let mut done = 0;
    while let Some(world) = open.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        world.check();
        world.check_rest();
        done += u32::from(world.jobs.iter().any(|job| job.standing.state == State::Done));
        open.extend(world.next());
    }
    assert!(seen.len() > 400 && done > 50, "only {} worlds, {done} of them with images", seen.len());
}
