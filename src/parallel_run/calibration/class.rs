//! What kind of generated value a string or a number is, told by its looks alone.

mod names;
mod times;

use serde::{Deserialize, Serialize};
use serde_json::Number;

pub(crate) use self::names::url;
use self::names::{SHORTEST_NAME, bare, generated_name, is_plain, is_random, stem_and_extension};
use self::times::{PLAUSIBLE_SECONDS, between_clocks, fine_seconds, fraction, is_clock_of, whole, written};
pub(crate) use self::times::{clock, seconds, seconds_of_text};
use super::lines::outline_of;
use crate::parallel_run::{
    document::Value,
    encoding::{ImageKind, base64_image},
};

/// A class of values that a service makes up anew for each answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueClass {
    /// RFC 9562, of any version.
    Uuid,
    /// RFC 3339 or RFC 9110's date.
    DateTime,
    /// A number, with a fraction or without, or digits, of seconds since 1970.
    EpochSeconds,
    /// The same in milliseconds.
    EpochMillis,
    /// A whole number of microseconds or nanoseconds since 1970: as good as none by its looks, since a large number may be
    /// a name, and told by the time of its answer.
    EpochFine,
    /// The time of day, which is as good as none by its looks: it may be how long something takes.
    Clock,
    /// A time as people or one platform write it, in this format of ours.
    Written(String),
    /// This many hexadecimal digits.
    Hex(usize),
    /// A URL or an absolute path; generated segments of its path are `*`, with their extensions behind it, its query is not
    /// looked at.
    Url(String),
    /// An image in base64, by its type.
    Base64Image(ImageKind),
    /// Letters, digits, `-` and `_`, with a digit or in random case, and perhaps an extension.
    GeneratedName(Option<String>),
    /// The same without an extension, of which some are letters alone: never told by the looks of one.
    Token,
    /// The same in Base64 of either alphabet, with what only that has in some of them.
    Base64,
    /// A JSON Web Token (RFC 7519).
    Jwt,
    /// A whole number that no double holds exactly: a name, since nobody computes with these.
    Large,
    /// A whole number, or its digits, that is greater each time: never told by the looks of one.
    Counter,
    /// A text that is the same each time but for its words that look made up or have a digit, by a hash of the rest: never
    /// told by the looks of one.
    Outline(u64),
    /// A text that is never empty: never told by the looks of one.
    Filled,
    /// The same, and always one word.
    Word,
}

/// Times further apart than this are not of one exchange.
pub const SKEW_SECONDS: i64 = 3600;
const SHORTEST_HEX: usize = 8;
const SHORTEST_BASE64: usize = 16;

impl ValueClass {
    /// The narrowest class of `value`; `None` for what people write: words, flags, small numbers.
    pub(crate) fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => Self::of_number(number),
            Value::String(text) => Self::of_text(text),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The narrowest class of a string.
    pub fn of_text(text: &str) -> Option<Self> {
        if text.len() < SHORTEST_NAME {
            return None;
        }
        if let Some((format, _)) = written(text) {
            return Some(Self::Written(format.to_owned()));
        }
        if text.contains(char::is_whitespace) && text.len() > 40 {
            return None;
        }
        if uuid::Uuid::try_parse(text).is_ok() && text.len() == 36 {
            return Some(Self::Uuid);
        }
        if seconds_of_text(text).is_some() {
            return Some(Self::DateTime);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit())
            && let Some(class) = text.parse().ok().and_then(Self::of_integer)
        {
            return Some(class);
        }
        if fraction(text).is_some_and(|seconds| PLAUSIBLE_SECONDS.contains(&seconds)) {
            return Some(Self::EpochSeconds);
        }
        if text.len() >= SHORTEST_HEX && is_hex(text) {
            return Some(Self::Hex(text.len()));
        }
        base64_image(text)
            .map(Self::Base64Image)
            .or_else(|| is_jwt(text).then_some(Self::Jwt))
            .or_else(|| (has_marks_of_base64(text) && is_base64(text)).then_some(Self::Base64))
            .or_else(|| url(text).map(Self::Url))
            .or_else(|| generated_name(text).map(Self::GeneratedName))
    }

    /// The class of letters alone, which random names are now and then: as good as none, unless others of their kind have
    /// digits.
    pub(crate) fn of_letters(value: &Value<'_>) -> Option<Self> {
        let (stem, extension) = stem_and_extension(value.as_str()?);
        if !is_plain(stem) || stem.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        match extension {
            extension if is_random(stem) => Some(Self::GeneratedName(extension)),
            Some(_) => None,
            None => Some(Self::Token),
        }
    }

    /// What is a time only where it is near `date`: a number of microseconds or nanoseconds, a time of day.
    pub(crate) fn of_near_time(value: &Value<'_>, date: Option<i64>) -> Option<Self> {
        if let Some(clock) = value.as_str().and_then(clock) {
            return is_clock_of(clock, date?).then_some(Self::Clock);
        }
        fine_seconds(value)?.abs_diff(date?).le(&SKEW_SECONDS.unsigned_abs()).then_some(Self::EpochFine)
    }

    fn of_number(number: &Number) -> Option<Self> {
        whole(number).and_then(Self::of_integer).or_else(|| is_large(number).then_some(Self::Large))
    }

    fn of_integer(number: i64) -> Option<Self> {
        match number {
            seconds if PLAUSIBLE_SECONDS.contains(&seconds) => Some(Self::EpochSeconds),
            millis if PLAUSIBLE_SECONDS.contains(&millis.div_euclid(1000)) => Some(Self::EpochMillis),
            _ => None,
        }
    }

    /// The narrowest class that holds both, if one does.
    #[must_use]
    pub fn join(self, other: Self) -> Option<Self> {
        match (self, other) {
            (one, two) if one == two => Some(one),
            (Self::Url(one), Self::Url(two)) => {
                let bare = bare(&one);
                (bare == self::bare(&two)).then_some(Self::Url(bare))
            }
            (Self::EpochFine, Self::Large) | (Self::Large, Self::EpochFine) => Some(Self::Large),
            // Random letters and digits are sometimes all hexadecimal, and random digits sometimes a time.
            (Self::Base64, other) | (other, Self::Base64) if other.is_token() => Some(Self::Base64),
            (Self::Token, other) | (other, Self::Token) if other.is_token() => Some(Self::Token),
            (one, two) if one.is_token() && two.is_token() => Some(Self::GeneratedName(None)),
            _ => None,
        }
    }

    /// Whether `other` lies within this class.
    pub fn admits(&self, other: &Self) -> bool {
        self.clone().join(other.clone()).as_ref() == Some(self)
    }

    /// Whether `value` lies within this class: what could be several things by its looks is the one that was learned.
    pub(crate) fn admits_value(&self, value: &Value<'_>) -> bool {
        if let (Self::Hex(digits), Some(text)) = (self, value.as_str()) {
            return text.len() == *digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        }
        match (self, value.as_str()) {
            (Self::Base64, Some(text)) => return is_base64(text),
            (Self::Outline(outline), Some(text)) => return outline_of(text) == *outline,
            (Self::Filled, Some(text)) => return !text.trim().is_empty(),
            (Self::Word, Some(text)) => return is_word(text),
            (Self::EpochFine, _) => return fine_seconds(value).is_some(),
            (Self::Counter, _) => return count(value).is_some(),
            (Self::Clock, _) => return value.as_str().and_then(clock).is_some(),
            _ => {}
        }
        let class = Self::of(value).or_else(|| Self::of_letters(value));
        class.is_some_and(|class| self.admits(&class))
    }

    /// Whether two values of this class can be of one exchange: all but times and counters can.
    pub(crate) fn is_of_one_exchange(&self, one: &Value<'_>, two: &Value<'_>) -> bool {
        if *self == Self::Counter {
            return count(one).zip(count(two)).is_none_or(|(one, two)| one / 2 <= two && two / 2 <= one);
        }
        if *self == Self::Clock {
            let told = |value: &Value<'_>| value.as_str().and_then(clock);
            return told(one)
                .zip(told(two))
                .is_none_or(|(one, two)| between_clocks(one, two) <= SKEW_SECONDS);
        }
        let told = |value| if *self == Self::EpochFine { fine_seconds(value) } else { seconds(value) };
        !self.is_time() || told(one).zip(told(two)).is_none_or(|(one, two)| are_near(one, two))
    }

    /// Whether it tells the time, which two exchanges may share.
    pub fn is_time(&self) -> bool {
        matches!(
            self,
            Self::DateTime
                | Self::EpochSeconds
                | Self::EpochMillis
                | Self::EpochFine
                | Self::Clock
                | Self::Written(_)
        )
    }

    /// Whether its values are mostly of one length, where they are of one kind: what is shorter was cut.
    pub(super) fn has_length(&self) -> bool {
        matches!(self, Self::Url(_) | Self::GeneratedName(_) | Self::Token | Self::Base64)
    }

    fn is_token(&self) -> bool {
        matches!(self, Self::Hex(_) | Self::GeneratedName(None) | Self::Token | Self::Base64)
    }
}

/// Whether two values of one JSON type look alike: the same class or none, and times of one exchange.
pub(crate) fn alike(one: &Value<'_>, two: &Value<'_>) -> bool {
    match (ValueClass::of(one), ValueClass::of(two)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            seconds(one).zip(seconds(two)).is_none_or(|(one, two)| are_near(one, two)) && a.join(b).is_some()
        }
        _ => false,
    }
}

fn are_near(one: i64, two: i64) -> bool {
    one.abs_diff(two) <= SKEW_SECONDS.unsigned_abs()
}

/// A whole number that counts something, or its digits.
pub(super) fn count(value: &Value<'_>) -> Option<u64> {
    let count = match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok().filter(|_| !text.starts_with(['+', '0'])),
        _ => None,
    };
    count.filter(|count| *count > 0)
}

fn is_large(number: &Number) -> bool {
    const EXACT: u64 = 1 << 53;
    number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs)).is_some_and(|size| size > EXACT)
}

fn is_hex(text: &str) -> bool {
    let one_case =
        !(text.contains(|c: char| c.is_ascii_lowercase()) && text.contains(|c: char| c.is_ascii_uppercase()));
    one_case
        && text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether it is something, and unlike what people are told.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(char::is_whitespace)
}

/// Three parts of Base64, the first of which begins an object.
fn is_jwt(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    let is_part =
        |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    text.starts_with("eyJ") && parts.len() == 3 && parts.iter().all(is_part)
}

/// Whether it has what names have not, and is no path.
fn has_marks_of_base64(text: &str) -> bool {
    let is_path = text.starts_with('/') || !text.contains(|c: char| c.is_ascii_digit());
    text.contains(['+', '=']) || text.contains('/') && !is_path
}

/// Whether it may be Base64 of something random: letters in both cases and digits in turn, as in no text that people write.
fn is_base64(text: &str) -> bool {
    let bare = text.trim_end_matches('=');
    let kinds = bare.bytes().map(|byte| match byte {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        b'+' | b'/' | b'-' | b'_' => Some(3),
        _ => None,
    });
    let Some(kinds) = kinds.collect::<Option<Vec<u8>>>() else { return false };
    let turns = kinds.windows(2).filter(|pair| pair.first() != pair.last()).count();
    let is_mixed = kinds.contains(&0) && kinds.contains(&1) && turns * 10 >= bare.len() * 3;
    bare.len() >= SHORTEST_BASE64 && text.len() - bare.len() <= 2 && is_mixed
}

#[cfg(test)]
mod tests {
    use bumpalo::Bump;
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;

    fn number(number: i64) -> Value<'static> {
        Value::Number(number.into())
    }

    fn of(text: &str) -> Option<ValueClass> {
        ValueClass::of_text(text)
    }

    #[test]
    fn each_class_is_told_by_its_looks() {
        assert_eq!(of("0192f0c1-2b1a-7c3d-8e4f-5a6b7c8d9e0f"), Some(ValueClass::Uuid));
        for time in [
            "2026-11-23T20:24:00Z",
            "2026-11-23T20:24:00.123+01:00",
            "2026-11-23 20:24:00",
            "Mon, 23 Nov 2026 20:24:00 GMT",
        ] {
            assert_eq!(of(time), Some(ValueClass::DateTime), "{time}");
        }
        assert_eq!(ValueClass::of(&number(1_795_465_440)), Some(ValueClass::EpochSeconds));
        assert_eq!(ValueClass::of(&number(1_795_465_440_123)), Some(ValueClass::EpochMillis));
        assert_eq!(of("1795465440"), Some(ValueClass::EpochSeconds));
        assert_eq!(of("9f86d081884c7d65"), Some(ValueClass::Hex(16)));
        assert_eq!(
            of("https://Shop.example/img/9f86d081884c7d65.png?w=3"),
            Some(ValueClass::Url("https://shop.example/img/*.png".into()))
        );
        assert_eq!(of("/orders/1234/items"), Some(ValueClass::Url("/orders/*/items".into())));
        assert_eq!(of("iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"), Some(ValueClass::Base64Image(ImageKind::Png)));
        assert_eq!(
            of("data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAAB"),
            Some(ValueClass::Base64Image(ImageKind::Png))
        );
        assert_eq!(of("fg-0192f0c1-0.png"), Some(ValueClass::GeneratedName(Some("png".into()))));
        assert_eq!(of("20261123_184.JPG"), Some(ValueClass::GeneratedName(Some("jpg".into()))));
        assert_eq!(of("req_Zk93jd02"), Some(ValueClass::GeneratedName(None)));
    }

    #[test]
    fn base64_and_tokens_are_told_from_paths_and_words() {
        assert_eq!(of("ESx3Jxf95AV9CELyTpf/FUflnsO8G9/BemLThsqEDt4="), Some(ValueClass::Base64));
        assert_eq!(of("/Sx3Jxf95AV9CELyTpf/FUflnsO8G9/BemLThsqEDt4="), Some(ValueClass::Base64));
        assert_eq!(of("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N"), Some(ValueClass::Jwt));
        assert_eq!(ValueClass::Base64.join(ValueClass::GeneratedName(None)), Some(ValueClass::Base64));
        for text in
            ["America/Sao_Paulo", "application/octet-stream", "a+b=c", "Order+Number=17", "2026/11/29/12345"]
        {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(
            of("//cdn.example.com/a/9f86d081884c7d65.png"),
            Some(ValueClass::Url("//cdn.example.com/a/*.png".into()))
        );
        assert_eq!(of("img/9f86d081884c7d65.png"), Some(ValueClass::Url("img/*.png".into())));
        assert_eq!(of("/img/VStGXRabZjdHiB.png"), Some(ValueClass::Url("/img/*.png".into())));
    }

    #[test]
    fn what_people_write_has_no_class() {
        for text in [
            "",
            "ok",
            "processed",
            "a red house by the sea, 1920",
            "decade",
            "facade-added",
            "v1.2",
            "no-store",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
        for text in ["200", "-5", "1.5", "true", "null", "[]", "{}"] {
            assert_eq!(ValueClass::of(&Value::read(text.as_bytes(), &Bump::new()).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn random_letters_without_a_digit_are_of_the_kind_that_their_fellows_are() {
        let of_letters = |text: &'static str| ValueClass::of_letters(&Value::from(text));
        let name = ValueClass::GeneratedName;
        assert_eq!(of("VStGXRabZjdHiBKmyT"), None);
        assert_eq!(of_letters("VStGXRabZjdHiBKmyT"), Some(name(None)));
        assert_eq!(of_letters("VStGXRabZjdHiB.PNG"), Some(name(Some("png".into()))));
        assert_eq!(of_letters("zkdjdowp"), Some(ValueClass::Token));
        for text in ["short", "V1StGXR8_Z5jdHi6B", "two words", "picture.png"] {
            assert_eq!(of_letters(text), None, "{text}");
        }
        assert_eq!(name(None).join(ValueClass::Token), Some(ValueClass::Token));
        assert!(ValueClass::Token.admits(&name(None)) && !name(None).admits(&ValueClass::Token));
        assert_eq!(ValueClass::Token.join(ValueClass::Uuid), None);
        assert_eq!(of("/orders/VStGXRabZjdHiBKmyT"), Some(ValueClass::Url("/orders/*".into())));
        assert_eq!(of("/orders/generateImage"), Some(ValueClass::Url("/orders/generateImage".into())));
    }

    #[test]
    fn a_url_is_of_the_extension_that_it_always_has() {
        let url = |template: &str| ValueClass::Url(template.into());
        let (png, jpg, any) = (url("/a/*.png"), url("/a/*.jpg"), url("/a/*"));
        assert_eq!(png.clone().join(jpg.clone()), Some(any.clone()));
        assert!(any.admits(&png) && any.admits(&any) && !png.admits(&jpg) && !png.admits(&any));
        assert_eq!(png.join(url("/b/*.png")), None);
    }

    #[test]
    fn tokens_that_happen_to_be_hexadecimal_are_still_tokens() {
        let name = ValueClass::GeneratedName(None);
        assert_eq!(ValueClass::Hex(8).join(ValueClass::Hex(9)), Some(name.clone()));
        assert!(name.admits(&ValueClass::Hex(12)));
        assert!(!ValueClass::Hex(12).admits(&name));
        assert_eq!(ValueClass::Uuid.join(ValueClass::DateTime), None);
    }

    #[test]
    fn times_are_alike_when_they_can_be_of_one_exchange() {
        assert!(alike(&number(1_795_465_440), &number(1_795_465_499)));
        assert!(!alike(&number(1_795_465_440), &number(1_695_465_440)));
        assert!(!alike(&number(1_795_465_440), &number(7)));
        assert!(alike(&Value::from("any words"), &Value::from("other words")));
    }

    proptest! {
        #[test]
        fn any_text_has_at_most_one_class_and_never_panics(text in "\\PC{0,200}") {
            let class = of(&text);
            if let Some(class) = class {
                prop_assert!(class.admits(&class));
            }
        }

        #[test]
        fn join_is_symmetric(one in "[a-f0-9]{4,20}", two in "[a-zA-Z0-9_-]{4,20}(\\.png)?") {
            if let (Some(a), Some(b)) = (of(&one), of(&two)) {
                prop_assert_eq!(a.clone().join(b.clone()), b.join(a));
            }
        }

        #[test]
        fn every_uuid_and_time_is_recognised(bits in any::<u128>(), second in 0i64..4_000_000_000) {
            prop_assert_eq!(of(&uuid::Uuid::from_u128(bits).to_string()), Some(ValueClass::Uuid));
            let time = Timestamp::from_second(second).unwrap();
            prop_assert_eq!(of(&time.to_string()), Some(ValueClass::DateTime));
            prop_assert_eq!(seconds(&Value::from(&*time.to_string())), Some(second));
        }

        #[test]
        fn classes_survive_serialisation(text in "[a-f0-9]{8,40}|/[a-z]{1,5}/[a-z0-9]{6,9}|[a-z0-9]{6,12}\\.png") {
            let class = of(&text);
            let kept: Option<ValueClass> = serde_json::from_str(&serde_json::to_string(&class).unwrap()).unwrap();
            prop_assert_eq!(kept, class);
        }
    }
}
