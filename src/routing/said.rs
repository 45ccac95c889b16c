//! What people say when they change something: taken, kept and shown as one line of text.

/// A reason to be kept: some words, in one line, of which a terminal makes nothing else.
///
/// # Errors
/// What is wrong with it, to be read after its name.
pub fn a_reason(text: &str) -> Result<String, &'static str> {
    match text.trim() {
        "" => Err("says why, in a few words"),
        text if text.chars().any(char::is_control) => Err("is one line of text, without control characters"),
        text => Ok(text.to_owned()),
    }
}

/// `text` for a terminal: it may have been kept when nobody looked at what it does there.
pub fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_line_of_text() {
        assert_eq!(a_reason(" imagens em branco: é isso \n").as_deref(), Ok("imagens em branco: é isso"));
        for wrong in ["", " \n", "a\nb: held at nothing", "\u{1b}[2J", "a\u{9b}2J", "a\tb"] {
            assert!(a_reason(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_was_kept_does_nothing_to_a_terminal() {
        assert_eq!(printable("\u{1b}[2Jé\n"), "\\u{1b}[2Jé\\n");
    }
}
