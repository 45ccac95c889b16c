//! A JSON document as it is compared: its texts stay in the body that they were read from, its members in their order.
//!
//! Two bodies of every pair are read on a machine that also serves users: what is only looked at is not copied, and what
//! was made for it goes all at once.

use std::{collections::HashMap, fmt, str};

use bumpalo::Bump;
use serde::{
    Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

/// Objects with more members than this know where each name stands.
const FEW: usize = 16;

/// Any JSON value (RFC 8259); two are equal that mean the same, however they are written. Nothing of it is dropped, since
/// it lies in an arena: it must own nothing elsewhere.
#[derive(Clone, Debug)]
pub(crate) enum Value<'b> {
    Null,
    Bool(bool),
    Number(Number),
    String(&'b str),
    Array(&'b [Value<'b>]),
    Object(Object<'b>),
}

type Member<'b> = (&'b str, Value<'b>);

/// Members by their names, in the order in which they were written; of two with one name the last counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Object<'b> {
    members: &'b [Member<'b>],
    /// Their places by their names, where there are more than a [`FEW`].
    by_name: &'b [usize],
}

impl<'b> Value<'b> {
    /// Reads one whole document; `None` where `body` is none.
    pub(crate) fn read(body: &'b [u8], arena: &'b Bump) -> Option<Self> {
        // Checked once for all texts.
        let mut document = serde_json::Deserializer::from_str(str::from_utf8(body).ok()?);
        let value = Reader { arena, open: &mut Open::default() }.deserialize(&mut document).ok()?;
        document.end().ok()?;
        Some(value)
    }

    pub(crate) fn as_str(&self) -> Option<&'b str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(number) => number.as_f64(),
            _ => None,
        }
    }

    /// The member `name`, where this is an object that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&'b Value<'b>> {
        match self {
            Self::Object(object) => object.get(name),
            _ => None,
        }
    }

    /// Whether nothing is below it.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::Array(_) | Self::Object(_))
    }
}

impl<'b> Object<'b> {
    /// Of members of which no two have one name.
    pub(crate) fn new(members: impl ExactSizeIterator<Item = Member<'b>>, arena: &'b Bump) -> Self {
        let members: &[Member<'b>] = arena.alloc_slice_fill_iter(members);
        if members.len() <= FEW {
            return Self { members, by_name: &[] };
        }
        let by_name = arena.alloc_slice_fill_iter(0..members.len());
        by_name.sort_unstable_by_key(|place| members.get(*place).map(|(name, _)| *name));
        Self { members, by_name }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'b str, &'b Value<'b>)> + use<'b> {
        self.members.iter().map(|(name, value)| (*name, value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'b Value<'b>> {
        if self.by_name.is_empty() {
            return self.members.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        }
        let known = |place: &usize| self.members.get(*place).map(|(known, _)| *known);
        let found = self.by_name.binary_search_by(|place| known(place).cmp(&Some(name))).ok()?;
        self.members.get(*self.by_name.get(found)?).map(|(_, value)| value)
    }

    /// The member `name`, which is looked for at `place` first: two of a kind have their members in one order.
    pub(crate) fn get_near(&self, place: usize, name: &str) -> Option<&'b Value<'b>> {
        match self.members.get(place) {
            Some((known, value)) if *known == name => Some(value),
            _ => self.get(name),
        }
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(two)) => one == two,
            (Self::Number(one), Self::Number(two)) => is_same_number(one, two),
            (Self::String(one), Self::String(two)) => one == two,
            (Self::Array(one), Self::Array(two)) => one == two,
            (Self::Object(one), Self::Object(two)) => one == two,
            _ => false,
        }
    }
}

/// In any order.
impl PartialEq for Object<'_> {
    fn eq(&self, other: &Self) -> bool {
        let is_there = |(place, (name, value))| other.get_near(place, name) == Some(value);
        self.len() == other.len() && self.iter().enumerate().all(is_there)
    }
}

/// `1`, `1.0` and `1e0` are one number (RFC 8259, 6). Integers are told apart as far as 64 bits go.
fn is_same_number(one: &Number, two: &Number) -> bool {
    /// From here on an integer may be another one as a fraction.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if one.is_f64() == two.is_f64() {
        return one == two;
    }
    let same = one.as_f64().filter(|number| number.abs() < EXACT);
    same.is_some() && same == two.as_f64()
}

impl<'b> From<&'b str> for Value<'b> {
    fn from(text: &'b str) -> Self {
        Self::String(text)
    }
}

impl From<usize> for Value<'_> {
    fn from(count: usize) -> Self {
        Self::Number(count.into())
    }
}

/// As JSON.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(text),
            Self::Array(elements) => serializer.collect_seq(*elements),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}

/// The parts of what has begun and not ended: those of what is within lie above those of what is around it.
#[derive(Default)]
struct Open<'b> {
    elements: Vec<Value<'b>>,
    members: Vec<Member<'b>>,
}

impl<'b> Open<'b> {
    /// Adds a member to the object whose first stands at `first`.
    fn add(&mut self, (name, value): Member<'b>, first: usize, places: &mut HashMap<&'b str, usize>) {
        let siblings = self.members.get_mut(first..).unwrap_or_default();
        let count = siblings.len();
        let known = if count < FEW {
            siblings.iter_mut().find(|(known, _)| *known == name)
        } else {
            if places.is_empty() {
                places.extend(siblings.iter().enumerate().map(|(place, (known, _))| (*known, place)));
            }
            let place = *places.entry(name).or_insert(count);
            siblings.get_mut(place)
        };
        match known {
            Some((_, known)) => *known = value,
            None => self.members.push((name, value)),
        }
    }
}

/// Reads one value into the arena.
struct Reader<'r, 'b> {
    arena: &'b Bump,
    open: &'r mut Open<'b>,
}

impl<'b> Reader<'_, 'b> {
    fn within(&mut self) -> Reader<'_, 'b> {
        Reader { arena: self.arena, open: self.open }
    }
}

impl<'de: 'b, 'b> DeserializeSeed<'de> for Reader<'_, 'b> {
    type Value = Value<'b>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'b>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'b, 'b> Visitor<'de> for Reader<'_, 'b> {
    type Value = Value<'b>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'b>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'b>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'b>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'b>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'b>, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'b>, E> {
        Ok(Value::String(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'b>, E> {
        Ok(Value::String(self.arena.alloc_str(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value<'b>, A::Error> {
        let first = self.open.elements.len();
        while let Some(element) = elements.next_element_seed(self.within())? {
            self.open.elements.push(element);
        }
        Ok(Value::Array(self.arena.alloc_slice_fill_iter(self.open.elements.drain(first..))))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value<'b>, A::Error> {
        let (first, mut places) = (self.open.members.len(), HashMap::new());
        while let Some(name) = members.next_key_seed(Name(self.arena))? {
            let value = members.next_value_seed(self.within())?;
            self.open.add((name, value), first, &mut places);
        }
        Ok(Value::Object(Object::new(self.open.members.drain(first..), self.arena)))
    }
}

/// A name that is not copied where it stands in the body as it is.
struct Name<'b>(&'b Bump);

impl<'de: 'b, 'b> DeserializeSeed<'de> for Name<'b> {
    type Value = &'b str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'b str, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de: 'b, 'b> Visitor<'de> for Name<'b> {
    type Value = &'b str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<&'b str, E> {
        Ok(name)
    }

    fn visit_str<E>(self, name: &str) -> Result<&'b str, E> {
        Ok(self.0.alloc_str(name))
    }
}

#[cfg(test)]
pub(super) mod tests;
