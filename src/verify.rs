//! Is a gateway transparent? The same requests are sent to a site and through the gateway before it, over raw sockets, and
//! the answers are compared byte by byte.
//!
//! The site is asked before the gateway and after it. Where its own answers differ is noise, which is said and not held
//! against the gateway; what is left is a difference, and is asked for again before it is believed.

mod answer;
mod built_in;
mod compare;
mod conversation;
mod exchange;
mod expected;
mod paths;
mod report;
mod side;

use thiserror::Error;

use self::{answer::Answer, compare::Comparison};
pub use self::{
    built_in::{FirstPage, of_safe_methods, of_unsafe_methods},
    compare::Difference,
    exchange::{Draft, Exchange},
    paths::{BadLine, Methods, in_file},
    report::{Outcome, Report},
    side::{BadUrl, Side},
};

/// Whose connection a failed verification could not do without.
#[derive(Debug, Error)]
#[error("{url} cannot be asked: {reason}")]
pub struct Unreachable {
    /// As it was given.
    pub url: String,
    /// What the network or TLS said.
    pub reason: String,
}

/// How often a difference is asked for before it is believed.
const ROUNDS: usize = 3;

/// Sends every exchange both ways and compares; `hear` is told of each as it is done.
pub async fn verify(
    direct: &Side,
    via: &Side,
    exchanges: &[Exchange],
    mut hear: impl FnMut(&Outcome),
) -> Result<Report, Unreachable> {
    let mut outcomes = Vec::with_capacity(exchanges.len());
    for exchange in exchanges {
        let outcome = compared(direct, via, exchange).await?;
        hear(&outcome);
        outcomes.push(outcome);
    }
    Ok(Report { direct: direct.to_string(), via: via.to_string(), exchanges: outcomes })
}

async fn compared(direct: &Side, via: &Side, exchange: &Exchange) -> Result<Outcome, Unreachable> {
    let mut own: Vec<Vec<Answer>> = vec![conversation::hold(direct, exchange).await?];
    let endless = own.iter().flatten().enumerate().find(|(_, answer)| answer.is_endless());
    if let Some((place, answer)) = endless {
        return Ok(Outcome::new(exchange, Comparison::endless(place, answer)));
    }
    let mut rounds = 0;
    loop {
        let through = conversation::hold(via, exchange).await?;
        own.push(conversation::hold(direct, exchange).await?);
        let mut comparison = Comparison::with(exchange.trailers());
        for (place, through) in through.iter().enumerate() {
            let own: Vec<&Answer> = own.iter().filter_map(|answers| answers.get(place)).collect();
            comparison.compare(place, &own, through);
        }
        rounds += 1;
        if comparison.differences.is_empty() || rounds == ROUNDS {
            return Ok(Outcome::new(exchange, comparison));
        }
    }
}

/// What the site says of `/`, for requests that depend on it: validators, and what the page links to.
pub async fn first_page(direct: &Side, draft: &Draft) -> Result<FirstPage, Unreachable> {
    let exchange = draft.simple("the first page", "GET", "/");
    let answers = conversation::hold(direct, &exchange).await?;
    Ok(answers.first().map(FirstPage::of).unwrap_or_default())
}
