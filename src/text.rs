//! What sites write, as text: UTF-8, or, where it is none, ISO-8859-1, as older sites write it and the forms of their
//! pages send it. Nothing is lost: bytes that differ are not one text because neither could be read.

use std::borrow::Cow;

/// Bytes as text.
pub(crate) fn read(bytes: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(bytes).map_or_else(|_| latin(bytes).into(), Cow::Borrowed)
}

/// ISO-8859-1: each byte is the character of that number.
pub(crate) fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The fields of a query or a form (WHATWG URL, 5.1), in their order.
pub(crate) fn fields(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    form.split(|byte| *byte == b'&').filter(|field| !field.is_empty()).map(|field| {
        let end = field.iter().position(|byte| *byte == b'=').unwrap_or(field.len());
        let (name, value) = field.split_at(end);
        (in_form(name), in_form(value.strip_prefix(b"=").unwrap_or_default()))
    })
}

/// A plus is a space there.
fn in_form(part: &[u8]) -> String {
    let spaced: Vec<u8> = part.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decoded(&spaced)
}

/// What is percent-encoded; what only looks like it stays.
pub(crate) fn percent_decoded(part: &[u8]) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part);
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) = escaped(rest).unwrap_or((first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|error| latin(error.as_bytes()))
}

/// The byte that an escape at the beginning stands for, and what follows.
fn escaped(text: &[u8]) -> Option<(u8, &[u8])> {
    let [b'%', high, low, after @ ..] = text else { return None };
    let digit = |byte: &u8| u8::try_from(char::from(*byte).to_digit(16)?).ok();
    Some((digit(high)? << 4 | digit(low)?, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn owned(form: &str) -> Vec<(String, String)> {
        fields(form.as_bytes()).collect()
    }

    #[test]
    fn what_an_older_site_writes_is_read_as_it_was_meant() {
        assert_eq!(read("pão".as_bytes()), "pão");
        assert_eq!(read(b"p\xe3o"), "pão");
        assert_eq!(
            owned("q=caf%E9+preto&caf%c3%a9=1"),
            [("q".into(), "café preto".into()), ("café".into(), "1".into())]
        );
        assert_ne!(owned("k=%E8"), owned("k=%E9"));
    }

    #[test]
    fn what_only_looks_encoded_stays() {
        for text in ["%", "%z1", "%1", "100%", "%+1"] {
            assert_eq!(percent_decoded(text.as_bytes()), text);
        }
        assert_eq!(percent_decoded(b"a+b%2Bc"), "a+b+c");
    }

    proptest! {
        #[test]
        fn forms_are_read_as_everybody_reads_them(form in "([a-zA-Z0-9é=&+%]|%[0-9a-fA-F]{2}){0,40}", odd in any::<Vec<u8>>()) {
            let known: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
            let read = owned(&form);
            prop_assert_eq!(read.len(), known.len());
            for (ours, theirs) in std::iter::zip(read, known) {
                // They lose what is no UTF-8, we read it as ISO-8859-1.
                for (ours, theirs) in [(ours.0, theirs.0), (ours.1, theirs.1)] {
                    if theirs.contains(char::REPLACEMENT_CHARACTER) {
                        prop_assert!(ours == theirs || ours.chars().all(|character| u32::from(character) < 0x100));
                    } else {
                        prop_assert_eq!(ours, theirs);
                    }
                }
            }
            let _ = fields(&odd).count();
        }
    }
}
