//! Exchanges of one's own: a file with a target a line.

use thiserror::Error;

use super::exchange::{Draft, Exchange};

/// A line that is no request.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{line}: {reason}")]
pub struct BadLine {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it, and what to do.
    pub reason: String,
}

/// Methods that change nothing (RFC 9110, 9.2.1).
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// Which methods may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Those that change nothing.
    Safe,
    /// Any.
    Any,
}

/// Reads `target` or `METHOD target` on each line; empty lines and those that begin with `#` are skipped.
pub fn in_file(text: &str, draft: &Draft, methods: Methods) -> Result<Vec<Exchange>, Vec<BadLine>> {
    let (mut exchanges, mut bad) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (method, target) = match line.split_once(char::is_whitespace) {
            Some((method, target)) => (method, target.trim()),
            None => ("GET", line),
        };
        match judged(method, target, methods) {
            Ok(()) => exchanges.push(draft.simple(line, method, target)),
            Err(reason) => bad.push(BadLine { line: number + 1, reason }),
        }
    }
    if exchanges.is_empty() && bad.is_empty() {
        bad.push(BadLine { line: 1, reason: "names no target: write one a line, such as /about".to_owned() });
    }
    if bad.is_empty() { Ok(exchanges) } else { Err(bad) }
}

fn judged(method: &str, target: &str, methods: Methods) -> Result<(), String> {
    let is_path = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    if !is_path
        || target.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '#')
    {
        return Err(format!("`{target}` is no target: it begins with / and is percent-encoded"));
    }
    if !method.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(format!("`{method}` is no method"));
    }
    if methods == Methods::Safe && !SAFE.contains(&method) {
        return Err(format!("{method} may change the site: --unsafe-methods allows it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, methods: Methods) -> Result<Vec<String>, Vec<usize>> {
        let draft = Draft::new("shop.test".to_owned(), Vec::new());
        in_file(text, &draft, methods)
            .map(|exchanges| exchanges.iter().map(Exchange::request).collect())
            .map_err(|bad| bad.iter().map(|bad| bad.line).collect())
    }

    #[test]
    fn a_line_is_a_target_or_a_method_and_a_target() {
        let read = |text| read(text, Methods::Safe);
        let wanted = ["GET /a?b HTTP/1.1", "HEAD /c HTTP/1.1", "OPTIONS * HTTP/1.1"].map(str::to_owned);
        assert_eq!(read("# mine\n/a?b\n\n  HEAD \t /c\r\nOPTIONS *\n"), Ok(wanted.into()));
        assert_eq!(read("/a\nb\n/c d\nPOST /e\nGET *\n/f#g"), Err(vec![2, 3, 4, 5, 6]));
        assert_eq!(read("# nothing\n"), Err(vec![1]));
    }

    #[test]
    fn other_methods_have_to_be_allowed() {
        assert_eq!(read("DELETE /a", Methods::Any), Ok(vec!["DELETE /a HTTP/1.1".to_owned()]));
        assert_eq!(read("DEL(ETE /a", Methods::Any), Err(vec![1]));
    }
}
