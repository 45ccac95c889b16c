//! What the sketches of all workers say together.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::sketch::{Path, ROWS, Row, Sketch, Tally};
use crate::routing::{Mode, Table};

/// More paths are only counted.
const SHOWN: usize = 100;
/// Parts of words that people use for paths that draw.
const TELLING: [&str; 12] = [
    "completion",
    "dall-e",
    "desenh",
    "diffusion",
    "draw",
    "generat",
    "gerar",
    "imag",
    "paint",
    "pict",
    "prompt",
    "render",
];

/// How much of the site has walked, from the traffic since the gateway started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// What answers: requests that no route took, then by the mode that was in force, then stored images.
    pub modes: Vec<ModeShare>,
    /// Paths of the monolith that no route names, and that look like image generation or are slow; those that take most
    /// time first.
    pub unnamed: Vec<Unnamed>,
    /// How many more of them there are.
    pub more: usize,
    /// Templates that were forgotten for want of room.
    pub forgotten: u64,
}

/// What was answered under one mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModeShare {
    /// A mode; `no route`, or `images` for stored ones.
    pub mode: String,
    /// How many.
    pub requests: u64,
    /// From first to last byte, all of them together.
    pub seconds: f64,
    /// Successful answers to requests that brought JSON or a form: on routes all of them, without a route those on paths
    /// with the sign `prompt`.
    pub generations: u64,
    /// Of the requests, those that a candidate answered.
    pub candidate_requests: u64,
    /// Of the generations, those that a candidate answered.
    pub candidate_generations: u64,
}

/// A path that no route names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Unnamed {
    /// The method.
    pub method: String,
    /// The path, with `{}` for what is different each time.
    pub path: String,
    /// Why it is here.
    pub signs: Vec<Sign>,
    /// How many.
    pub requests: u64,
    /// All of them together.
    pub seconds: f64,
    /// On average.
    pub mean_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Why a path might be worth a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// Most requests bring JSON or a form, and are slow or asked under a telling name.
    Prompt,
    /// Most answers are images.
    Image,
    /// At least half of the answers took a second or more.
    Slow,
}

impl Sign {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Image => "image",
            Self::Slow => "slow",
        }
    }
}

pub(super) fn of(sketches: impl Iterator<Item = Sketch>, table: &Table) -> Coverage {
    let (mut rows, mut forgotten) = ([Row::default(); ROWS], 0);
    let mut paths: HashMap<(String, Box<str>), Path> = HashMap::new();
    for sketch in sketches {
        forgotten += sketch.forgotten;
        rows.iter_mut().zip(&sketch.rows).for_each(|(row, more)| row.merge(more));
        for path in sketch.paths() {
            let key = (path.method.to_string(), path.template.clone());
            paths.entry(key).and_modify(|known| known.merge(path)).or_insert_with(|| path.clone());
        }
    }
    let mut unnamed: Vec<_> = paths
        .values()
        .map(|path| (signs(path), path))
        .filter(|(signs, path)| !signs.is_empty() && !table.names(&path.method, &path.example))
        .collect();
    let prompts = unnamed.iter().filter(|(signs, _)| signs.contains(&Sign::Prompt));
    if let Some(row) = rows.first_mut() {
        row.all.generations = prompts.map(|(_, path)| path.asked_and_succeeded).sum();
    }
    unnamed.sort_by(|(_, a), (_, b)| b.micros.cmp(&a.micros).then_with(|| a.template.cmp(&b.template)));
    let more = unnamed.len().saturating_sub(SHOWN);
    let names = std::iter::once("no route").chain(Mode::ALL.map(Mode::as_str)).chain(["images"]);
    Coverage {
        modes: names.zip(rows).map(|(mode, row)| row.share(mode)).collect(),
        unnamed: unnamed.into_iter().take(SHOWN).map(|(signs, path)| path.unnamed(signs)).collect(),
        more,
        forgotten,
    }
}

fn signs(path: &Path) -> Vec<Sign> {
    let most = |some: u64, all: u64| some > 0 && some * 2 >= all;
    let slow = most(path.slow, path.requests);
    let lower = path.template.to_ascii_lowercase();
    let telling = TELLING.iter().any(|word| lower.contains(word));
    [
        (Sign::Prompt, most(path.asked, path.requests) && (slow || telling)),
        (Sign::Image, most(path.images, path.succeeded)),
        (Sign::Slow, slow),
    ]
    .into_iter()
    .filter_map(|(sign, shows)| shows.then_some(sign))
    .collect()
}

impl Row {
    fn merge(&mut self, more: &Self) {
        self.all.merge(&more.all);
        self.candidate.merge(&more.candidate);
    }

    fn share(self, mode: &str) -> ModeShare {
        ModeShare {
            mode: mode.to_owned(),
            requests: self.all.requests,
            seconds: seconds(self.all.micros),
            generations: self.all.generations,
            candidate_requests: self.candidate.requests,
            candidate_generations: self.candidate.generations,
        }
    }
}

impl Tally {
    fn merge(&mut self, more: &Self) {
        self.requests += more.requests;
        self.micros = self.micros.saturating_add(more.micros);
        self.generations += more.generations;
    }
}

impl Path {
    fn unnamed(&self, signs: Vec<Sign>) -> Unnamed {
        Unnamed {
            method: self.method.to_string(),
            path: self.template.to_string(),
            signs,
            requests: self.requests,
            seconds: seconds(self.micros),
            mean_ms: seconds(self.micros / self.requests.max(1)) * 1e3,
            max_ms: seconds(self.longest) * 1e3,
        }
    }
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}
