//! What is never written down of a pair: keys, the credentials that its request came with, values whose names say what
//! they are, and the header fields that the operator names. An answer may hold them where nobody expects it, and evidence
//! is read by more people than answers.

use std::{borrow::Cow, sync::LazyLock};

use http::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE},
};
use regex::bytes::{NoExpand, Regex};

use super::{candidate::CapturedRequest, comparison::Difference};

/// What stands in their place.
pub(crate) const REDACTED: &str = "(redacted)";

/// Keys of well-known looks: of `OpenAI`, AWS, GitHub, GitLab, Google, Slack and Stripe, and private keys in PEM.
const KEYS: &str = r"(?x-u)
    \b sk-[A-Za-z0-9_-]{20,}
  | \b A[KS]IA[0-9A-Z]{16} \b
  | \b gh[pousr]_[A-Za-z0-9]{36}
  | \b github_pat_[A-Za-z0-9_]{22,}
  | \b glpat-[A-Za-z0-9_-]{20,}
  | \b AIza[A-Za-z0-9_-]{35}
  | \b xox[abeoprs]-[A-Za-z0-9-]{10,}
  | \b [rs]k_live_[A-Za-z0-9]{16,}
  | -----BEGIN\ [A-Z\ ]*PRIVATE\ KEY----- (?s: .*? -----END\ [A-Z\ ]*PRIVATE\ KEY----- | .* )";

/// What lets its holder be somebody, and an answer may well hold: a JSON Web Token (RFC 7519).
const TOKENS: &str = r"(?-u)\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}";

/// Names of values that are nobody else's: of JSON, of forms in both their forms, and of queries.
const NAMES: &str = r"[a-z0-9_.-]*(?:passw(?:or)?d|passphrase|api_?key|client_?secret|access_?token|refresh_?token|id_?token)[a-z0-9_.-]*|secret";

/// The beginning of either at the end of a text that was cut.
const CUT: &str = r"(?x-u) \b (?: sk-[A-Za-z0-9_-]{4,} | A[KS]IA[0-9A-Z]{4,} | gh[pousr]_[A-Za-z0-9]{4,} | github_pat_[A-Za-z0-9_]*
  | glpat-[A-Za-z0-9_-]* | AIza[A-Za-z0-9_-]{4,} | xox[abeoprs]-[A-Za-z0-9-]* | [rs]k_live_[A-Za-z0-9]*
  | eyJ[A-Za-z0-9_.-]{8,} ) \z";

/// Compiled once: the patterns never change.
static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(KEYS).ok());
static KEY_OR_TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("(?:{KEYS})|(?:{TOKENS})")).ok());
static CUT_SHORT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(CUT).ok());
static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i-u)^(?:{NAMES})$")).ok());
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let json = format!(r#"("(?:{NAMES})"\s*:\s*")(?:[^"\\]|\\.)*"#);
    let form = format!(r"((?:^|[?&\s])(?:{NAMES})=)[^&\s]+");
    let part = format!(r#"(name="(?:{NAMES})"\r\n\r\n)[^\r]*"#);
    Regex::new(&format!("(?i-u){json}|{form}|{part}")).ok()
});
/// Of what [`NAMED`] finds, all but the value.
const NAMELESS: &[u8] = b"${1}${2}${3}(redacted)";

/// Shorter values are found anywhere.
const SHORTEST: usize = 16;
/// Bytes of a credential from which its beginning is told at the end of a text that was cut.
const BEGINNING: usize = 6;
/// A side of a difference from here on may have been cut.
const LONG: usize = 250;

/// Whether `bytes` hold a key of a well-known look.
pub(crate) fn has_key(bytes: &[u8]) -> bool {
    KEY.as_ref().is_some_and(|key| key.is_match(bytes))
}

/// The values that let whoever has them be the user.
pub(crate) fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let cookies = headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let values = cookies.filter_map(|pair| pair.splitn(2, |byte| *byte == b'=').nth(1));
    let tokens = headers.get_all(AUTHORIZATION).iter();
    let tokens = tokens.filter_map(|line| line.as_bytes().splitn(2, |byte| *byte == b' ').nth(1));
    values.chain(tokens).map(<[u8]>::trim_ascii).filter(|secret| secret.len() >= SHORTEST)
}

/// The secrets of one pair.
pub(crate) struct Secrets<'a> {
    fields: &'a [String],
    /// The longest first: one may be a part of another.
    credentials: Vec<&'a [u8]>,
}

impl<'a> Secrets<'a> {
    /// Of the pair of `request`; `fields` are names of header fields.
    pub(crate) fn of(request: &'a CapturedRequest, fields: &'a [String]) -> Self {
        let mut credentials: Vec<&[u8]> = credentials(&request.headers).collect();
        credentials.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { fields, credentials }
    }

    /// Whether the values of this field are secrets.
    pub(crate) fn are_in(&self, field: &str) -> bool {
        self.fields.iter().any(|known| known.eq_ignore_ascii_case(field))
    }

    /// `text` without them.
    pub(crate) fn out_of<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.credentials {
            if let Some(without) = without(&text, secret) {
                text = Cow::Owned(without);
            }
        }
        if let Some(pattern) = KEY_OR_TOKEN.as_ref().filter(|pattern| pattern.is_match(&text)) {
            text = Cow::Owned(pattern.replace_all(&text, NoExpand(REDACTED.as_bytes())).into_owned());
        }
        match NAMED.as_ref().filter(|named| named.is_match(&text)) {
            Some(named) => Cow::Owned(named.replace_all(&text, NAMELESS).into_owned()),
            None => text,
        }
    }

    /// Takes them out of what the arms disagree in.
    pub(crate) fn hide(&self, differences: &mut [Difference]) {
        for difference in differences {
            let is_secret = match difference.path.strip_prefix("header:") {
                Some(field) => self.are_in(field),
                None => is_name_of_one(difference.path.rsplit('/').next().unwrap_or_default()),
            };
            for side in [&mut difference.control, &mut difference.candidate].into_iter().flatten() {
                *side = if is_secret { REDACTED.to_owned() } else { self.out_of_side(side) };
            }
            difference.path = text(&self.out_of(difference.path.as_bytes()));
        }
    }

    /// A secret may have been cut together with its text.
    fn out_of_side(&self, side: &str) -> String {
        let mut whole = text(&self.out_of(side.as_bytes()));
        if side.len() < LONG {
            return whole;
        }
        let has_begun = |secret: &&[u8]| {
            let is_end =
                |length: &usize| whole.as_bytes().ends_with(secret.get(..*length).unwrap_or_default());
            (BEGINNING..secret.len()).rev().find(is_end)
        };
        if let Some(length) = self.credentials.iter().find_map(has_begun) {
            whole.truncate(whole.floor_char_boundary(whole.len() - length));
            whole.push_str(REDACTED);
        } else if let Some(found) = CUT_SHORT.as_ref().and_then(|cut| cut.find(whole.as_bytes())) {
            whole.truncate(found.start());
            whole.push_str(REDACTED);
        }
        whole
    }
}

fn is_name_of_one(name: &str) -> bool {
    NAME.as_ref().is_some_and(|known| known.is_match(name.as_bytes()))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `text` with each `secret` replaced; `None` where it holds none.
fn without(text: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let find = |from: &[u8]| from.windows(secret.len()).position(|window| window == secret);
    let (mut rest, mut whole) = (text, Vec::new());
    while let Some((before, found)) = find(rest).and_then(|place| rest.split_at_checked(place)) {
        whole.extend_from_slice(before);
        whole.extend_from_slice(REDACTED.as_bytes());
        rest = found.get(secret.len()..).unwrap_or_default();
    }
    (!whole.is_empty()).then(|| {
        whole.extend_from_slice(rest);
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel_run::{
        comparison::{DifferenceKind, Severity},
        testing::request_with,
    };

    const SESSION: &str = "0123456789abcdef0123";
    const BEARER: &str = "eyJhbGciOiJIUzI1NiJ9.not-a-jwt";

    fn request() -> CapturedRequest {
        let headers = [
            (COOKIE, format!("theme=dark; session={SESSION}; longer={SESSION}-and-more")),
            (AUTHORIZATION, format!("Bearer {BEARER}")),
        ];
        request_with(headers.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect())
    }

    fn shown(text: &str) -> String {
        let request = request();
        String::from_utf8(Secrets::of(&request, &[]).out_of(text.as_bytes()).into_owned()).unwrap()
    }

    /// Secrets as they turn up in answers, each with what is told of it.
    #[test]
    fn secrets_of_any_kind_are_taken_out_and_what_stands_around_them_stays() {
        let (a, z) = ("a".repeat(40), "Z".repeat(40));
        let secrets = [
            format!("sk-{a}"),
            format!("sk-proj-{a}_{a}"),
            format!("sk-ant-api03-{a}"),
            format!("AKIA{}", &z[..16]),
            format!("ASIA{}", &z[..16]),
            format!("ghp_{}", &a[..36]),
            format!("gho_{}", &a[..36]),
            format!("ghu_{}", &a[..36]),
            format!("ghs_{}", &a[..36]),
            format!("ghr_{}", &a[..36]),
            format!("github_pat_{}", &a[..22]),
            format!("glpat-{}", &a[..20]),
            format!("AIza{}", &a[..35]),
            format!("xoxb-{}", &a[..20]),
            format!("xoxp-{}", &a[..20]),
            format!("sk_live_{}", &a[..24]),
            format!("rk_live_{}", &a[..24]),
            "-----BEGIN PRIVATE KEY-----\nMIIE\nabc=\n-----END PRIVATE KEY-----".to_owned(),
            r"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----".to_owned(),
            "-----BEGIN EC PRIVATE KEY-----\nMIIE\n-----END EC PRIVATE KEY-----".to_owned(),
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----".to_owned(),
            format!("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.{a}"),
            SESSION.to_owned(),
            format!("{SESSION}-and-more"),
            BEARER.to_owned(),
        ];
        for secret in &secrets {
            for (before, after) in [("{\"echo\":\"", "\"}"), ("?token=", "&a=1"), ("a ", " b"), ("", "")] {
                let text = format!("{before}{secret}{after}");
                assert_eq!(shown(&text), format!("{before}{REDACTED}{after}"), "{text}");
            }
            assert_eq!(shown(&format!("{secret} {secret}")), format!("{REDACTED} {REDACTED}"));
        }
        assert_eq!(shown("-----BEGIN PRIVATE KEY-----\nMIIE, and it was cut"), REDACTED);
    }

    #[test]
    fn values_whose_names_say_what_they_are_are_taken_out() {
        for (text, without) in [
            (r#"{"password":"p\"1","a":1}"#, r#"{"password":"(redacted)","a":1}"#),
            (r#"{"user": {"new_Password" : "x y"}}"#, r#"{"user": {"new_Password" : "(redacted)"}}"#),
            (
                r#"{"client_secret":"","secret":"s"}"#,
                r#"{"client_secret":"(redacted)","secret":"(redacted)"}"#,
            ),
            ("name=ana&password=p1&again=1", "name=ana&password=(redacted)&again=1"),
            ("POST /in?api_key=k&x=1 HTTP/1.1", "POST /in?api_key=(redacted)&x=1 HTTP/1.1"),
            ("access_token=a", "access_token=(redacted)"),
            (
                "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\np1\r\n--b--",
                "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n(redacted)\r\n--b--",
            ),
            (r#"{"secretary":"Bea","passwords":3}"#, r#"{"secretary":"Bea","passwords":3}"#),
        ] {
            assert_eq!(shown(text), without);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "task-risk-sk-short",
            "{\"theme\":\"dark\",\"id\":\"0192f0c1-2b1a-7c3d-8e4f-5a6b7c8d9e0f\"}",
            "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----",
            "https://shop.example/img/9f86d081884c7d65.png?w=3",
            "eyJhbGciOiJIUzI1NiJ9 alone",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn differences_hide_named_fields_and_secrets_also_where_they_were_cut() {
        let difference = |path: &str, control: &str| Difference {
            path: path.to_owned(),
            kind: DifferenceKind::Value,
            control: Some(control.to_owned()),
            candidate: None,
            severity: Severity::Failure,
            rule: None,
        };
        let long = |end: &str| format!("{}{end}", "x ".repeat(130));
        let mut differences = [
            difference("header:x-internal-token", "t-1"),
            difference("/users/0/password", "p1"),
            difference("header:location", &format!("/in?s={SESSION}")),
            difference(&format!("/of/{SESSION}/name"), "ana"),
            difference("/a", &long(&SESSION[..9])),
            difference("/b", &long("sk-aaaaaa")),
            difference("/c", "0123456 is no secret"),
        ];
        let (request, fields) = (request(), ["X-Internal-Token".to_owned()]);
        Secrets::of(&request, &fields).hide(&mut differences);
        let sides: Vec<_> =
            differences.iter().map(|of| (of.path.as_str(), of.control.as_deref().unwrap())).collect();
        assert_eq!(
            sides,
            [
                ("header:x-internal-token", REDACTED),
                ("/users/0/password", REDACTED),
                ("header:location", "/in?s=(redacted)"),
                ("/of/(redacted)/name", "ana"),
                ("/a", &long(REDACTED)),
                ("/b", &long(REDACTED)),
                ("/c", "0123456 is no secret"),
            ]
        );
        assert!(differences.iter().all(|of| of.candidate.is_none()), "absent is not redacted");
    }
}
