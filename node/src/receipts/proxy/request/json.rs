//! JSON whose bytes stay as they came: objects are read one level deep, and written with some of their fields changed.
//!
//! Values aren't decoded, so numbers, escapes and the order of keys are kept, and nesting has no limit.

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// The most fields of an object: no API has as many.
const FIELDS: usize = 256;

/// An object and where its fields are in it.
#[derive(Debug)]
pub(super) struct Object<'a> {
    text: &'a str,
    pub fields: Vec<Field<'a>>,
}

#[derive(Debug)]
pub(super) struct Field<'a> {
    /// The key without its escapes.
    pub name: String,
    /// The value as it is written.
    pub value: &'a str,
    key_at: usize,
    value_at: Range<usize>,
}

/// What becomes of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Write this value, in place of what is there.
    Set(String),
    Remove,
}

/// Changes by the names of fields.
pub(super) type Edits = HashMap<String, Edit>;

impl<'a> Object<'a> {
    /// Reads an object. Servers differ in which of two fields with one name they take, so that is an error.
    pub fn parse(text: &'a str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let pairs = deserializer.deserialize_map(Pairs)?;
        deserializer.end()?;
        let mut names = HashSet::new();
        let mut fields = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            // A key that is no text, such as a lone surrogate, is none that anybody knows.
            let name = serde_json::from_str::<String>(key.get()).unwrap_or_else(|_| key.get().to_owned());
            if !names.insert(name.clone()) {
                return Err(serde_json::Error::custom(format!("`{name}` is given twice")));
            }
            let start = offset(text, value.get());
            let value_at = start..start.saturating_add(value.get().len());
            fields.push(Field { name, value: value.get(), key_at: offset(text, key.get()), value_at });
        }
        Ok(Self { text, fields })
    }

    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// The object with these changes. New fields come last, in the order of their names.
    pub fn write(&self, edits: &Edits) -> String {
        let piece = |range: Range<usize>| self.text.get(range).unwrap_or_default();
        let kept = |field: &Field| edits.get(field.name.as_str()) != Some(&Edit::Remove);
        let set = |edit: &Edit| match edit {
            Edit::Set(value) => Some(value.clone()),
            Edit::Remove => None,
        };
        let begin = self.text.find('{').map_or(0, |brace| brace.saturating_add(1));
        let lead = piece(begin..self.fields.first().map_or(begin, |field| field.key_at));
        let mut written = [piece(0..begin), lead].concat();
        let mut last: Option<usize> = None;
        for (index, field) in self.fields.iter().enumerate().filter(|(_, field)| kept(field)) {
            let before = index.checked_sub(1).and_then(|before| self.fields.get(before));
            match (last, before) {
                (None, _) => {}
                // As they were one after the other, with spaces and comma.
                (Some(last), Some(before)) if last.saturating_add(1) == index => {
                    written.push_str(piece(before.value_at.end..field.key_at));
                }
                _ => written.push(','),
            }
            written.push_str(piece(field.key_at..field.value_at.start));
            let value = edits.get(field.name.as_str()).and_then(set);
            written.push_str(value.as_deref().unwrap_or(field.value));
            last = Some(index);
        }
        let mut new: Vec<_> = edits.iter().filter(|(name, _)| self.get(name).is_none()).collect();
        new.sort_by_key(|(name, _)| name.as_str());
        let mut is_first = last.is_none();
        for (name, value) in new.into_iter().filter_map(|(name, edit)| Some((name, set(edit)?))) {
            let comma = if std::mem::take(&mut is_first) { "" } else { "," };
            written.push_str(&format!("{comma}\"{name}\":{value}"));
        }
        let end = self.fields.last().map_or(begin, |field| field.value_at.end);
        written.push_str(piece(end..self.text.len()));
        written
    }
}

/// Offset of a part of a text.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(&'de RawValue, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            if pairs.len() == FIELDS {
                return Err(A::Error::custom(format!("an object has more than {FIELDS} fields")));
            }
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// Calls `each` on the elements of an array, one after the other, without a list of them.
pub(super) fn each<'a, E: fmt::Display>(
    text: &'a str,
    each: impl FnMut(&'a str) -> Result<(), E>,
) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Elements(each, PhantomData).deserialize(&mut deserializer)?;
    deserializer.end()
}

struct Elements<F, E>(F, PhantomData<E>);

impl<'de, E: fmt::Display, F: FnMut(&'de str) -> Result<(), E>> DeserializeSeed<'de> for Elements<F, E> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, E: fmt::Display, F: FnMut(&'de str) -> Result<(), E>> Visitor<'de> for Elements<F, E> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element::<&RawValue>()? {
            (self.0)(element.get()).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A JSON string without its escapes; `None` for another value, or a lone surrogate.
pub(super) fn string(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(edits: &[(&str, &str)]) -> Edits {
        edits.iter().map(|(name, value)| ((*name).to_owned(), Edit::Set((*value).to_owned()))).collect()
    }

    #[test]
    fn what_is_not_changed_stays_byte_by_byte() {
        let deep = ["[".repeat(10_000), "]".repeat(10_000)].concat();
        for text in [
            "{}",
            " { } ",
            r#"{"z":1,"a":{"z":1,"a":2}}"#,
            "\n{ \"b\" : 1.0e+07 ,\t\"a\" : \"\\ud800 \\u0041\\/\" , \"\\ud800\":null }\n",
            &format!(r#"{{"deep":{deep},"n":123456789012345678901234567890}}"#),
        ] {
            assert_eq!(Object::parse(text).unwrap().write(&Edits::new()), text);
        }
    }

    #[test]
    fn fields_are_set_in_place_added_at_the_end_and_removed() {
        let text = r#"{ "a": 1, "b" :2 ,"c":3 }"#;
        let written = |edits: &Edits| Object::parse(text).unwrap().write(edits);
        assert_eq!(written(&set(&[("b", "[5]")])), r#"{ "a": 1, "b" :[5] ,"c":3 }"#);
        assert_eq!(written(&set(&[("e", "5"), ("d", "4")])), r#"{ "a": 1, "b" :2 ,"c":3,"d":4,"e":5 }"#);
        for names in
            [&["a"][..], &["b"], &["c"], &["a", "b"], &["a", "c"], &["b", "c"], &["a", "b", "c"], &["x"]]
        {
            let mut edits: Edits = names.iter().map(|name| ((*name).to_owned(), Edit::Remove)).collect();
            let left = ["a", "b", "c"].into_iter().filter(|name| !names.contains(name));
            let mut left: Vec<_> = left.collect();
            let read = |text: &str| {
                serde_json::from_str::<serde_json::Value>(text)
                    .unwrap()
                    .as_object()
                    .unwrap()
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
            };
            assert_eq!(read(&written(&edits)), left, "{}", written(&edits));
            edits.extend(set(&[("d", "4")]));
            left.push("d");
            assert_eq!(read(&written(&edits)), left, "{}", written(&edits));
        }
        assert_eq!(Object::parse("{}").unwrap().write(&set(&[("a", "1")])), r#"{"a":1}"#);
    }

    #[test]
    fn a_name_that_is_there_twice_is_refused_however_it_is_spelled() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"max":1,"m\u0061x":2}"#] {
            let refused = Object::parse(text).unwrap_err().to_string();
            assert!(refused.contains("is given twice"), "{refused}");
        }
        for text in ["", "[]", "1", "{", r#"{"a":1}x"#, r#"{"a":1,}"#, r#"{"a":NaN}"#, "{'a':1}"] {
            assert!(Object::parse(text).is_err(), "{text}");
        }
        let many: Vec<_> = (0..300).map(|number| format!("\"{number}\":1")).collect();
        assert!(Object::parse(&format!("{{{}}}", many.join(","))).is_err());
    }

    #[test]
    fn elements_come_as_they_are_written() {
        let mut seen = Vec::new();
        let all = each("[1, \"\\ud800\",[ 2 ] ,{\"a\":1}]", |element| {
            seen.push(element.to_owned());
            Ok::<_, String>(())
        });
        assert!(all.is_ok());
        assert_eq!(seen, ["1", "\"\\ud800\"", "[ 2 ]", "{\"a\":1}"]);
        assert!(each("{}", |_| Ok::<_, String>(())).is_err());
        assert!(each("[1]", |_| Err("no")).unwrap_err().to_string().contains("no"));
    }
}
