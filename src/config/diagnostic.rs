//! What is wrong with a file, where, and what to write instead.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use super::mask::{Around, masked};

/// A place in the file, in bytes.
pub(super) type Span = Range<usize>;

/// What one file holds that is wrong or unwise, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    path: PathBuf,
    list: Vec<Diagnostic>,
    /// Those beyond the list.
    more: usize,
}

/// One problem as it is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    severity: Severity,
    message: String,
    help: Option<String>,
    span: Option<Span>,
    related: Option<(Span, String)>,
    /// What must not be shown, wherever it stands.
    hidden: Option<Span>,
}

/// One problem as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Diagnostic {
    severity: Severity,
    message: String,
    /// What to write instead.
    help: Option<String>,
    /// Where; absent when the file could not be read at all.
    excerpt: Option<Excerpt>,
    /// Another place that the message is about, and what is there.
    related: Option<(Excerpt, String)>,
}

/// Whether the file can be used in spite of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

/// A line of the file with a part of it marked; what may be a secret is starred out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Excerpt {
    line: usize,
    /// From 1, in characters.
    column: usize,
    text: String,
    /// Where in `text` the mark stands and how wide it is, in characters.
    mark: (usize, usize),
}

/// More than these are only counted: nobody reads them, and a huge file must not make a huge log.
const SHOWN: usize = 50;
/// A longer line is cut around its mark, in characters.
const LONGEST_LINE: usize = 160;

impl Diagnostics {
    /// Shows `problems` of `text`, the content of the file at `path`.
    pub(super) fn new(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
        let more = problems.len().saturating_sub(SHOWN);
        let list = problems.into_iter().take(SHOWN).map(|problem| Diagnostic::new(text, problem)).collect();
        Self { path: path.to_owned(), list, more }
    }

    /// The file could not be read at all.
    pub(super) fn unreadable(path: &Path, problem: Problem) -> Self {
        Self::new(path, "", vec![problem])
    }

    /// How many problems there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.more
    }

    /// True when there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those that `before` does not hold, wherever they stand.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Self {
        let is_new = |diagnostic: &&Diagnostic| !before.list.iter().any(|known| known.says_like(diagnostic));
        Self {
            path: self.path.clone(),
            list: self.list.iter().filter(is_new).cloned().collect(),
            more: self.more.saturating_sub(before.more),
        }
    }

    /// The first of them, each with its message and, where it has one, its line.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<usize>)> {
        self.list.iter().map(|shown| (&*shown.message, shown.excerpt.as_ref().map(|excerpt| excerpt.line)))
    }
}

impl Problem {
    pub(super) fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            help: None,
            span: None,
            related: None,
            hidden: None,
        }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// What to write instead.
    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    pub(super) fn at(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// Another place that the message is about, and what is there.
    pub(super) fn related(self, span: Span, label: impl Into<String>) -> Self {
        Self { related: Some((span, label.into())), ..self }
    }

    /// What may be a secret though nothing in its line says so.
    pub(super) fn hiding(self, span: Span) -> Self {
        Self { hidden: Some(span), ..self }
    }

    pub(super) fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Excerpt {
    fn new(text: &str, span: Span, hidden: Span) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = after.find('\n').map_or(text.len(), |newline| start + newline);
        let line = text.get(line_start..line_end).unwrap_or_default().trim_end_matches('\r');
        let end = text.floor_char_boundary(span.end.clamp(start, line_end));

        let column = characters(text.get(line_start..start));
        let width = characters(text.get(start..end)).max(1);
        let cut =
            if line.chars().count() > LONGEST_LINE { column.saturating_sub(LONGEST_LINE / 2) } else { 0 };
        let above = before.get(..line_start).unwrap_or_default();
        let around = if ends_inside_a_multi_line_string(above) {
            Around::String
        } else {
            Around::Table(last_table(above))
        };
        Self {
            line: 1 + before.matches('\n').count(),
            column: column + 1,
            text: masked(&starred(line, line_start, &hidden), around)
                .chars()
                .skip(cut)
                .take(LONGEST_LINE)
                .collect(),
            mark: (column - cut, width.min(LONGEST_LINE - (column - cut).min(LONGEST_LINE - 1))),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, gutter: usize, mark: char, label: &str) -> fmt::Result {
        let (start, width) = self.mark;
        // Tabs stay tabs, so that the mark stands under what it marks however wide they are shown.
        let indent: String = self
            .text
            .chars()
            .chain(std::iter::repeat(' '))
            .take(start)
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        writeln!(f, "{:gutter$} | {}", self.line, self.text)?;
        let mark = String::from(mark).repeat(width);
        writeln!(f, "{:gutter$} | {}", "", format_args!("{indent}{mark} {label}").to_string().trim_end())
    }
}

/// `line`, which begins at the byte `start`, with what lies in `hidden` starred out.
fn starred(line: &str, start: usize, hidden: &Span) -> String {
    line.char_indices().map(|(at, c)| if hidden.contains(&(start + at)) { '*' } else { c }).collect()
}

fn characters(text: Option<&str>) -> usize {
    text.map_or(0, |text| text.chars().count())
}

/// The path in the last header of `text`: `tell` of `[[tell]]`.
fn last_table(text: &str) -> &str {
    let header = text.lines().rev().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default().trim();
        line.strip_prefix('[')?.strip_suffix(']')
    });
    header.unwrap_or_default().trim_matches(['[', ']', ' '])
}

fn ends_inside_a_multi_line_string(text: &str) -> bool {
    (text.matches("\"\"\"").count() + text.matches("'''").count()) % 2 == 1
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, diagnostic) in self.list.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            diagnostic.write(f, &self.path)?;
        }
        if self.more > 0 { writeln!(f, "\nand {} more", self.more) } else { Ok(()) }
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostic {
    fn new(text: &str, problem: Problem) -> Self {
        let Problem { severity, message, help, span, related, hidden } = problem;
        let excerpt = |span| Excerpt::new(text, span, hidden.clone().unwrap_or_default());
        Self {
            severity,
            message,
            help,
            excerpt: span.map(excerpt),
            related: related.map(|(span, label)| (excerpt(span), label)),
        }
    }

    /// True where the other says the same of the same text, on whatever line.
    fn says_like(&self, other: &Self) -> bool {
        let text = |shown: &Self| shown.excerpt.as_ref().map(|excerpt| excerpt.text.clone());
        (&self.message, &self.help, text(self)) == (&other.message, &other.help, text(other))
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, path: &Path) -> fmt::Result {
        write!(f, "{}", path.display())?;
        if let Some(Excerpt { line, column, .. }) = &self.excerpt {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, ": {severity}: {}", self.message)?;

        let related = self.related.as_ref().map(|(excerpt, _)| excerpt);
        let last_line =
            [self.excerpt.as_ref(), related].into_iter().flatten().map(|excerpt| excerpt.line).max();
        let gutter = last_line.map_or(0, |line| line.to_string().len()) + 1;
        if let Some(excerpt) = &self.excerpt {
            excerpt.write(f, gutter, '^', "")?;
        }
        if let Some((excerpt, label)) = &self.related {
            excerpt.write(f, gutter, '-', label)?;
        }
        let mut help = self.help.iter().flat_map(|help| help.lines());
        help.next().map_or(Ok(()), |line| writeln!(f, "{:gutter$} = help: {line}", ""))?;
        help.try_for_each(|line| writeln!(f, "{:gutter$}         {line}", ""))
    }
}
