//! From bytes to a JSON value, with the fields that were given twice (C1, C4).

use std::fmt;

use http::{HeaderMap, header};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::complaints::{Complaints, Path};
use crate::status::Status;

/// The encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    Json,
    Yaml,
}

const OFFERED: [&str; 2] = ["application/json", "application/yaml"];

impl MediaType {
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let given = headers.get(header::CONTENT_TYPE).map_or(Ok(""), |value| value.to_str());
        match given.unwrap_or("?").split(';').next().unwrap_or_default().trim() {
            "" | "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            _ => Err(Status::unsupported_media_type(&OFFERED)),
        }
    }
}

/// A decoded body.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    pub(crate) value: Value,
    /// Fields that were given twice; the last one counts.
    pub(crate) duplicates: Complaints,
}

pub(crate) fn decode(media_type: MediaType, bytes: &[u8]) -> Result<Decoded, Status> {
    let mut duplicates = Complaints::default();
    let seed = Seed { place: &Place::Root, duplicates: &mut duplicates };
    let value = match media_type {
        MediaType::Json => json(bytes, seed).map_err(|error| error.to_string()),
        MediaType::Yaml => yaml(bytes),
    };
    let refused = |error| Status::bad_request(format!("unable to decode the body of the request: {error}"));
    Ok(Decoded { value: value.map_err(refused)?, duplicates })
}

fn json(bytes: &[u8], seed: Seed<'_>) -> serde_json::Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = seed.deserialize(&mut deserializer)?;
    deserializer.end().map(|()| value)
}

/// YAML readers refuse fields that are given twice by themselves.
fn yaml(bytes: &[u8]) -> Result<Value, String> {
    serde_saphyr::from_slice(bytes).map_err(|error| error.to_string())
}

/// Where a value is: the way up from it, which costs nothing until there is something to say about it.
enum Place<'a> {
    Root,
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl Place<'_> {
    fn print(&self, path: &mut Path) {
        match self {
            Self::Root => {}
            Self::Field(parent, key) => {
                parent.print(path);
                path.field(key);
            }
            Self::Item(parent, index) => {
                parent.print(path);
                path.item(*index);
            }
        }
    }
}

/// Builds a value, and remembers where keys repeat.
struct Seed<'a> {
    place: &'a Place<'a>,
    duplicates: &'a mut Complaints,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let place = Place::Item(self.place, values.len());
            let seed = Seed { place: &place, duplicates: &mut *self.duplicates };
            match items.next_element_seed(seed)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = Place::Field(self.place, &key);
            let seed = Seed { place: &place, duplicates: &mut *self.duplicates };
            let value = entries.next_value_seed(seed)?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(mut entry) => {
                    let place = Place::Field(self.place, entry.key());
                    self.duplicates.add("duplicate", |path| place.print(path));
                    entry.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use http::HeaderValue;
    use rstest::rstest;

    #[rstest]
    #[case("", Some(MediaType::Json))]
    #[case("application/json", Some(MediaType::Json))]
    #[case("application/json; charset=utf-8", Some(MediaType::Json))]
    #[case("application/yaml", Some(MediaType::Yaml))]
    #[case("application/vnd.kubernetes.protobuf", None)]
    #[case("application/cbor", None)]
    #[case("text/plain", None)]
    fn c1_e4_media_types(#[case] given: &'static str, #[case] expected: Option<MediaType>) {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(given))]);
        assert_eq!(MediaType::of(&headers).map_err(|status| status.code().as_u16()), expected.ok_or(415));
    }

    #[test]
    fn c4_repeated_fields_are_found_wherever_they_are() {
        let decoded = decode(MediaType::Json, br#"{"a":1,"a":2,"a":4,"b":[{"c":1},{"c":1,"c":3}]}"#).unwrap();
        assert_eq!(decoded.value["a"], 4);
        let told = [r#"duplicate field "a""#, r#"duplicate field "b[1].c""#];
        assert_eq!(decoded.duplicates.into_texts(), told);
    }

    #[test]
    fn c4_what_is_kept_of_repeated_fields_does_not_grow_with_the_body() {
        let long = "k".repeat(1024 * 1024);
        let pairs: Vec<_> = (0..500).map(|key| format!(r#""{key}":0,"{key}":1"#)).collect();
        let pairs = pairs.join(",");
        let decoded =
            |body: String| decode(MediaType::Json, body.as_bytes()).unwrap().duplicates.into_texts();
        let below = decoded(format!(r#"{{"{long}":{{{pairs}}}}}"#));
        assert!(below.iter().map(String::len).sum::<usize>() < 1024, "one path, cut: {}", below.len());
        let beside = decoded(format!(r#"{{"{long}":0,{pairs}}}"#));
        assert_eq!(beside.len(), 101);
        assert_eq!(beside.last().unwrap(), "and 400 more unknown or duplicate fields");
    }

    #[test]
    fn c4_a_long_key_is_not_copied_for_each_item_below_it() {
        let items = vec!["0"; 768 * 1024].join(",");
        let body = format!(r#"{{"{}":[{items}]}}"#, "k".repeat(1536 * 1024));
        let start = Instant::now();
        decode(MediaType::Json, body.as_bytes()).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    }

    #[rstest]
    #[case(MediaType::Json, "{")]
    #[case(MediaType::Json, "{} {}")]
    #[case(MediaType::Yaml, "a: [")]
    fn e1_what_cannot_be_read_is_a_bad_request(#[case] media_type: MediaType, #[case] body: &str) {
        assert_eq!(decode(media_type, body.as_bytes()).unwrap_err().code().as_u16(), 400);
    }

    #[test]
    fn c1_yaml_is_read_as_json_is() {
        let decoded = decode(MediaType::Yaml, b"spec:\n  pages: 3\n").unwrap();
        assert_eq!(decoded.value, serde_json::json!({"spec": {"pages": 3}}));
    }
}
