//! The same documents as `serde_json` reads, and the same equality.

use proptest::prelude::*;

use super::*;

fn of<'b>(value: &'b serde_json::Value, arena: &'b Bump) -> Value<'b> {
    match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => Value::Number(number.clone()),
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(elements) => {
            Value::Array(arena.alloc_slice_fill_iter(elements.iter().map(|value| of(value, arena))))
        }
        serde_json::Value::Object(members) => {
            let members: Vec<_> = members.iter().map(|(name, value)| (&**name, of(value, arena))).collect();
            Value::Object(Object::new(members.into_iter(), arena))
        }
    }
}

/// As JSON again, where it is any.
fn read(text: &[u8]) -> Option<String> {
    Value::read(text, &Bump::new()).map(|value| value.to_string())
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
    let (body, arena) = (br#"{"a": "b", "c\n": "d\n"}"#, Bump::new());
    let Some(Value::Object(object)) = Value::read(body, &arena) else { panic!() };
    let is_of_it = |text: &str| body.as_ptr_range().contains(&text.as_ptr());
    let borrowed = |(name, value): (&str, &Value<'_>)| (is_of_it(name), value.as_str().is_some_and(is_of_it));
    assert_eq!(object.iter().map(borrowed).collect::<Vec<_>>(), [(true, true), (false, false)]);
}

#[test]
fn numbers_are_those_of_serde_json() {
    for text in
        ["-0", "18446744073709551616", "-9223372036854775809", "21e23", "1e-400", "1e400", "1.0", "1", "01"]
    {
        let theirs = serde_json::from_str::<serde_json::Value>(text).ok();
        let arena = Bump::new();
        assert_eq!(
            Value::read(text.as_bytes(), &arena),
            theirs.as_ref().map(|theirs| of(theirs, &arena)),
            "{text}"
        );
    }
}

#[test]
fn a_number_is_the_same_however_it_is_written() {
    let arena = Bump::new();
    let is_same =
        |one: &str, two: &str| Value::read(one.as_bytes(), &arena) == Value::read(two.as_bytes(), &arena);
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
    assert_eq!(read("[".repeat(100_000).as_bytes()), None);
}

#[test]
fn a_name_is_found_wherever_it_stands_in_an_object_of_any_size() {
    for count in [1, FEW - 1, FEW, FEW + 1, 3 * FEW] {
        let members = (0..count).map(|n| format!("\"name {n}\": {n}")).collect::<Vec<_>>().join(",");
        let (text, arena) = (format!("{{{members}, \"name 0\": null, \"name 0\": {{}}}}"), Bump::new());
        let Some(Value::Object(object)) = Value::read(text.as_bytes(), &arena) else { panic!("{text}") };
        let last = Value::Object(Object::new([].into_iter(), &arena));
        assert_eq!((object.len(), object.get("name 0")), (count, Some(&last)));
        for n in 1..count {
            assert_eq!(object.get_near(7, &format!("name {n}")), Some(&Value::from(n)), "{n} of {count}");
        }
        assert_eq!(object.get("elsewhere"), None);
    }
}

proptest! {
    #[test]
    fn it_reads_what_serde_json_reads(text in written(), cut in 0usize..400, junk in any::<u8>()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text).ok().map(|value| value.to_string());
        prop_assert_eq!(read(text.as_bytes()), theirs);

        let mut broken = text.into_bytes();
        let place = cut % broken.len();
        broken[place] = junk;
        let theirs = serde_json::from_slice::<serde_json::Value>(&broken).ok().map(|value| value.to_string());
        prop_assert_eq!(read(&broken), theirs);
    }

    #[test]
    fn it_equals_what_serde_json_says_is_equal(one in written(), other in written()) {
        let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let mut turned = parsed(&one);
        turn(&mut turned);
        let turned = turned.to_string();
        let arena = Bump::new();
        let read = |text| Value::read(text, &arena).unwrap();
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
