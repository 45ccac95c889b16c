//! The file as a whole: its text, its place, and what was found wrong with it.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::diagnostic::{Diagnostics, Problem, Span};

/// The file as it is read, and what was found wrong with it so far.
pub(super) struct Document<'d> {
    pub(super) text: &'d str,
    pub(super) path: &'d Path,
    pub(super) purpose: Purpose,
    line_ends: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    /// The path of every key that was asked for.
    asked: RefCell<BTreeSet<String>>,
    /// The path of every table of which there may be several.
    listed: RefCell<BTreeSet<String>>,
}

/// What the file is read for, and so what becomes of the certificates and secrets that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A start: certificates are looked into, since it needs them.
    Start,
    /// A running gateway, which follows certificates by itself: what has become of them is no mistake of this file's,
    /// and must not keep its rules from being put in force.
    Run,
    /// A command that needs no secret. They are the gateway's, and whoever runs the command may have none of them: each
    /// is read as an empty one.
    Command,
}

impl<'d> Document<'d> {
    pub(super) fn new(text: &'d str, path: &'d Path) -> Self {
        let line_ends = text.match_indices('\n').map(|(at, _)| at).collect();
        Self {
            text,
            path,
            purpose: Purpose::Run,
            line_ends,
            problems: RefCell::default(),
            asked: RefCell::default(),
            listed: RefCell::default(),
        }
    }

    /// To be read for this.
    pub(super) fn read_for(self, purpose: Purpose) -> Self {
        Self { purpose, ..self }
    }

    /// `relative` to the file's folder.
    pub(super) fn beside(&self, relative: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(relative)
    }

    /// The line that `span` begins on, from 1.
    pub(super) fn line(&self, span: &Span) -> usize {
        1 + self.line_ends.partition_point(|end| *end < span.start)
    }

    /// The tables read so far in which `key` would have meant something.
    pub(super) fn tables_with(&self, key: &str) -> Vec<String> {
        let asked = self.asked.borrow();
        asked.iter().filter_map(|path| Some(path.strip_suffix(key)?.strip_suffix('.')?.to_owned())).collect()
    }

    /// `path` is a key that could stand in it.
    pub(super) fn asks(&self, path: String) {
        self.asked.borrow_mut().insert(path);
    }

    /// There may be several tables of this `path`.
    pub(super) fn lists(&self, path: String) {
        self.listed.borrow_mut().insert(path);
    }

    /// The table of this `path` as it is written.
    pub(super) fn header(&self, path: &str) -> String {
        let written = path.replace('*', "NAME");
        if self.listed.borrow().contains(path) { format!("[[{written}]]") } else { format!("[{written}]") }
    }

    pub(super) fn report(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// The errors, or the warnings where there is none: a warning may come of an error's default.
    pub(super) fn verdict(&self) -> Result<Diagnostics, Diagnostics> {
        let (errors, warnings): (Vec<_>, _) = self.problems.take().into_iter().partition(Problem::is_error);
        if errors.is_empty() {
            Ok(Diagnostics::new(self.path, self.text, warnings))
        } else {
            Err(Diagnostics::new(self.path, self.text, errors))
        }
    }
}
