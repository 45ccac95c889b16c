//! A report for machines.

use crate::report::Report;

/// The contract's JSON, indented, ending with a newline.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    Ok(text)
}
