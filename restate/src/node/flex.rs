//! Metadata as Restate stores it: a codec's number, a length, then a `FlexBuffer` that says its own structure. Read
//! whole into plain data, changed, and written whole again.
//!
//! Invariants: what is written says the same as what was read in everything that was not changed, fields unknown to
//! us included; what cannot be read or written so is an error. (Seen on 1.7.12.)

use std::collections::BTreeMap;

use flexbuffers::{Builder, FlexBufferType, MapBuilder, Reader, VectorBuilder};

use super::listed::Error;

/// Codec of `FlexBuffer`s.
const FLEXBUFFER: u8 = 2;

/// Restate's metadata is a few levels deep; what is deeper is none of it.
const DEEPEST: usize = 24;

/// What a `FlexBuffer` says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// The value under this key of a map.
    pub(super) fn get(&self, key: &'static str) -> Result<&Self, Error> {
        match self {
            Self::Map(fields) => fields.get(key).ok_or(Error::Missing { field: key }),
            _ => Err(Error::Missing { field: key }),
        }
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, key: &'static str) -> Result<&mut Self, Error> {
        match self {
            Self::Map(fields) => fields.get_mut(key).ok_or(Error::Missing { field: key }),
            _ => Err(Error::Missing { field: key }),
        }
    }

    /// A list's elements.
    pub(super) fn list(&self, field: &'static str) -> Result<&[Self], Error> {
        if let Self::List(elements) = self { Ok(elements) } else { Err(Error::Missing { field }) }
    }

    /// A text.
    pub(super) fn text(&self, field: &'static str) -> Result<&str, Error> {
        if let Self::Text(text) = self { Ok(text) } else { Err(Error::Missing { field }) }
    }

    /// A number that is not negative.
    pub(super) fn number(&self, field: &'static str) -> Result<u64, Error> {
        let number = match self {
            Self::UInt(number) => Some(*number),
            Self::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        number.ok_or(Error::Missing { field })
    }

    /// A node's id.
    pub(super) fn id(&self, field: &'static str) -> Result<u32, Error> {
        u32::try_from(self.number(field)?).map_err(|_| Error::Missing { field })
    }
}

/// What stored metadata says.
pub(super) fn decode(encoded: &[u8]) -> Result<Value, Error> {
    let [FLEXBUFFER, a, b, c, d, content @ ..] = encoded else { return Err(Error::Encoding) };
    let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|_| Error::Encoding)?;
    if content.len() != length {
        return Err(Error::Encoding);
    }
    let unread = |source| Error::Structure { source };
    value(&Reader::get_root(content).map_err(unread)?, DEEPEST)
}

/// The metadata that says this. It is read again before it is given out.
pub(super) fn encode(wanted: &Value) -> Result<Vec<u8>, Error> {
    let Value::Map(fields) = wanted else { return Err(Error::Encoding) };
    let mut builder = Builder::default();
    let mut root = builder.start_map();
    for (key, value) in fields {
        put_field(&mut root, key, value);
    }
    root.end_map();
    let content = builder.take_buffer();
    let length = u32::try_from(content.len()).map_err(|_| Error::Encoding)?;
    let encoded = [&[FLEXBUFFER][..], &length.to_le_bytes(), &content].concat();
    if decode(&encoded)? == *wanted { Ok(encoded) } else { Err(Error::Encoding) }
}

fn value(reader: &Reader<&[u8]>, depth: usize) -> Result<Value, Error> {
    let unread = |source| Error::Structure { source };
    let deeper = depth.checked_sub(1).ok_or(Error::Encoding)?;
    match reader.flexbuffer_type() {
        FlexBufferType::Null => Ok(Value::Null),
        FlexBufferType::Bool => reader.get_bool().map(Value::Bool).map_err(unread),
        FlexBufferType::Int => reader.get_i64().map(Value::Int).map_err(unread),
        FlexBufferType::UInt => reader.get_u64().map(Value::UInt).map_err(unread),
        FlexBufferType::Float => reader.get_f64().map(Value::Float).map_err(unread),
        FlexBufferType::String => reader.get_str().map(|text| Value::Text(text.to_owned())).map_err(unread),
        FlexBufferType::Blob => reader.get_blob().map(|blob| Value::Bytes(blob.0.to_vec())).map_err(unread),
        FlexBufferType::Map => {
            let map = reader.get_map().map_err(unread)?;
            let pairs = map.iter_keys().zip(map.iter_values());
            let pairs = pairs.map(|(key, field)| Ok((key.to_owned(), value(&field, deeper)?)));
            pairs.collect::<Result<_, Error>>().map(Value::Map)
        }
        kind if kind.is_vector() && kind != FlexBufferType::VectorKey => {
            let elements = reader.get_vector().map_err(unread)?;
            let elements = elements.iter().map(|element| value(&element, deeper));
            elements.collect::<Result<_, Error>>().map(Value::List)
        }
        // Restate's serializer writes no others.
        _ => Err(Error::Encoding),
    }
}

fn put_field(map: &mut MapBuilder<'_>, key: &str, value: &Value) {
    match value {
        Value::Null => map.push(key, ()),
        Value::Bool(value) => map.push(key, *value),
        Value::Int(value) => map.push(key, *value),
        Value::UInt(value) => map.push(key, *value),
        Value::Float(value) => map.push(key, *value),
        Value::Text(value) => map.push(key, value.as_str()),
        Value::Bytes(value) => map.push(key, flexbuffers::Blob(value.as_slice())),
        Value::List(elements) => put_elements(map.start_vector(key), elements),
        Value::Map(fields) => put_fields(map.start_map(key), fields),
    }
}

fn put_element(list: &mut VectorBuilder<'_>, value: &Value) {
    match value {
        Value::Null => list.push(()),
        Value::Bool(value) => list.push(*value),
        Value::Int(value) => list.push(*value),
        Value::UInt(value) => list.push(*value),
        Value::Float(value) => list.push(*value),
        Value::Text(value) => list.push(value.as_str()),
        Value::Bytes(value) => list.push(flexbuffers::Blob(value.as_slice())),
        Value::List(elements) => put_elements(list.start_vector(), elements),
        Value::Map(fields) => put_fields(list.start_map(), fields),
    }
}

fn put_elements(mut list: VectorBuilder<'_>, elements: &[Value]) {
    for element in elements {
        put_element(&mut list, element);
    }
    list.end_vector();
}

fn put_fields(mut map: MapBuilder<'_>, fields: &BTreeMap<String, Value>) {
    for (key, value) in fields {
        put_field(&mut map, key, value);
    }
    map.end_map();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::five(include_bytes!("testdata/nodes-five-1.7.12.bin"))]
    #[case::one_removed(include_bytes!("testdata/nodes-removed-1.7.12.bin"))]
    #[case::data_loss(include_bytes!("testdata/nodes-1.7.12.bin"))]
    #[case::logs(include_bytes!("testdata/logs-1.7.12.bin"))]
    #[case::replicas(include_bytes!("testdata/replicas-1.7.12.bin"))]
    fn what_restate_wrote_is_written_with_the_same_content(#[case] encoded: &[u8]) {
        let read = decode(encoded).unwrap();
        assert!(matches!(&read, Value::Map(fields) if fields.len() >= 4), "{read:?}");
        assert_eq!(decode(&encode(&read).unwrap()).unwrap(), read);
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            any::<u64>().prop_map(Value::UInt),
            "[a-z{}: \"]{0,300}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map("[a-z_]{1,9}", inner, 0..6).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_the_same_or_refused(
            fields in prop::collection::btree_map("[a-z_]{1,9}", any_value(), 0..6),
        ) {
            let wanted = Value::Map(fields);
            if let Ok(encoded) = encode(&wanted) {
                prop_assert_eq!(decode(&encoded).unwrap(), wanted);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let whole = include_bytes!("testdata/nodes-five-1.7.12.bin");
        for encoded in [&whole[..0], &whole[..4], &whole[..100], &[&whole[..], &[0]].concat()] {
            assert!(matches!(decode(encoded), Err(Error::Encoding)));
        }
    }
}
