//! Every interleaving of two requests with one key on two gateways, whose clients wait or are promised images, their two
//! janitors, owners taken for dead while they live, a crash of each anywhere, and a data folder that is lost: searched
//! whole, over the pure machine and a catalog of a few fields.
//!
//! A write to the catalog is one step. A call of the provider may draw, refuse, or be lost with or without its effect.
//! At the end every gateway has been started again and its janitor has had its say.

use std::collections::HashSet;

use super::{Again, Care, Reason, Standing, State, Step};
use crate::generator::money::Usd;

const GATEWAYS: usize = 2;
/// What runs on each: its client's request, and what its janitor has begun.
const TASKS: usize = 2;
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
    stored: Stored,
}

/// How much of a job the store has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stored {
    Nothing,
    Part,
    All,
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Task {
    Claims,
    Starts { job: usize, fence: u8 },
    Draws { job: usize, fence: u8 },
    Spools { job: usize, fence: u8 },
    Records { job: usize, fence: u8 },
    Refused { job: usize, fence: u8 },
    Stores { job: usize, fence: u8 },
    Commits { job: usize, fence: u8 },
    Over,
}

/// What happens to a world by one step of a task, and where that stands then.
type Change<'c> = &'c dyn Fn(&mut World) -> Task;

/// Everything at one moment. One key: the claim is the last job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    jobs: Vec<Job>,
    /// The day's budget as the transactions have moved it.
    budget: u64,
    tasks: [[Task; TASKS]; GATEWAYS],
    boots: [u8; GATEWAYS],
    /// How often a living owner may still be taken for dead.
    suspicions: u8,
    crashes: u8,
    /// Crashes after which there is no data folder any more.
    losses: u8,
}

impl World {
    fn new() -> Self {
        Self {
            jobs: Vec::new(),
            budget: 0,
            tasks: [[Task::Claims, Task::Over]; GATEWAYS],
            boots: [0; GATEWAYS],
            suspicions: 2,
            crashes: 2,
            losses: 1,
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
    fn claim(&mut self, state: State, owner: (usize, u8), noted: Option<(usize, Reason)>) {
        self.budget += RESERVED.as_micros();
        self.jobs.push(Job {
            standing: state.into(),
            owner,
            fence: 0,
            charged: 0,
            cost: None,
            spooled: None,
            noted,
            stored: Stored::Nothing,
        });
    }

    /// Whether a task of the gateway works on the job.
    fn is_busy(&self, gateway: usize, job: usize) -> bool {
        self.tasks[gateway].iter().any(|task| match *task {
            Task::Claims | Task::Over => false,
            Task::Starts { job: of, .. }
            | Task::Draws { job: of, .. }
            | Task::Spools { job: of, .. }
            | Task::Records { job: of, .. }
            | Task::Refused { job: of, .. }
            | Task::Stores { job: of, .. }
            | Task::Commits { job: of, .. } => of == job,
        })
    }

    /// All that may happen next.
    fn next(&self) -> Vec<World> {
        let mut worlds = Vec::new();
        for gateway in 0..GATEWAYS {
            for task in 0..TASKS {
                self.task(gateway, task, &mut worlds);
            }
            self.suspect(gateway, &mut worlds);
            // Its janitor comes by.
            let mut swept = self.clone();
            swept.take_over_own(gateway);
            worlds.push(swept);
            if self.crashes > 0 {
                // It is started again, at this moment or later: what it finds then is the same.
                let mut crashed = self.crashed(gateway);
                if self.losses > 0 {
                    let mut lost = crashed.clone();
                    lost.lose_folder(gateway);
                    lost.take_over_own(gateway);
                    worlds.push(lost);
                }
                crashed.take_over_own(gateway);
                worlds.push(crashed);
            }
        }
        worlds
    }

    fn crashed(&self, gateway: usize) -> Self {
        let mut crashed = self.clone();
        crashed.crashes -= 1;
        crashed.tasks[gateway] = [Task::Over; TASKS];
        crashed.boots[gateway] += 1;
        crashed
    }

    fn lose_folder(&mut self, gateway: usize) {
        self.losses -= 1;
        for job in &mut self.jobs {
            job.spooled = job.spooled.filter(|here| *here != gateway);
            job.noted = job.noted.filter(|(here, _)| *here != gateway);
        }
    }

    fn task(&self, gateway: usize, task: usize, worlds: &mut Vec<World>) {
        let owner = (gateway, self.boots[gateway]);
        let mut go = |change: Change<'_>| {
            let mut world = self.clone();
            world.tasks[gateway][task] = change(&mut world);
            worlds.push(world);
        };
        match self.tasks[gateway][task] {
            Task::Over => {}
            Task::Claims => self.claims(owner, &mut go),
            Task::Starts { job, fence } => {
                go(&|world| {
                    let started = world.advance(job, owner, fence, State::Accepted, Step::Start);
                    if started { Task::Draws { job, fence } } else { Task::Over }
                });
                // There is no place for it.
                go(&|world| {
                    world.advance(job, owner, fence, State::Accepted, Step::Fail(Reason::Refused));
                    Task::Over
                });
                // The catalog fails: the janitor comes back to it.
                go(&|_| Task::Over);
            }
            Task::Draws { job, fence } => {
                let charge = |world: &mut World| world.jobs[job].charged += 1;
                go(&|world| {
                    charge(world);
                    Task::Spools { job, fence }
                });
                go(&|_| Task::Refused { job, fence });
                // Its answer is lost, whether it drew or not: nobody knows.
                for drew in [true, false] {
                    go(&|world| {
                        if drew {
                            charge(world);
                        }
                        world.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::Unknown));
                        Task::Over
                    });
                }
            }
            Task::Refused { job, fence } => {
                for step in [Step::Fail(Reason::Refused), Step::HandOver] {
                    go(&|world| {
                        let refused = Step::Fail(Reason::Refused);
                        let _recorded = world.advance(job, owner, fence, State::Drawing, step)
                            || world.advance(job, owner, fence, State::Failed, refused);
                        Task::Over
                    });
                }
                go(&|world| {
                    world.jobs[job].noted = Some((gateway, Reason::Refused));
                    Task::Over
                });
            }
            Task::Spools { job, fence } => {
                go(&|world| {
                    world.jobs[job].spooled = Some(gateway);
                    Task::Records { job, fence }
                });
                // It is no sound image.
                go(&|world| {
                    world.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::PaidInvalid));
                    Task::Over
                });
                go(&|world| {
                    world.jobs[job].noted = Some((gateway, Reason::PaidInvalid));
                    Task::Over
                });
            }
            Task::Records { job, fence } => {
                go(&|world| {
                    let recorded = world.advance(job, owner, fence, State::Drawing, Step::Store)
                        || world.advance(job, owner, fence, State::Failed, Step::Store);
                    if recorded { Task::Stores { job, fence } } else { Task::Over }
                });
                // The catalog fails: the janitor comes back to it.
                go(&|_| Task::Over);
            }
            Task::Stores { job, fence } => {
                go(&|world| {
                    world.jobs[job].stored = Stored::All;
                    Task::Commits { job, fence }
                });
                // The store fails, also half-way: the janitor comes back to it.
                go(&|_| Task::Over);
                if self.jobs[job].stored == Stored::Nothing {
                    go(&|world| {
                        world.jobs[job].stored = Stored::Part;
                        Task::Over
                    });
                }
            }
            Task::Commits { job, fence } => go(&|world| {
                world.advance(job, owner, fence, State::Storing, Step::Commit);
                Task::Over
            }),
        }
    }

    /// A request that has no job yet; each next step `go`es into a world of its own.
    fn claims(&self, owner: (usize, u8), go: &mut dyn FnMut(Change<'_>)) {
        match self.jobs.last().map(|job| job.standing.again()) {
            None | Some(Again::NewJob) => {
                go(&|world| {
                    world.claim(State::Drawing, owner, None);
                    Task::Draws { job: world.jobs.len() - 1, fence: 0 }
                });
                go(&|world| {
                    world.claim(State::Accepted, owner, None);
                    Task::Starts { job: world.jobs.len() - 1, fence: 0 }
                });
                // It is written, and the catalog does not say so.
                for state in [State::Drawing, State::Accepted] {
                    go(&|world| {
                        world.claim(state, owner, Some((owner.0, Reason::Refused)));
                        Task::Over
                    });
                }
            }
            // It waits: the same world, at another moment.
            Some(Again::Running) => {}
            Some(Again::Replay | Again::SameError(_) | Again::Monolith) => go(&|_| Task::Over),
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
            && (standing.state == State::Accepted
                || (standing.state == State::Drawing && owner.0 == janitor)
                || given_up_here)
        {
            self.advance(job, owner, fence, standing.state, Step::Fail(reason));
            return;
        }
        // What is its own it comes back to.
        let new_fence = if owner == new_owner { fence } else { fence + 1 };
        let take = |world: &mut World| {
            let job = &mut world.jobs[job];
            (job.owner, job.fence) = (new_owner, new_fence);
        };
        match standing.state.care() {
            // What is in the spool here was drawn.
            Care::GiveUp | Care::Nothing if here && (standing.state == State::Drawing || given_up_here) => {
                self.advance(job, owner, fence, standing.state, Step::Store);
                self.care(job, janitor);
            }
            Care::GiveUp => {
                self.advance(job, owner, fence, State::Drawing, Step::Fail(Reason::Unknown));
            }
            // One that is busy begins it another time.
            Care::Start if self.tasks[janitor][1] == Task::Over => {
                take(self);
                self.tasks[janitor][1] = Task::Starts { job, fence: new_fence };
            }
            // Its images are here or in the store; what may be in another's spool is waited for.
            Care::Forward if stored == Stored::All || here => {
                take(self);
                self.jobs[job].stored = Stored::All;
                self.advance(job, new_owner, new_fence, State::Storing, Step::Commit);
            }
            Care::Forward if spooled.is_none() => {
                take(self);
                self.advance(job, new_owner, new_fence, State::Storing, Step::Undo);
            }
            Care::Delete => {
                take(self);
                self.jobs[job].stored = Stored::Nothing;
                self.advance(job, new_owner, new_fence, State::Undoing, Step::Lose);
            }
            Care::Forward | Care::Nothing | Care::Start => {}
        }
    }

    fn take_over_own(&mut self, gateway: usize) {
        for job in 0..self.jobs.len() {
            let (owner, boot) = self.jobs[job].owner;
            if owner == gateway && (boot < self.boots[gateway] || !self.is_busy(gateway, job)) {
                self.care(job, gateway);
            }
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let charges: u8 = self.jobs.iter().map(|job| job.charged).sum();
        assert!(charges <= 1, "one key was charged {charges} times: {self:#?}");
        for job in &self.jobs {
            let is_there = job.stored == Stored::All;
            assert!(job.standing.state != State::Done || is_there, "seen, and not there: {self:#?}");
            let free = matches!(job.standing.again(), Again::NewJob | Again::Monolith);
            assert!(!free || job.charged == 0, "paid for, and given away: {self:#?}");
        }
        let spent: u64 = self.jobs.iter().map(|job| job.standing.spent(RESERVED, job.cost).as_micros()).sum();
        assert_eq!(self.budget, spent, "the budget is not what the jobs say: {self:#?}");
    }

    /// What must hold once everybody has finished and been started again.
    fn check_rest(&self) {
        let mut world = self.clone();
        world.tasks = [[Task::Over; TASKS]; GATEWAYS];
        for gateway in 0..GATEWAYS {
            // What is undone is undone first, and then deleted.
            world.take_over_own(gateway);
            world.take_over_own(gateway);
        }
        world.check();
        let folder_is_lost = world.losses == 0;
        for (number, job) in world.jobs.iter().enumerate() {
            let Standing { state, reason } = job.standing;
            // What is begun here goes on from there, in other worlds.
            let is_begun = state == State::Accepted && world.is_busy(job.owner.0, number);
            let is_lost = reason == Some(Reason::PaidLost);
            assert!(is_begun || !state.is_open(), "left open: {world:#?}");
            assert!(folder_is_lost || !is_lost, "lost: {world:#?}");
            // charged = stored + unknown + paid-invalid + paid-lost.
            let accounted = state == State::Done
                || matches!(reason, Some(Reason::Unknown | Reason::PaidInvalid | Reason::PaidLost));
            assert!(job.charged == 0 || accounted, "charged and unaccounted: {world:#?}");
            let is_there = job.stored != Stored::Nothing;
            assert!(state == State::Done || !is_there, "stored, and in no record: {world:#?}");
        }
    }
}

#[test]
fn nothing_is_lost_whatever_happens_between_two_requests_two_janitors_and_a_crash() {
    let mut seen = HashSet::new();
    let mut open = vec![World::new()];
    let (mut done, mut promised, mut lost) = (0, 0, 0);
    while let Some(world) = open.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        world.check();
        world.check_rest();
        let any = |is: &dyn Fn(Standing) -> bool| u32::from(world.jobs.iter().any(|job| is(job.standing)));
        done += any(&|standing| standing.state == State::Done);
        promised += any(&|standing| standing.state == State::Accepted);
        lost += any(&|standing| standing == Standing::failed(Reason::PaidLost));
        open.extend(world.next());
    }
    let worlds = (seen.len(), done, promised, lost);
    assert!(seen.len() > 400 && done.min(promised).min(lost) > 50, "only {worlds:?} worlds");
}
