//! Reading one table of the file, key by key.
//!
//! Reading is total: a key that is wrong leaves a diagnostic and its default, so that one pass finds every error. Each
//! read names its key, the kind of its value and its default, and nothing else names them again: what was never asked
//! for is an unknown key. Run over nothing, the same reads describe the file (`schema.rs`).

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{
    diagnostic::{Problem, Span},
    document::Document,
    kind::{Item, Kind, Wrong, nearest},
    later,
    schema::{self, Shape},
    shown::is_address,
};
use crate::routing::is_telling;

/// One table of the file; absent tables read as empty ones, so that defaults stand in one place.
pub(super) struct Section<'d> {
    document: &'d Document<'d>,
    /// Its path in the contract: names that the operator chose are `*`, places in lists are left out.
    path: String,
    /// Its header, or the place that lacks it.
    span: Span,
    entries: Option<&'d DeTable<'d>>,
    /// Every key that was asked for.
    known: Vec<&'static str>,
    /// What is learned of it, while the file is described and not read.
    shape: Option<Shape>,
}

impl<'d> Section<'d> {
    /// The whole file as a section.
    pub(super) fn root(document: &'d Document<'d>, entries: &'d DeTable<'d>) -> Self {
        Self {
            document,
            path: String::new(),
            span: 0..0,
            entries: Some(entries),
            known: Vec::new(),
            shape: None,
        }
    }

    /// No file at all, to learn what could be in one.
    pub(super) fn described(document: &'d Document<'d>) -> Self {
        Self {
            document,
            path: String::new(),
            span: 0..0,
            entries: None,
            known: Vec::new(),
            shape: Some(Shape::default()),
        }
    }

    /// The value of `key`, or `default`.
    pub(super) fn or<K: Kind>(&mut self, key: &'static str, kind: K, default: K::Value) -> K::Value {
        if let Some(shape) = &mut self.shape {
            shape.key(key, schema::of(&kind, Some(&default)));
        }
        self.value(key, kind).unwrap_or(default)
    }

    /// The same, but nothing where what stands there is wrong: it has been said, and is not to be judged further.
    pub(super) fn sound_or<K: Kind>(
        &mut self,
        key: &'static str,
        kind: K,
        default: K::Value,
    ) -> Option<K::Value> {
        if let Some(shape) = &mut self.shape {
            shape.key(key, schema::of(&kind, Some(&default)));
        }
        let is_written = self.has(key);
        self.value(key, kind).or_else(|| (!is_written).then_some(default))
    }

    /// The value of `key`, which has no default.
    pub(super) fn optional<K: Kind>(&mut self, key: &'static str, kind: K) -> Option<K::Value> {
        if let Some(shape) = &mut self.shape {
            shape.key(key, schema::of(&kind, None));
        }
        self.value(key, kind)
    }

    fn value<K: Kind>(&mut self, key: &'static str, kind: K) -> Option<K::Value> {
        let item = self.item(key)?;
        if self.refuses(key, item) {
            return None;
        }
        kind.read(item).map_err(|wrongs| self.complain(key, &kind, wrongs)).ok()
    }

    /// The value of `key`, or `default`; or what `read` makes of the table that stands there instead of a word.
    pub(super) fn word_or_section<K: Kind, T>(
        &mut self,
        key: &'static str,
        kind: K,
        default: K::Value,
        read: impl FnOnce(&mut Section<'d>) -> T,
    ) -> Result<K::Value, T> {
        let is_table =
            self.entries.and_then(|entries| entries.get(key)).is_some_and(|item| item.get_ref().is_table());
        if is_table {
            return Err(self.section(key, read));
        }
        let word = schema::of(&kind, Some(&default));
        if self.shape.is_some() {
            drop(self.section(key, read));
        }
        if let Some(shape) = &mut self.shape {
            shape.alternative(key, word);
        }
        Ok(self.value(key, kind).unwrap_or(default))
    }

    /// The value of `key`, without which the section means nothing.
    pub(super) fn required<K: Kind>(&mut self, key: &'static str, kind: K) -> Option<K::Value> {
        if let Some(shape) = &mut self.shape {
            shape.key(key, schema::of(&kind, None));
            shape.require(key);
        }
        if !self.has(key) {
            self.item(key);
            let place =
                if self.entries.is_some() { String::new() } else { format!(", in a table [{}]", self.path) };
            self.document.report(
                Problem::error(format!("`{}` is missing", self.path_of(key)))
                    .at(self.span.clone())
                    .help(format!("it takes {}{place}", kind.expects())),
            );
            return None;
        }
        self.value(key, kind)
    }

    /// Reads the table `key`, where there is one.
    pub(super) fn optional_section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'d>) -> T,
    ) -> Option<T> {
        if self.has(key) {
            return Some(self.section(key, read));
        }
        self.item(key);
        self.describe(key, Shape::table, read)
    }

    /// Reads the table `key`.
    pub(super) fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'d>) -> T) -> T {
        let item = self.item(key);
        let entries = item.and_then(|item| item.get_ref().as_table());
        if let (Some(item), None) = (item, entries) {
            self.not_a_table(key, item, &format!("[{}]", self.path_of(key)));
        }
        let span = item.map_or_else(|| self.span.clone(), Item::span);
        let (value, below) = self.below(key, span, entries).read(read);
        if let (Some(shape), Some(below)) = (&mut self.shape, below) {
            if below.is_needed() {
                shape.require(key);
            }
            shape.key(key, below.table());
        }
        value
    }

    /// Reads every table of the list `key`.
    pub(super) fn list<T>(&mut self, key: &'static str, read: impl Fn(&mut Section<'d>) -> T) -> Vec<T> {
        self.document.lists(self.path_of(key));
        let Some(item) = self.item(key) else {
            return self.describe(key, Shape::list, read).into_iter().collect();
        };
        let header = format!("[[{}]]", self.path_of(key));
        let DeValue::Array(array) = item.get_ref() else {
            self.not_a_table(key, item, &header);
            return Vec::new();
        };
        let mut list = Vec::with_capacity(array.len());
        for item in array {
            match item.get_ref() {
                DeValue::Table(table) => list.push(self.below(key, item.span(), Some(table)).read(&read).0),
                _ => self.not_a_table(key, item, &header),
            }
        }
        list
    }

    /// Reads every table of the table `key`, each under a name that the operator chose.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&str, Span, &mut Section<'d>) -> T,
    ) -> Vec<T> {
        let Some(item) = self.item(key) else {
            let any = |section: &mut Section<'d>| read("name", 0..0, section);
            return self.describe(key, Shape::named, any).into_iter().collect();
        };
        let header = format!("[{key}.NAME]");
        let DeValue::Table(tables) = item.get_ref() else {
            self.not_a_table(key, item, &header);
            return Vec::new();
        };
        let mut list = Vec::with_capacity(tables.len());
        for (name, item) in tables {
            match item.get_ref() {
                DeValue::Table(table) => list.push(
                    self.below(&format!("{key}.*"), item.span(), Some(table))
                        .read(|section| read(name.get_ref(), name.span(), section))
                        .0,
                ),
                _ => self.not_a_table(name.get_ref(), item, &header),
            }
        }
        list
    }

    /// True when the file holds `key`.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Where the value of `key` stands; the section itself when it is absent.
    pub(super) fn span_of(&self, key: &str) -> Span {
        self.entries.and_then(|entries| entries.get(key)).map_or_else(|| self.span.clone(), Item::span)
    }

    /// The line of its header, from 1.
    pub(super) fn line(&self) -> usize {
        self.document.line(&self.span)
    }

    pub(super) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    /// Reports what is wrong with the value of `key` in the light of others.
    pub(super) fn error(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        self.document.report(Problem::error(message).help(help).at(self.span_of(key)));
    }

    /// Reports what is legal at `key` and unwise.
    pub(super) fn warning(&self, key: &str, message: impl Into<String>, help: impl Into<String>) {
        let (span, problem) = (self.span_of(key), Problem::warning(message).help(help));
        let problem = if is_address(&self.path_of(key)) { problem.hiding(span.clone()) } else { problem };
        self.document.report(problem.at(span));
    }

    fn item(&mut self, key: &'static str) -> Option<&'d Item<'d>> {
        self.known.push(key);
        self.document.asks(self.path_of(key));
        self.entries?.get(key)
    }

    fn below(&self, key: &str, span: Span, entries: Option<&'d DeTable<'d>>) -> Section<'d> {
        let shape = self.shape.is_some().then(Shape::default);
        Section { document: self.document, path: self.path_of(key), span, entries, known: Vec::new(), shape }
    }

    fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Option<Shape>) {
        let value = read(&mut self);
        self.refuse_the_rest();
        (value, self.shape)
    }

    /// Learns what each of several tables under `key` could hold, by reading one that holds nothing.
    fn describe<T>(
        &mut self,
        key: &'static str,
        several: fn(Shape) -> Value,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let (value, below) = self.shape.is_some().then(|| self.below(key, 0..0, None).read(read))?;
        if let (Some(shape), Some(below)) = (&mut self.shape, below) {
            shape.key(key, several(below));
        }
        Some(value)
    }

    /// What was learned, where the file was described.
    pub(super) fn into_shape(self) -> Option<Shape> {
        self.shape
    }

    /// Every key that nobody asked for is either ahead of its time or a mistake.
    pub(super) fn refuse_the_rest(&self) {
        for (key, item) in self.entries.into_iter().flatten() {
            let (name, path) = (&**key.get_ref(), self.path_of(key.get_ref()));
            if self.known.contains(&name) || self.refuses(name, item) || later::knows(&path) {
                continue;
            }
            let is_later_section = later::keys_below(&path).next().is_some();
            match item.get_ref() {
                DeValue::Table(table) if is_later_section => {
                    self.below(name, item.span(), Some(table)).refuse_the_rest();
                }
                _ if is_later_section => self.not_a_table(name, item, &format!("[{path}]")),
                _ => self.unknown(name, key.span(), item.span()),
            }
        }
    }

    fn unknown(&self, key: &str, span: Span, value: Span) {
        let known = self.known.iter().copied().chain(later::keys_below(&self.path));
        let table = if self.path.is_empty() { String::new() } else { format!(" in `{}`", self.path) };
        let problem = Problem::error(format!("unknown key `{key}`{table}")).at(span);
        let elsewhere = self.document.tables_with(key);
        let (kin, near) = (elsewhere.iter().find(|table| self.is_kin(table)), nearest(key, known));
        let place = if near.is_some() { kin } else { kin.or(elsewhere.first()) };
        self.document.report(match (place, near) {
            (Some(table), _) => problem.help(format!("its place is {}", self.document.header(table))),
            (None, Some(near)) if is_telling(near) => {
                problem.hiding(value).help(format!("did you mean `{near}`?"))
            }
            (None, Some(near)) => problem.help(format!("did you mean `{near}`?")),
            (None, None) => problem,
        });
    }

    /// Whether `table` stands near: below this one, above it or beside it.
    fn is_kin(&self, table: &str) -> bool {
        let above =
            |path: &str| path.rsplit_once('.').map_or_else(String::new, |(above, _)| above.to_owned());
        let (ours, theirs) = (above(&self.path), above(table));
        theirs == self.path || table == ours || (theirs == ours && !ours.is_empty())
    }

    fn refuses(&self, key: &str, item: &Item<'_>) -> bool {
        let Some(not_yet) = later::refusal(&self.path_of(key), key, item) else { return false };
        let message = format!("{} is not in this version", not_yet.what);
        let problem = Problem::error(message).at(item.span());
        self.document.report(match not_yet.instead {
            Some(instead) => problem.help(instead),
            None => problem,
        });
        true
    }

    fn complain<K: Kind>(&self, key: &str, kind: &K, wrongs: Vec<Wrong>) {
        for Wrong { span, what, meant } in wrongs {
            let meant = meant.map_or_else(String::new, |word| format!("did you mean \"{word}\"? "));
            let problem = Problem::error(format!("`{key}` {what}"));
            let problem = if is_address(&self.path_of(key)) { problem.hiding(span.clone()) } else { problem };
            self.document.report(problem.at(span).help(format!("{meant}it takes {}", kind.expects())));
        }
    }

    fn not_a_table(&self, key: &str, item: &Item<'_>, header: &str) {
        let message = format!("`{key}` does not fit here: it is written {header}");
        self.document.report(Problem::error(message).at(item.span()));
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
