//! Stars out of a line what may be a secret, before the line is shown.
//!
//! Lexical on purpose: the line may be the very one that does not parse. It errs on the side of stars.

use super::shown::is_hidden;

/// What stands around a line.
#[derive(Clone, Copy)]
pub(super) enum Around<'t> {
    /// A string of several lines.
    String,
    /// The table of this path.
    Table(&'t str),
}

/// `line`, as long as before, with secrets and control characters replaced.
pub(super) fn masked(line: &str, around: Around<'_>) -> String {
    let masked = match around {
        Around::String => stars(line),
        Around::Table(table) if table == "tell" || line.trim_start().starts_with("tell") => {
            without_addresses(&masked_values(line, table))
        }
        Around::Table(table) => masked_values(line, table),
    };
    let masked = without_users(masked);
    masked.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// `text` with all of its URLs but their schemes starred out, as those of hooks.
fn without_addresses(text: &str) -> String {
    let mut parts = text.split("://");
    let scheme = parts.next().unwrap_or_default().to_owned();
    parts.fold(scheme, |shown, part| {
        let end = part.find(['"', '\'', ' ', '\t']).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        format!("{shown}://{}{rest}", stars(address))
    })
}

/// `text` with the users and passwords of its URLs starred out.
pub(super) fn without_users(mut text: String) -> String {
    while let Some((start, end)) = user_information(&text) {
        let hidden = text.get(start..end).map(stars).unwrap_or_default();
        text.replace_range(start..end, &hidden);
    }
    text
}

/// Hides the values of telling keys, but for the names of variables and files.
fn masked_values(line: &str, table: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    let mut secret = false;
    while let Some((before, after)) = rest.split_once('=') {
        shown.push_str(before);
        shown.push('=');
        let key = last_word(before);
        secret = secret
            || is_hidden(&format!("{table}.{}", dotted(before)))
            || (key == "headers" && after.trim_start().starts_with('{'));
        if !secret || after.trim_start().starts_with('{') {
            rest = after;
            continue;
        }
        let (value, more) = after.split_at(value_length(after));
        match key {
            "file" => shown.push_str(value),
            "env" if is_a_variable(value) => shown.push_str(value),
            _ => shown.push_str(&stars(value)),
        }
        rest = more;
    }
    shown.push_str(rest);
    shown
}

/// The bare or quoted key that ends `text`.
fn last_word(text: &str) -> &str {
    let text = text.trim_end().trim_matches(['"', '\'']);
    text.rsplit([' ', '\t', '{', ',', '.', '"', '\'']).next().unwrap_or_default()
}

/// The same with the keys before it, as in `limits.head`.
fn dotted(text: &str) -> String {
    let key = text.trim_end().rsplit([' ', '\t', '{', ',']).next().unwrap_or_default();
    key.replace(['"', '\''], "")
}

/// How much of `text` is the value that it starts with: a string to its end, anything else to the next delimiter.
fn value_length(text: &str) -> usize {
    let indent = text.len() - text.trim_start().len();
    let value = text.trim_start();
    let mut characters = value.char_indices();
    let length = match characters.next() {
        Some((_, quote @ ('"' | '\''))) => {
            let mut escaped = false;
            characters.find_map(|(at, c)| {
                let closes = c == quote && !escaped;
                escaped = c == '\\' && !escaped && quote == '"';
                closes.then_some(at + 1)
            })
        }
        _ => value.find([',', '}']),
    };
    length.map_or(text.len(), |length| indent + length)
}

/// Upper case by convention; anything else may be the secret itself, written in the wrong place.
fn is_a_variable(value: &str) -> bool {
    value
        .trim()
        .trim_matches(['"', '\''])
        .bytes()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

/// Where in `text` a URL holds a user and perhaps a password that are not stars yet.
fn user_information(text: &str) -> Option<(usize, usize)> {
    text.match_indices("://").find_map(|(at, scheme)| {
        let start = at + scheme.len();
        let authority = text.get(start..)?.split(['/', '"', '\'', ' ']).next()?;
        let length = authority.rfind('@')?;
        authority.bytes().take(length).any(|byte| byte != b'*').then_some((start, start + length))
    })
}

fn stars(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() || matches!(c, '"' | '\'') { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_starred_and_the_rest_is_not() {
        for (line, expected) in [
            (r#"admin_token = "hunter2""#, r#"admin_token = "*******""#),
            (r#"admin_token = "hun\"ter2" # x"#, r#"admin_token = "****"****" # x"#),
            ("admin_token = hunter2", "admin_token = *******"),
            (r#"admin_token = "hunter2"#, r#"admin_token = "*******"#),
            (r#"admin_token = { env = "FIGUEIRA_TOKEN" }"#, r#"admin_token = { env = "FIGUEIRA_TOKEN" }"#),
            (r#"admin_token = { env = "hunter2" }"#, r#"admin_token = { env = "*******" }"#),
            (r#"secret = { file = "a/b" }"#, r#"secret = { file = "a/b" }"#),
            (r#"secret = { value = "hunter2", b = 1 }"#, r#"secret = { value = "*******", b = * }"#),
            (r#"headers = { x-k = "hunter2" }"#, r#"headers = { x-k = "*******" }"#),
            (r#"headers = { "x-api-key" = "hunter2" }"#, r#"headers = { "x-api-key" = "*******" }"#),
            (r#"headers = ["content-type"]"#, r#"headers = ["content-type"]"#),
            (r#"url = "http://ana:hunter2@h/p""#, r#"url = "http://***********@h/p""#),
            ("path = \"/a\u{1b}[2J\"", "path = \"/a\u{fffd}[2J\""),
            (r#"path = "/api/images""#, r#"path = "/api/images""#),
        ] {
            assert_eq!(masked(line, Around::Table("a")), expected);
        }
        assert_eq!(masked("hunter2 \"", Around::String), "******* \"");
    }

    #[test]
    fn a_table_says_what_its_keys_do_not() {
        for (table, line, expected) in [
            ("tell", r#"url = "https://h/hunter2" x"#, r#"url = "*****************" x"#),
            ("tell", r#"adress = "https://h/hunter2""#, r#"adress = "https://*********""#),
            ("tell", r#"url "https://h/hunter2"#, r#"url "https://*********"#),
            ("", r#"tell = [{ url = "https://h/hunter2" }]"#, r#"tell = [{ url = "https://*********" }]"#),
            ("upstreams.x.headers", r#"x-k = "hunter2""#, r#"x-k = "*******""#),
            ("upstreams.x", r#"headers.x-k = "hunter2""#, r#"headers.x-k = "*******""#),
            ("upstreams.x", r#"url = "http://h""#, r#"url = "http://h""#),
        ] {
            assert_eq!(masked(line, Around::Table(table)), expected);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_line_keeps_its_length(line in ".{0,80}") {
            proptest::prop_assert_eq!(masked(&line, Around::Table("tell")).chars().count(), line.chars().count());
        }
    }
}
