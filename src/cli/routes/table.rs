//! Tables for people, within 100 columns.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// An empty table with these columns, `figures` to the right of the `words`.
pub(super) fn with_columns(words: &[&str], figures: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(100);
    table.set_header(words.iter().map(Cell::new).chain(figures.iter().map(right)));
    table
}

/// A figure.
pub(super) fn right(text: impl ToString) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

/// Its lines, each ended.
pub(super) fn text(table: &Table) -> String {
    table.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n")
}
