//! Why a request goes where it goes: the route that takes it, those that nearly did, the arm that answers and why.

mod ask;
mod near;
mod text;

pub use ask::{Ask, AskError};
pub use near::{Lack, Miss, NearMiss};

use super::{Arm, Candidate, Decision, Head, Mode, Reason, Table};

/// What a table does with one request, and why.
#[derive(Clone, Debug)]
pub struct Explanation<'t> {
    /// What is decided; `None` where no route takes the request, so that the monolith answers.
    pub decision: Option<Decision<'t>>,
    /// Routes that could have been meant, the nearest first.
    pub near: Vec<NearMiss<'t>>,
    /// How many more there are.
    pub more: usize,
}

/// Explains what `table` does with a request.
pub fn explain<'t>(table: &'t Table, head: &Head<'t>) -> Explanation<'t> {
    let decision = table.decide(head);
    let (near, more) = near::misses(table, head, decision.as_ref());
    Explanation { decision, near, more }
}

impl Decision<'_> {
    /// The name of who answers: an upstream's, or `generator`.
    pub fn answerer(&self) -> &str {
        match (self.arm, &self.route.candidate) {
            (Arm::Control, _) => &self.route.control,
            (Arm::Candidate, Candidate::Generator) => "generator",
            (Arm::Candidate, Candidate::Upstream(name)) => name,
        }
    }

    /// Why that arm, in words.
    pub fn why(&self) -> String {
        let canary = &self.route.canary;
        let subject = self.route.subject.as_ref();
        match self.reason {
            Reason::Mode if self.arm == Arm::Candidate => {
                format!("in mode {} it answers everybody", self.mode)
            }
            Reason::Mode if self.mode == Mode::Shadow => {
                "in mode shadow the candidate only runs beside it".to_owned()
            }
            Reason::Mode => format!("in mode {} the candidate answers nobody", self.mode),
            Reason::Subjectless => subject.map_or_else(
                || "the route names no `subject`, so nobody can be assigned to the canary".to_owned(),
                |subject| format!("the request has no {subject}, so it belongs to nobody"),
            ),
            Reason::Denied => "the subject is in `deny`".to_owned(),
            Reason::Allowed => "the subject is in `allow`".to_owned(),
            Reason::Place(place) => {
                let side = if self.arm == Arm::Candidate { "below" } else { "not below" };
                let (place, share) = (place.percent(), canary.share.percent());
                format!("the subject's place is {place} %, {side} the canary's {share} %")
            }
        }
    }
}

#[cfg(test)]
mod tests;
