//! The same documents as `serde_json` reads, and the same equality.

use proptest::prelude::*;

use super::*;

impl<'b> From<&'b serde_json::Value> for Value<'b> {
    fn from(value: &'b serde_json::Value) -> Self {
        match value {
            serde_json::Value::Null => Self::Null,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => Self::Number(number.clone()),
            serde_json::Value::String(text) => Self::from(text.as_str()),
            serde_json::Value::Array(elements) => Self::Array(elements.iter().map(Self::from).collect()),
            serde_json::Value::Object(members) => {
                let mut object = Object::default();
                members.iter().for_each(|(name, value)| object.insert(name.into(), value.into()));
                Self::Object(object)
            }
        }
    }
}

/// A document as it may be written: names come twice, members in any order, texts with escapes.
pub(crate) fn written() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        r#""[a-c]{0,2}""#,
        r#""[a-z0-9]{6,10}""#,
        Just(r#""\u00e9\n\"""#.to_owned()),
        Just("\"~/\"".to_owned()),
    ];
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        // What can be written and read again without a loss.
        "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,3})?",
        text.clone(),
    ];
    scalar.prop_recursive(4, 120, 24, move |value| {
        prop_oneof![
            proptest::collection::vec(value.clone(), 0..6).prop_map(|all| format!("[{}]", all.join(", "))),
            proptest::collection::vec((text.clone(), value), 0..24).prop_map(|all| {
                let members = all.into_iter().map(|(name, value)| format!("{name}: {value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

#[test]
fn texts_are_borrowed_where_they_have_no_escapes() {
    let Some(Value::Object(object)) = Value::read(br#"{"a": "b", "c\n": "d\n"}"#) else { panic!() };
    let borrowed = |(name, value): &(Cow<'_, str>, Value<'_>)| {
        (matches!(name, Cow::Borrowed(_)), matches!(value, Value::String(Cow::Borrowed(_))))
    };
    assert_eq!(object.members.iter().map(borrowed).collect::<Vec<_>>(), [(true, true), (false, false)]);
}

#[test]
fn numbers_are_those_of_serde_json() {
    for text in
        ["-0", "18446744073709551616", "-9223372036854775809", "21e23", "1e-400", "1e400", "1.0", "1", "01"]
    {
        let theirs = serde_json::from_str::<serde_json::Value>(text).ok();
        assert_eq!(Value::read(text.as_bytes()), theirs.as_ref().map(Value::from), "{text}");
    }
}

#[test]
fn a_number_is_the_same_however_it_is_written() {
    let is_same = |one: &str, two: &str| Value::read(one.as_bytes()) == Value::read(two.as_bytes());
    for (one, two) in [("1", "1.0"), ("100", "1e2"), ("0", "-0"), ("0.0", "-0.0"), ("0.1", "1E-1")] {
        assert!(is_same(one, two) && is_same(two, one), "{one} {two}");
    }
    for (one, two) in
        [("1", "1.5"), ("9007199254740993", "9007199254740992"), ("9007199254740993", "9007199254740992.0")]
    {
        assert!(!is_same(one, two) && !is_same(two, one), "{one} {two}");
    }
}

#[test]
fn a_hostile_depth_is_refused_and_does_not_overflow_the_stack() {
    assert_eq!(Value::read("[".repeat(100_000).as_bytes()), None);
}

#[test]
fn a_name_is_found_wherever_it_stands_in_an_object_of_any_size() {
    for count in [1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
        let mut object = Object::default();
        (0..count).for_each(|n| object.insert(format!("name {n}").into(), Value::from(n)));
        object.insert("name 0".into(), Value::Null);
        assert_eq!((object.len(), object.get("name 0")), (count, Some(&Value::Null)));
        for n in 1..count {
            assert_eq!(object.get_near(7, &format!("name {n}")), Some(&Value::from(n)), "{n} of {count}");
        }
        assert_eq!(object.get("elsewhere"), None);
    }
}

proptest! {
    #[test]
    fn it_reads_what_serde_json_reads(text in written(), cut in 0usize..400, junk in any::<u8>()) {
        let read = Value::read(text.as_bytes()).map(|value| value.to_string());
        let theirs = serde_json::from_str::<serde_json::Value>(&text).ok().map(|value| value.to_string());
        prop_assert_eq!(read, theirs);

        let mut broken = text.into_bytes();
        let place = cut % broken.len();
        broken[place] = junk;
        let read = Value::read(&broken).map(|value| value.to_string());
        let theirs = serde_json::from_slice::<serde_json::Value>(&broken).ok().map(|value| value.to_string());
        prop_assert_eq!(read, theirs);
    }

    #[test]
    fn it_equals_what_serde_json_says_is_equal(one in written(), other in written()) {
        let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let mut turned = parsed(&one);
        turn(&mut turned);
        let turned = turned.to_string();
        let read = |text| Value::read(text).unwrap();
        prop_assert_eq!(read(one.as_bytes()), read(turned.as_bytes()));
        let (ours, theirs) = (read(one.as_bytes()) == read(other.as_bytes()), parsed(&one) == parsed(&other));
        // One that says of a number that it is another where it has a fraction.
        prop_assert!(ours == theirs || ours && (one + &other).contains(['.', '-']));
    }
}

/// Every object's members the other way round.
pub(crate) fn turn(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(turn),
        serde_json::Value::Object(members) => {
            members.values_mut().for_each(turn);
            *members = std::mem::take(members).into_iter().rev().collect();
        }
        _ => {}
    }
}
