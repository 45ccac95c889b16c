//! A JSON document as it is compared: its texts stay in the body that they were read from, its members in their order.
//!
//! Two bodies of every pair are read on a machine that also serves users: what is only looked at is not copied.

use std::{borrow::Cow, collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Number;

/// Objects with more members than this know where each name stands.
const FEW: usize = 16;

/// Any JSON value (RFC 8259); two are equal that mean the same, however they are written.
#[derive(Clone, Debug)]
pub(crate) enum Value<'b> {
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'b, str>),
    Array(Vec<Value<'b>>),
    Object(Object<'b>),
}

/// Members by their names, in the order in which they were written; of two with one name the last counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'b> {
    members: Vec<(Cow<'b, str>, Value<'b>)>,
    /// Where each name stands, once there are more than a [`FEW`].
    #[expect(clippy::box_collection, reason = "every small object would carry the size of the map")]
    places: Option<Box<HashMap<Cow<'b, str>, usize>>>,
}

impl<'b> Value<'b> {
    /// Reads one whole document; `None` where `body` is none.
    pub(crate) fn read(body: &'b [u8]) -> Option<Self> {
        // Checked once for all texts.
        serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
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
    pub(crate) fn get(&self, name: &str) -> Option<&Value<'b>> {
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
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value<'b>)> {
        self.members.iter().map(|(name, value)| (&**name, value))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'b>> {
        self.members.get(self.place(name)?).map(|(_, value)| value)
    }

    /// The member `name`, which is looked for at `place` first: two of a kind have their members in one order.
    pub(crate) fn get_near(&self, place: usize, name: &str) -> Option<&Value<'b>> {
        match self.members.get(place) {
            Some((known, value)) if known == name => Some(value),
            _ => self.get(name),
        }
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value<'b>> {
        let place = self.place(name)?;
        self.members.get_mut(place).map(|(_, value)| value)
    }

    pub(crate) fn insert(&mut self, name: Cow<'b, str>, value: Value<'b>) {
        if let Some(known) = self.get_mut(&name) {
            *known = value;
            return;
        }
        if self.members.len() == FEW {
            let names = self.members.iter().enumerate().map(|(place, (name, _))| (name.clone(), place));
            self.places = Some(Box::new(names.collect()));
        }
        if let Some(places) = &mut self.places {
            places.insert(name.clone(), self.members.len());
        }
        self.members.push((name, value));
    }

    fn place(&self, name: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(name).copied(),
            None => self.members.iter().position(|(known, _)| known == name),
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
        Self::String(Cow::Borrowed(text))
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
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(object) => serializer.collect_map(object.iter()),
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// A name that is not copied where it stands in the body as it is.
struct Name<'b>(Cow<'b, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Reader)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("a name is a text")),
        }
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value<'de>, A::Error> {
        let mut object = Object::default();
        while let Some((Name(name), value)) = members.next_entry()? {
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
pub(super) mod tests;
