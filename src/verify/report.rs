//! What a verification found, for people and for machines.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{
    compare::{Comparison, Difference},
    exchange::Exchange,
};

/// Everything that was compared.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The site's URL.
    pub direct: String,
    /// The gateway's.
    pub via: String,
    /// Each exchange, in order.
    pub exchanges: Vec<Outcome>,
}

/// What came of one exchange.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What it tries.
    pub name: String,
    /// Its first request line.
    pub request: String,
    /// What is not the same.
    pub differences: Vec<Difference>,
    /// What the site's own answers do not agree on, and so was not compared.
    pub varies: Vec<String>,
    /// What differs because each connection has its own.
    pub of_the_hop: Vec<String>,
}

impl Outcome {
    pub(super) fn new(exchange: &Exchange, comparison: Comparison) -> Self {
        Self {
            name: exchange.name.clone(),
            request: exchange.request(),
            differences: comparison.differences,
            varies: comparison.varies.into_iter().collect(),
            of_the_hop: comparison.of_the_hop.into_iter().collect(),
        }
    }

    /// Its differences in text; nothing where there are none.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if self.differences.is_empty() {
            return text;
        }
        let Self { name, request, .. } = self;
        // Writing to a text cannot fail.
        _ = writeln!(text, "differs: {name}\n  {request}");
        for Difference { part, answer, at, direct, via } in &self.differences {
            let place = at.map(|at| format!(", from byte {at} on")).unwrap_or_default();
            let which = if *answer > 1 { format!(" of answer {answer}") } else { String::new() };
            _ = writeln!(text, "    {part}{which}{place}");
            for (sign, lines) in [("direct", direct), ("via   ", via)] {
                for line in lines {
                    _ = writeln!(text, "      {sign}  {line}");
                }
            }
        }
        text
    }
}

impl Report {
    /// How many exchanges differ.
    pub fn differing(&self) -> usize {
        self.exchanges.iter().filter(|outcome| !outcome.differences.is_empty()).count()
    }

    /// What was left out of the comparison and why, and the sum; the differences themselves are told as they are found.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        let varies = said(self.exchanges.iter().map(|outcome| &outcome.varies));
        let of_the_hop = said(self.exchanges.iter().map(|outcome| &outcome.of_the_hop));
        for (title, said) in [
            ("Not compared, because the site's own answers differ there (* in these):", varies),
            ("Not compared, because each connection has its own:", of_the_hop),
        ] {
            if !said.is_empty() {
                _ = writeln!(text, "{title}");
                for (what, times) in said {
                    _ = writeln!(text, "  {what} ({times})");
                }
            }
        }
        let (all, differing) = (self.exchanges.len(), self.differing());
        _ = match differing {
            0 => writeln!(text, "{all} exchanges, all the same."),
            _ => writeln!(text, "{all} exchanges, {differing} of them not the same."),
        };
        text
    }
}

/// Each thing once, with how often it was said.
fn said<'o>(all: impl Iterator<Item = &'o Vec<String>>) -> BTreeMap<&'o str, usize> {
    let mut said = BTreeMap::new();
    for what in all.flatten() {
        *said.entry(what.as_str()).or_default() += 1;
    }
    said
}
