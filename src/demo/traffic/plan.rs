//! Which requests are made in which mode: the whole of the demo's traffic, laid out before it begins.

use crate::routing::Mode;

/// The modes that the demo walks through, each with its share of the requests, in percent.
const WALK: [(Mode, usize); 4] =
    [(Mode::Monolith, 20), (Mode::Shadow, 40), (Mode::Canary, 20), (Mode::Migrated, 20)];

/// Visitors at once, and requests for which one more comes.
const VISITORS: usize = 11;
const REQUESTS_A_VISITOR: usize = 8;
/// The guest, who has no credits, comes only when there are so many requests in all.
const GUEST_FROM: usize = 60;
/// Share of a mode's requests that is made while its switch is thrown, one in so many, and how many at most.
const BRIDGE_SHARE: usize = 4;
const BRIDGE: usize = 12;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// `POST /login`, which answers with cookies.
    SignIn,
    /// The shop front.
    Home,
    /// The visitor's own page.
    Account,
    /// A static file; conditional where the visitor has seen it before.
    Style,
    /// A multipart upload of so many bytes.
    Upload(usize),
    /// The page that is streamed.
    Live,
    /// An image is ordered.
    Order {
        /// What it is to show.
        prompt: &'static str,
        /// Side in pixels.
        size: u32,
    },
    /// The image that the visitor was given last.
    Picture,
    /// An order that both arms must refuse with 400.
    EmptyPrompt,
    /// An order that the monolith must refuse with 402.
    NoCredit,
}

impl Visit {
    /// Whether it goes to the route that walks.
    pub(crate) fn is_order(&self) -> bool {
        matches!(self, Self::Order { .. } | Self::EmptyPrompt | Self::NoCredit)
    }
}

/// The requests of one mode.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    /// The mode.
    pub(crate) mode: Mode,
    /// Made while the switch is thrown, in order: either side of it may answer.
    pub(crate) bridge: Vec<Visit>,
    /// Made when the mode is in force: a list for each visitor.
    pub(crate) rounds: Vec<Vec<Visit>>,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many visitors there are, without the guest.
    pub(crate) visitors: usize,
    /// Whether the guest comes, after all the others in each list.
    pub(crate) guest: Option<Guest>,
    /// The walk.
    pub(crate) legs: Vec<Leg>,
}

/// The guest comes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest;

/// Lays out exactly `requests` requests.
pub(crate) fn lay_out(requests: usize) -> Plan {
    let visitors = (requests / REQUESTS_A_VISITOR).clamp(1, VISITORS);
    let guest = (requests >= GUEST_FROM).then_some(Guest);
    let mut kinds = Kinds::default();
    let mut left = requests;
    let mut legs = Vec::with_capacity(WALK.len());
    for (mode, percent) in WALK {
        let share = requests * percent / 100;
        legs.push(match mode {
            Mode::Monolith => {
                // However few they are, everybody signs in first.
                let share = share.max(visitors);
                left -= share;
                first_leg(mode, share, visitors, guest, &mut kinds)
            }
            Mode::Migrated => leg(mode, left, visitors, &mut kinds),
            _ => {
                left -= share;
                leg(mode, share, visitors, &mut kinds)
            }
        });
    }
    Plan { visitors, guest, legs }
}

/// Everybody signs in; nothing has been switched yet, so there is no bridge.
fn first_leg(mode: Mode, share: usize, visitors: usize, guest: Option<Guest>, kinds: &mut Kinds) -> Leg {
    let mut rounds = vec![vec![Visit::SignIn]; visitors];
    let mut rest = share.saturating_sub(visitors);
    if guest.is_some() && rest >= 2 {
        rest -= 2;
        rounds.push(vec![Visit::SignIn, Visit::NoCredit]);
    }
    deal(kinds.take(rest), visitors, &mut rounds);
    Leg { mode, bridge: Vec::new(), rounds }
}

fn leg(mode: Mode, share: usize, visitors: usize, kinds: &mut Kinds) -> Leg {
    let mut bridge = kinds.take((share / BRIDGE_SHARE).min(BRIDGE));
    if mode == Mode::Shadow {
        // On this bridge nobody could tell whether an order was sampled, and every sampled one is accounted for.
        for visit in bridge.iter_mut().filter(|visit| visit.is_order()) {
            *visit = Visit::Home;
        }
    }
    let mut rounds = vec![Vec::new(); visitors];
    deal(kinds.take(share - bridge.len()), visitors, &mut rounds);
    Leg { mode, bridge, rounds }
}

fn deal(visits: Vec<Visit>, visitors: usize, rounds: &mut [Vec<Visit>]) {
    for (at, visit) in visits.into_iter().enumerate() {
        if let Some(round) = rounds.get_mut(at % visitors) {
            round.push(visit);
        }
    }
}

/// An endless row of visits, two in five of them orders. Its length and the number of visitors have no common
/// divisor, so that everybody comes to do everything.
#[derive(Debug, Default)]
struct Kinds {
    made: usize,
    orders: usize,
}

impl Kinds {
    fn take(&mut self, count: usize) -> Vec<Visit> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Visit {
        let turn = self.made % 20;
        self.made += 1;
        match turn {
            1 | 12 => Visit::Home,
            2 | 14 => Visit::Style,
            4 | 11 | 17 => Visit::Picture,
            6 => Visit::Upload(48 * 1024 + self.made),
            8 => Visit::Account,
            9 | 19 => Visit::Live,
            15 => Visit::EmptyPrompt,
            _ => self.order(),
        }
    }

    fn order(&mut self) -> Visit {
        const PROMPTS: [&str; 7] = [
            "a lighthouse over the sea at night",
            "uma floresta ao amanhecer",
            "an old clock in the harbour",
            "o mar de noite, com um farol",
            "hills behind the town",
            "um relogio na floresta",
            "the last ferry home",
        ];
        const SIZES: [u32; 5] = [512, 256, 512, 1024, 256];
        let turn = self.orders;
        self.orders += 1;
        Visit::Order {
            prompt: PROMPTS.iter().cycle().nth(turn % PROMPTS.len()).copied().unwrap_or_default(),
            size: SIZES.iter().cycle().nth(turn % SIZES.len()).copied().unwrap_or(256),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config,
        demo::{monolith, rules::Rules},
        parallel_run::verdict::martingale,
    };

    fn visits(leg: &Leg) -> impl Iterator<Item = &Visit> {
        leg.bridge.iter().chain(leg.rounds.iter().flatten())
    }

    proptest! {
        #[test]
        fn exactly_so_many_requests_are_made(requests in 1_usize..2000) {
            let plan = lay_out(requests);
            prop_assert_eq!(plan.legs.iter().flat_map(visits).count(), requests);
        }

        #[test]
        fn everybody_signs_in_once_and_first(requests in 1_usize..2000) {
            let plan = lay_out(requests);
            let first = &plan.legs[0];
            prop_assert!(first.bridge.is_empty() && first.rounds.len() >= plan.visitors);
            prop_assert!(first.rounds.iter().all(|round| round[0] == Visit::SignIn));
            let sign_ins = plan.legs.iter().flat_map(visits).filter(|visit| **visit == Visit::SignIn).count();
            prop_assert_eq!(sign_ins, first.rounds.len());
        }
    }

    #[test]
    fn orders_flow_in_every_mode_and_while_the_arms_change() {
        for requests in [80, 400] {
            for leg in lay_out(requests).legs {
                let bridged = leg.bridge.iter().any(Visit::is_order);
                assert_eq!(bridged, matches!(leg.mode, Mode::Canary | Mode::Migrated), "{requests}: {leg:?}");
                assert!(leg.rounds.iter().flatten().any(Visit::is_order), "{requests}: {leg:?}");
            }
        }
    }

    #[test]
    fn only_the_monolith_is_asked_what_only_it_can_refuse() {
        for leg in lay_out(400).legs {
            assert_eq!(visits(&leg).any(|visit| *visit == Visit::NoCredit), leg.mode == Mode::Monolith);
        }
    }

    #[test]
    fn the_default_shadow_has_enough_orders_for_a_verdict() {
        let rules = Rules::write(([127, 0, 0, 1], 8123).into()).unwrap();
        let config = config::load(&rules.file()).unwrap();
        let gate = &config.plans[0].gate;
        let proof = martingale::trials_to_prove(0, gate.max_failure_rate, 1.0 - gate.confidence);
        // When the last exchange that teaches has ended, every other visitor may have one under way: no trial either.
        let learning = gate.calibration + VISITORS as u64 - 1;
        let shadow = lay_out(400).legs.remove(1);
        let orders = visits(&shadow).filter(|visit| matches!(visit, Visit::Order { .. })).count() as u64;
        let breakdowns = orders.div_ceil(monolith::Settings::default().breakdown_every);
        assert!(orders >= learning + proof + breakdowns, "{orders} < {learning} + {proof} + {breakdowns}");
    }
}
