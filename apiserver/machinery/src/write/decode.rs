//! From bytes to a JSON value, with the fields that were given twice (C1, C4).

use std::{borrow::Cow, fmt};

use http::{HeaderMap, header};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

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
    /// Paths of fields that were given twice; the last one counts.
    pub(crate) duplicates: Vec<String>,
}

pub(crate) fn decode(media_type: MediaType, bytes: &[u8]) -> Result<Decoded, Status> {
    let mut duplicates = Vec::new();
    let seed = Seed { path: String::new().into(), duplicates: &mut duplicates };
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

/// Builds a value, and remembers where keys repeat.
struct Seed<'a> {
    path: Cow<'a, str>,
    duplicates: &'a mut Vec<String>,
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
            let path = format!("{}[{}]", self.path, values.len()).into();
            let seed = Seed { path, duplicates: &mut *self.duplicates };
            match items.next_element_seed(seed)? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            let value = entries
                .next_value_seed(Seed { path: path.as_str().into(), duplicates: &mut *self.duplicates })?;
            if map.insert(key, value).is_some() && !self.duplicates.contains(&path) {
                self.duplicates.push(path);
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
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
        let decoded = decode(MediaType::Json, br#"{"a":1,"a":2,"b":[{"c":1},{"c":1,"c":3}]}"#).unwrap();
        assert_eq!(decoded.duplicates, ["a", "b[1].c"]);
        assert_eq!(decoded.value["a"], 2);
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
