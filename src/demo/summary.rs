//! What the demo says at its end: one line a mode, and what failed.

use std::{fmt, time::Duration};

use super::traffic::tally::Tally;
use crate::routing::Mode;

/// Failures shown in full.
const SHOWN: usize = 5;

/// Whether the output may be coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// On a terminal.
    Colour,
    /// Anywhere else.
    Plain,
}

impl Ink {
    pub(crate) fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn verdict(self, failures: usize, text: &str) -> String {
        self.with(if failures == 0 { "32" } else { "1;31" }, text)
    }

    fn with(self, code: &str, text: &str) -> String {
        match self {
            Self::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// The whole walk.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    legs: Vec<(Mode, Tally)>,
    discrepancies: Vec<String>,
}

impl Summary {
    /// Adds one mode's requests.
    pub(crate) fn add(&mut self, mode: Mode, tally: Tally) {
        self.legs.push((mode, tally));
    }

    /// Holds what the visitors saw against what the monolith counted.
    pub(crate) fn reconcile_monolith(&mut self, orders: u64, breakdowns: u64) {
        let mut compare = |what: &str, seen: usize, counted: u64| {
            if seen as u64 != counted {
                let text = format!("the monolith counted {counted} {what}, its visitors {seen}");
                self.discrepancies.push(text);
            }
        };
        compare("orders", self.legs.iter().map(|(_, tally)| tally.orders_at_monolith).sum(), orders);
        compare("breakdowns", self.legs.iter().map(|(_, tally)| tally.breakdowns).sum(), breakdowns);
    }

    /// Pairs that must leave a record: from shadow on, every order that the monolith answered is sampled.
    pub(crate) fn comparisons_due(&self) -> u64 {
        let sampled = self.legs.iter().filter(|(mode, _)| *mode >= Mode::Shadow);
        sampled.map(|(_, tally)| tally.orders_at_monolith as u64).sum()
    }

    /// Holds the records of the parallel run against the orders.
    pub(crate) fn reconcile_comparisons(&mut self, recorded: u64) {
        let due = self.comparisons_due();
        if recorded != due {
            self.discrepancies.push(format!("the parallel run recorded {recorded} pairs of {due}"));
        }
    }

    /// Everything that should not have happened.
    pub(crate) fn failures(&self) -> usize {
        self.legs.iter().map(|(_, tally)| tally.failures.len()).sum::<usize>() + self.discrepancies.len()
    }

    /// As text, at most 100 columns wide but for the failures.
    pub(crate) fn write(&self, out: &mut impl fmt::Write, ink: Ink) -> fmt::Result {
        for head in [
            "                               orders: filled by                             time of an order",
            "  mode       requests  failed  monolith  generator  refused  broke down      p50       p95",
        ] {
            writeln!(out, "{}", ink.faint(head))?;
        }
        for (mode, tally) in &self.legs {
            let failed = ink.verdict(tally.failures.len(), &format!("{:>6}", tally.failures.len()));
            writeln!(
                out,
                "  {}{:>9}  {failed}  {:>8}  {:>9}  {:>7}  {:>10}  {:>7}  {:>8}",
                ink.strong(&format!("{:<10}", mode.as_str())),
                tally.requests,
                tally.by_monolith,
                tally.by_generator,
                tally.refused,
                tally.breakdowns,
                Time(tally.order_time(50)),
                Time(tally.order_time(95)),
            )?;
        }
        let requests: usize = self.legs.iter().map(|(_, tally)| tally.requests).sum();
        let verdict = match self.failures() {
            0 => format!("{requests} requests, none failed."),
            failures => format!("{requests} requests, {failures} failures:"),
        };
        writeln!(out, "\n  {}", ink.verdict(self.failures(), &verdict))?;
        self.write_failures(out)?;
        if self.legs.iter().any(|(_, tally)| tally.breakdowns > 0) {
            let note = "What broke down are the monolith's own errors, passed on as they were: no failures.";
            writeln!(out, "  {}", ink.faint(note))?;
        }
        if self.legs.len() > 1 {
            let note =
                "While a mode is put in force traffic goes on, and either side of the switch may answer.";
            writeln!(out, "  {}", ink.faint(note))?;
        }
        Ok(())
    }

    fn write_failures(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let told = self
            .legs
            .iter()
            .flat_map(|(mode, tally)| tally.failures.iter().map(move |failure| (Some(mode), failure)));
        let counted = self.discrepancies.iter().map(|discrepancy| (None, discrepancy));
        for (mode, failure) in told.chain(counted).take(SHOWN) {
            match mode {
                Some(mode) => writeln!(out, "    {}: {failure}", mode.as_str())?,
                None => writeln!(out, "    {failure}")?,
            }
        }
        if let Some(more) = self.failures().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(out, "    and {more} more")?;
        }
        Ok(())
    }
}

struct Time(Option<Duration>);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(time) => f.pad(&format!("{} ms", time.as_millis())),
            None => f.pad("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        demo::traffic::{
            plan::Visit,
            tally::Due,
            visitor::{Answer, Outcome, Untrue},
        },
        routing::Arm,
    };

    fn leg(results: Vec<Result<Answer, Untrue>>) -> Tally {
        let mut tally = Tally::default();
        for result in results {
            tally.enter("visitor-1", &Visit::Order { prompt: "a cat", size: 256 }, Due::Any, result);
        }
        tally
    }

    fn answer(by: Arm, outcome: Outcome, millis: u64) -> Answer {
        Answer { by, outcome, took: Duration::from_millis(millis) }
    }

    fn text(summary: &Summary, ink: Ink) -> String {
        let mut text = String::new();
        summary.write(&mut text, ink).unwrap();
        text
    }

    #[test]
    fn a_clean_walk() {
        let mut summary = Summary::default();
        summary.add(
            Mode::Monolith,
            leg(vec![
                Ok(answer(Arm::Control, Outcome::Served, 320)),
                Ok(answer(Arm::Control, Outcome::Breakdown, 2)),
            ]),
        );
        summary.add(Mode::Migrated, leg(vec![Ok(answer(Arm::Candidate, Outcome::Served, 81))]));
        summary.reconcile_monolith(2, 1);
        summary.reconcile_comparisons(0);
        assert_eq!(summary.failures(), 0);
        let text = text(&summary, Ink::Plain);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        insta::assert_snapshot!(text, @r"
                                     orders: filled by                             time of an order
        mode       requests  failed  monolith  generator  refused  broke down      p50       p95
        monolith          2       0         1          0        0           1   320 ms    320 ms
        migrated          1       0         0          1        0           0    81 ms     81 ms

        3 requests, none failed.
        What broke down are the monolith's own errors, passed on as they were: no failures.
        While a mode is put in force traffic goes on, and either side of the switch may answer.
        ");
    }

    #[test]
    fn every_sampled_order_must_leave_a_record() {
        let mut summary = Summary::default();
        for mode in [Mode::Monolith, Mode::Shadow, Mode::Canary] {
            let by = [Arm::Control, Arm::Control, Arm::Candidate];
            summary.add(mode, leg(by.map(|by| Ok(answer(by, Outcome::Served, 1))).into()));
        }
        assert_eq!(summary.comparisons_due(), 4);
        summary.reconcile_comparisons(4);
        assert_eq!(summary.failures(), 0);
        summary.reconcile_comparisons(3);
        assert_eq!(summary.failures(), 1);
    }

    #[test]
    fn failures_are_named_and_counted() {
        let mut summary = Summary::default();
        let untrue = || Err(Untrue::Content("an empty page".to_owned()));
        summary.add(Mode::Canary, leg((0..6).map(|_| untrue()).collect()));
        summary.reconcile_monolith(1, 0);
        assert_eq!(summary.failures(), 7);
        insta::assert_snapshot!(text(&summary, Ink::Plain), @r#"
                                     orders: filled by                             time of an order
        mode       requests  failed  monolith  generator  refused  broke down      p50       p95
        canary            6       6         0          0        0           0        -         -

        6 requests, 7 failures:
          canary: visitor-1, Order { prompt: "a cat", size: 256 }: an empty page
          canary: visitor-1, Order { prompt: "a cat", size: 256 }: an empty page
          canary: visitor-1, Order { prompt: "a cat", size: 256 }: an empty page
          canary: visitor-1, Order { prompt: "a cat", size: 256 }: an empty page
          canary: visitor-1, Order { prompt: "a cat", size: 256 }: an empty page
          and 2 more
        "#);
        assert!(text(&summary, Ink::Colour).contains("\x1b[1;31m"));
    }
}
