//! The brake: runtime state that holds a route lower than its file says. Here it is a value; keeping it is not routing's.

use std::{collections::BTreeMap, fmt, sync::Arc};

use jiff::Timestamp;

use super::{Mode, Table};

/// Where a brake holds a route. Ordered as modes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hold {
    /// The monolith answers, and nothing else happens.
    Monolith,
    /// The monolith answers; pairs and trials go on.
    Shadow,
}

impl Hold {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Monolith, Self::Shadow];

    /// The highest mode that it leaves.
    pub fn mode(self) -> Mode {
        match self {
            Self::Monolith => Mode::Monolith,
            Self::Shadow => Mode::Shadow,
        }
    }

    /// As on the command line.
    pub fn as_str(self) -> &'static str {
        self.mode().as_str()
    }

    /// The hold that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hold| hold.as_str() == word)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A brake that was pulled and not released since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brake {
    /// Where it holds.
    pub at: Hold,
    /// When it was pulled.
    pub since: Timestamp,
    /// Who pulled it: a person, an address, or the guard.
    pub by: Box<str>,
    /// Why.
    pub reason: Box<str>,
}

/// Every brake in force, by the route that it holds. A route need not be in the file: a brake outlasts its absence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brakes {
    by_route: BTreeMap<Box<str>, Arc<Brake>>,
    /// Holds whatever route there is.
    every: Option<Arc<Brake>>,
}

impl Brakes {
    /// What holds `route`: the lower, where two do.
    pub fn of(&self, route: &str) -> Option<&Arc<Brake>> {
        self.by_route.get(route).into_iter().chain(&self.every).min_by_key(|brake| brake.at)
    }

    /// All of them, by name; not what holds every route.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Brake)> {
        self.by_route.iter().map(|(route, brake)| (&**route, &**brake))
    }

    /// True where nothing is held.
    pub fn is_empty(&self) -> bool {
        self.by_route.is_empty() && self.every.is_none()
    }

    /// The same, and every route at least where `brake` holds.
    #[must_use]
    pub fn and_every_route(self, brake: Brake) -> Self {
        Self { every: Some(Arc::new(brake)), ..self }
    }

    /// What either holds, and the lower where both do.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (route, brake) in &other.by_route {
            if self.by_route.get(route).is_none_or(|held| brake.at < held.at) {
                self.by_route.insert(route.clone(), brake.clone());
            }
        }
        self.every = self.every.into_iter().chain(other.every.clone()).min_by_key(|brake| brake.at);
        self
    }
}

impl FromIterator<(Box<str>, Brake)> for Brakes {
    fn from_iter<I: IntoIterator<Item = (Box<str>, Brake)>>(brakes: I) -> Self {
        let by_route = brakes.into_iter().map(|(route, brake)| (route, Arc::new(brake))).collect();
        Self { by_route, every: None }
    }
}

impl Table {
    /// The same routes, each held by its brake and by no other.
    #[must_use]
    pub fn held_by(&self, brakes: &Brakes) -> Self {
        let mut table = self.clone();
        table.routes_mut().for_each(|route| route.brake = brakes.of(&route.name).cloned());
        table
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::{HeaderMap, Method};
    use proptest::{prelude::*, sample::select};

    use super::*;
    use crate::routing::{Arm, Head, Route, table::tests::route};

    fn brake(at: Hold) -> Brake {
        Brake { at, since: Timestamp::UNIX_EPOCH, by: "ana".into(), reason: "looks odd".into() }
    }

    fn decided(table: &Table, path: &str) -> (Mode, Arm) {
        let headers = HeaderMap::new();
        let client = IpAddr::from([192, 0, 2, 7]);
        let head = Head { method: &Method::GET, host: "h", path, query: None, headers: &headers, client };
        let decision = table.decide(&head).unwrap();
        (decision.mode, decision.arm)
    }

    #[test]
    fn a_brake_holds_its_own_route_until_it_is_released() {
        let migrated = |name, path| Route { mode: Mode::Migrated, ..route(name, path) };
        let table = Table::new(vec![migrated("a", "/a"), migrated("b", "/b")]).unwrap();
        let brakes =
            Brakes::from_iter([("b".into(), brake(Hold::Shadow)), ("gone".into(), brake(Hold::Monolith))]);
        let held = table.held_by(&brakes);
        assert_eq!(decided(&held, "/a"), (Mode::Migrated, Arm::Candidate));
        assert_eq!(decided(&held, "/b"), (Mode::Shadow, Arm::Control));
        assert_eq!(held.routes()[1].mode, Mode::Migrated, "the file's mode is still known");
        assert_eq!(decided(&held.held_by(&Brakes::default()), "/b"), (Mode::Migrated, Arm::Candidate));
    }

    #[test]
    fn of_two_brakes_the_lower_holds() {
        let one = Brakes::from_iter([("a".into(), brake(Hold::Shadow)), ("b".into(), brake(Hold::Monolith))]);
        let other =
            Brakes::from_iter([("a".into(), brake(Hold::Monolith)), ("b".into(), brake(Hold::Shadow))]);
        let both = one.and(&other);
        let at = |brakes: &Brakes, route: &str| brakes.of(route).map(|held| held.at);
        assert_eq!(
            (at(&both, "a"), at(&both, "b"), at(&both, "c")),
            (Some(Hold::Monolith), Some(Hold::Monolith), None)
        );
        let all = other.and_every_route(brake(Hold::Shadow));
        let where_held = (at(&all, "a"), at(&all, "b"), at(&all, "c"));
        assert_eq!(where_held, (Some(Hold::Monolith), Some(Hold::Shadow), Some(Hold::Shadow)));
        assert!(!Brakes::default().and_every_route(brake(Hold::Shadow)).is_empty());
    }

    proptest! {
        #[test]
        fn a_brake_never_raises(mode in select(&Mode::ALL[..]), hold in select(&Hold::ALL[..])) {
            let held = Route { mode, brake: Some(Arc::new(brake(hold))), ..route("a", "/a") };
            prop_assert_eq!(held.effective_mode(), mode.min(hold.mode()));
            prop_assert_eq!(Hold::from_word(hold.as_str()), Some(hold));
        }
    }
}
