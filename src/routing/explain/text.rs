//! An explanation for people.

use std::fmt::Write as _;

use super::{Explanation, Miss};
use crate::routing::{Arm, Mode, Route, said::printable};

impl Explanation<'_> {
    /// In lines; routes are named with their lines in `file`.
    pub fn text(&self, file: &str) -> String {
        let mut out = String::new();
        let named = |route: &Route| format!("{}  {file}:{}  {}", route.name, route.line, route.takes());
        let mut line = |text: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", plain(text));
        };
        match &self.decision {
            None => line("no route takes it: the monolith answers"),
            Some(decision) => {
                let route = decision.route;
                line(&format!("route   {}", named(route)));
                let share = match decision.mode {
                    Mode::Canary => format!(" {} %", route.canary.share.percent()),
                    _ => String::new(),
                };
                let subject = route.subject.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
                line(&format!("mode    {}{share}, subject {subject}", decision.mode));
                if let Some(brake) = &route.brake {
                    let (at, by, why) = (brake.at, printable(&brake.by), printable(&brake.reason));
                    line(&format!("brake   held at {at} by {by}: {why}; the file says {}", route.mode));
                }
                let arm = match decision.arm {
                    Arm::Control => "the control",
                    Arm::Candidate => "the candidate",
                };
                line(&format!("answer  {}, {arm}: {}", decision.answerer(), decision.why()));
            }
        }
        if self.near.is_empty() {
            return out;
        }
        line("\nnot taken by");
        for near in &self.near {
            line(&format!("  {}", named(near.route)));
            match &near.because {
                Miss::Outranked { .. } => line(&format!("      {}", near.because)),
                Miss::Lacks(lacks) => lacks.iter().for_each(|lack| line(&format!("      {lack}"))),
            }
        }
        if self.more > 0 {
            line(&format!("  and {} more", self.more));
        }
        out
    }
}

/// Nothing that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
