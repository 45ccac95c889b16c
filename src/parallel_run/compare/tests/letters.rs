//! Bodies in other letters than UTF-8, as older sites write them.

use super::*;

const HTML: &str = "text/html; charset=utf-8";
const LATIN: &str = "text/html; charset=ISO-8859-1";
const FORM: &str = "application/x-www-form-urlencoded";

fn class(control: (&str, &[u8]), candidate: (&str, &[u8])) -> Class {
    let answer =
        |(media, body): (&str, &[u8])| answer(200, &[("content-type", media)], Bytes::copy_from_slice(body));
    compare(&plan(&[]), &PathStates::default(), &answer(control), &answer(candidate)).class
}

#[test]
fn two_letters_are_not_one_because_nobody_could_read_them() {
    assert_eq!(class((FORM, b"a=%E9&b=1"), (FORM, b"b=1&a=%E9")), Class::Match);
    assert_eq!(class((FORM, b"a=%E9"), (FORM, b"a=%E8")), Class::Mismatch);
}

#[test]
fn a_text_is_what_its_letters_make_of_its_bytes() {
    let (utf8, latin) = ("São João\n".as_bytes(), b"S\xe3o Jo\xe3o\r\n".as_slice());
    assert_eq!(class((HTML, utf8), (LATIN, latin)), Class::Match);
    assert_eq!(class((LATIN, latin), (LATIN, b"S\xe3o Jo\xe3o\n")), Class::Match);
    assert_eq!(class((LATIN, latin), (LATIN, b"S\xe3o Jo\xe1o\n")), Class::Mismatch);
    assert_eq!(class((HTML, utf8), (LATIN, utf8)), Class::Mismatch, "users read SÃ£o JoÃ£o");
    assert_eq!(class((HTML, b"Lisboa"), (LATIN, b"Lisboa")), Class::Match);
    assert_eq!(class((HTML, utf8), ("text/html", utf8)), Class::Match, "nobody says otherwise");
    assert_eq!(class((HTML, b"\0\xff"), (LATIN, b"\0\xff")), Class::Match, "no text, and the same");
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_document() {
    let json = "application/json";
    let (plain, marked) = (br#"{"a": 1, "b": 2}"#.as_slice(), "\u{feff}{\"b\": 2, \"a\": 1}".as_bytes());
    for (control, candidate, expected) in [
        (marked, marked, Class::Match),
        (marked, plain, Class::Match),
        (plain, marked, Class::Mismatch),
        (marked, "\u{feff}{\"a\": 1}".as_bytes(), Class::Mismatch),
    ] {
        assert_eq!(class((json, control), (json, candidate)), expected);
    }
    assert_eq!(class((json, "\u{feff}{\"a\": 1}".as_bytes()), (json, b"{\"a\":1}")), Class::Match);
}
