//! What holds for every walk through the states.

use proptest::{
    prelude::{Strategy, prop_assert, prop_assert_eq, proptest},
    sample::select,
};

use super::{Again, Care, Reason, Standing, State, Step};
use crate::generator::money::Usd;

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    select(Step::ALL.to_vec())
}

proptest! {
    #[test]
    fn every_walk_ends_and_stays_ended(asynchronous: bool, steps in proptest::collection::vec(any_step(), 0..60)) {
        let mut standing = Standing::from(if asynchronous { State::Accepted } else { State::Drawing });
        let mut stored = false;
        let mut moves = 0;
        for step in steps {
            let Some(next) = standing.after(step) else { continue };
            let unknown = standing == Standing::failed(Reason::Unknown);
            prop_assert!(standing.state.is_open() || unknown, "nothing leaves {standing:?}");
            prop_assert!(next.state != State::Done || standing.state == State::Storing, "done only after storing");
            let kept = !stored || next.reason.is_none_or(|reason| reason == Reason::PaidLost);
            prop_assert!(kept, "what was stored is lost or done");
            stored |= next.state == State::Storing;
            moves += 1;
            standing = next;
        }
        prop_assert!(moves <= 5, "no way round");
    }

    #[test]
    fn what_was_paid_stays_spent_and_what_was_not_is_given_back(reserved in 0..1000_u64, cost in 0..1000_u64) {
        let (reserved, cost) = (Usd::micros(reserved), Usd::micros(cost));
        let spent = |standing: Standing| standing.spent(reserved, Some(cost));
        for state in [State::Accepted, State::Drawing] {
            prop_assert_eq!(spent(state.into()), reserved);
        }
        for standing in [State::Storing.into(), State::Done.into(), State::Undoing.into(), Standing::failed(Reason::PaidLost), Standing::failed(Reason::PaidInvalid)] {
            prop_assert_eq!(spent(standing), cost);
        }
        prop_assert_eq!(spent(Standing::failed(Reason::Unknown)), reserved);
        prop_assert_eq!(spent(Standing::failed(Reason::Refused)), Usd::ZERO);
        prop_assert_eq!(spent(State::HandedOver.into()), Usd::ZERO);
    }
}

#[test]
fn names_are_read_again() {
    for state in State::ALL {
        assert_eq!(State::named(state.name()), Some(state));
    }
    for reason in Reason::ALL {
        assert_eq!(Reason::named(reason.name()), Some(reason));
    }
}

#[test]
fn a_key_is_never_charged_twice() {
    for state in State::ALL {
        let standings = match state {
            State::Failed => Reason::ALL.map(Standing::failed).to_vec(),
            state => vec![state.into()],
        };
        for standing in standings {
            let free = matches!(standing.again(), Again::NewJob | Again::Monolith);
            let charged = standing.spent(Usd::micros(1), None) > Usd::ZERO;
            assert!(!(free && charged), "{standing:?} may have been charged");
            assert_eq!(standing.again() == Again::Running, standing.state.is_open());
            assert_eq!(state.care() == Care::Nothing, !state.is_open());
        }
    }
}
